# SPDX-License-Identifier: GPL-2.0-only
"""The mitigation of iTLB multihit: huge pages are not executable, and are split for execution."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import TDP_C, Substitution
from conformance.model.changes import (
    FLUSH_REQUEST_STATISTICS,
    NX_ACCOUNTED_WITHOUT_PAGING,
    NX_RECOVERY_SKIPS_LOGGED,
    PAGE_STATISTICS,
)
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.stories.functions import NX, NX_RECOVERY, SPLIT
from conformance.scenarios.stories.guest_tables import SHADOW
from conformance.scenarios.stories.setting import FETCH, HUGE, LOG, READ, WRITE, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story

DOCUMENT = "Documentation/admin-guide/hw-vuln/multihit.rst"


@story(
    source=DOCUMENT,
    about=NX,
    nx_huge_pages=1,
    mutants=[
        Mutant(
            "the wrong old value after a huge page was zapped to be split",
            Substitution(
                TDP_C,
                "iter.old_spte = kvm_tdp_mmu_read_spte(iter.sptep);\n\t\t}\n\n\t\tif (!is_shadow",
                "}\n\n\t\tif (!is_shadow",
            ),
        ),
        Mutant(
            "a table made for execution is not accounted",
            Substitution(TDP_C, "if (account_nx)\n", "if (0)\n"),
        ),
    ],
)
def execution_on_a_huge_page(vm: StoryBuilder) -> None:
    """A huge page is mapped without execution; a fetch from it maps that 4K executable.

    A table replaces the huge mapping: the rest is faulted in again as it is needed, in 4K.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE).claim("2M", lambda now: now.mapped(X2M).level == HUGE)
    vm.claim("not executable", lambda now: not now.mapped(X2M).executable)
    vm.access(gfn=X2M + 7, kind=FETCH).claim("it gets through", lambda now: now.end == End.DONE)
    vm.claim("4K, executable", lambda now: now.mapped(X2M + 7).level == 1 and now.mapped(X2M + 7).executable)
    vm.claim("one split is counted", lambda now: now.state.nx_lpage_splits == 1)
    vm.access(gfn=X2M + 9, kind=READ).claim("4K beside it", lambda now: now.mapped(X2M + 9).level == 1)


@story(source=DOCUMENT, about=NX, nx_huge_pages=1)
def fetch_first(vm: StoryBuilder) -> None:
    """A fetch that comes first never maps the huge page.

    For execution 4K are mapped at once, and the table counts as split.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=FETCH).claim("4K", lambda now: now.mapped(X2M).level == 1)
    vm.claim("executable", lambda now: now.mapped(X2M).executable)
    vm.claim("counted", lambda now: now.state.nx_lpage_splits == 1)


@story(source=DOCUMENT, about=NX_RECOVERY, nx_huge_pages=1)
def recovery_of_nx_huge_pages(vm: StoryBuilder) -> None:
    """The recovery worker zaps tables that were made for execution, so that huge pages are mapped again.

    If the guest fetches again it is split again.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M + 7, kind=FETCH)
    vm.recover_nx_huge_pages().claim("the table is gone", lambda now: not now.has_table(1, X2M))
    vm.claim("no split is left", lambda now: now.state.nx_lpage_splits == 0)
    vm.claim(
        "a flush was asked for", lambda now: now.grown.flush_requests >= 1, since=FLUSH_REQUEST_STATISTICS
    )
    vm.access(gfn=X2M + 7, kind=READ).claim("2M again", lambda now: now.mapped(X2M).level == HUGE)
    vm.access(gfn=X2M + 7, kind=FETCH).claim("and split again", lambda now: now.mapped(X2M + 7).level == 1)


@story(source=DOCUMENT, about=("set_nx_huge_pages", "kvm_mmu_zap_all_fast"))
def mitigation_switched(vm: StoryBuilder) -> None:
    """Switching the mitigation on zaps everything, so that no executable huge page stays.

    So does switching it off.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=FETCH).claim("2M, executable", lambda now: now.mapped(X2M).executable)
    vm.set_nx_huge_pages(on=1).claim("all is zapped", lambda now: not now.leaves())
    vm.access(gfn=X2M, kind=READ).claim("not executable now", lambda now: not now.mapped(X2M).executable)
    vm.access(gfn=X2M, kind=FETCH).claim("split", lambda now: now.mapped(X2M).level == 1)
    vm.set_nx_huge_pages(on=0).claim("all is zapped", lambda now: not now.leaves())
    vm.access(gfn=X2M, kind=FETCH).claim("2M", lambda now: now.mapped(X2M).level == HUGE)


@story(source=DOCUMENT, about=("kvm_mmu_hugepage_adjust", "make_spte"), nx_huge_pages=1)
def small_pages_are_executable(vm: StoryBuilder) -> None:
    """Memory in small pages of the host is executable from the start, with the mitigation or without.

    No split is counted, since there is nothing to recover.
    """
    memory(vm, gfn=X2M, npages=16)
    vm.access(gfn=X2M, kind=WRITE).claim("executable", lambda now: now.mapped(X2M).executable)
    vm.access(gfn=X2M, kind=FETCH).claim("no exit", lambda now: now.outcome == [End.DONE])
    vm.claim("nothing counted", lambda now: now.state.nx_lpage_splits == 0)


@story(
    source=str(NX_RECOVERY_SKIPS_LOGGED),
    about=("kvm_recover_nx_huge_pages", "kvm_mmu_sp_dirty_logging_enabled"),
    since=NX_RECOVERY_SKIPS_LOGGED,
    nx_huge_pages=1,
)
def recovery_spares_logged_memory(vm: StoryBuilder) -> None:
    """Recovery zaps nothing where dirty logging keeps pages small.

    No huge page could be mapped, and the guest would fault for nothing.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE).access(gfn=X2M + 7, kind=FETCH)
    vm.set_memory_region(gfn=X2M, npages=X2M, page=0, flags=1)
    vm.recover_nx_huge_pages().claim("still mapped", lambda now: now.leaf(X2M + 7))


@story(
    modes=TDP_MODES,
    source="tdp_mmu.c: make_huge_page_split_spte(); NX huge pages",
    about=SPLIT,
    nx_huge_pages=1,
)
def split_lets_small_pages_execute(vm: StoryBuilder) -> None:
    """Eager splitting of a huge page that the NX mitigation made non-executable: its parts may execute.

    The mitigation concerns huge pages; 4K pages are safe.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE).claim("2M without X", lambda now: not now.mapped(X2M).executable)
    vm.set_memory_region(gfn=X2M, npages=X2M, page=0, flags=LOG)
    vm.claim("4K with X", lambda now: all(leaf.executable for leaf in now.leaves()))
    vm.claim("512 of them", lambda now: now.state.pages_4k == X2M, since=PAGE_STATISTICS)
    vm.access(gfn=X2M + 7, kind=FETCH).claim("without an exit", lambda now: now.outcome == [End.DONE])


@story(
    modes=SHADOW,
    source=str(NX_ACCOUNTED_WITHOUT_PAGING),
    about=("direct_map", "account_nx_huge_page"),
    since=NX_ACCOUNTED_WITHOUT_PAGING,
    nx_huge_pages=1,
)
def execution_without_paging(vm: StoryBuilder) -> None:
    """The mitigation also concerns a guest whose paging is off: what it fetches is mapped in 4K.

    A write beside them does not map the huge page again, which could not be executed.
    """
    memory(vm, gfn=0, npages=2 * X2M, level=HUGE)
    vm.set_sregs(cr0=1, cr4=0, efer=0, cr3=0)
    fetched, written = X2M << 12, X2M + 1 << 12
    vm.execute(address=fetched, kind=FETCH).claim("4K", lambda now: now.shadow.mapped(fetched).level == 1)
    vm.claim("one split is counted", lambda now: now.state.nx_lpage_splits == 1)
    vm.claim("the page is tagged", lambda now: now.shadow.page(X2M, 1, direct=1).nx_huge_page_disallowed)
    vm.execute(address=written, kind=WRITE, value=3)
    vm.claim("4K beside it", lambda now: now.shadow.mapped(written).level == 1)
    vm.execute(address=fetched, kind=FETCH).claim("no exit", lambda now: not now.handled)
    vm.recover_nx_huge_pages().claim("no split is left", lambda now: now.state.nx_lpage_splits == 0)
    vm.execute(address=written, kind=WRITE, value=4)
    vm.claim("2M", lambda now: now.shadow.mapped(written).level == HUGE)
