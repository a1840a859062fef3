# SPDX-License-Identifier: GPL-2.0-only
"""Lockless readers: walks of the tables inside RCU while others unlink them."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import ITER_C, TDP_C, Substitution
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.stories.setting import HUGE, READ, WRITE, X2M, memory
from conformance.scenarios.stories.sources import XCHG
from conformance.scenarios.story import Mutant, StoryBuilder, story
from conformance.scenarios.view import View

RCU = "arch/x86/kvm/mmu/tdp_mmu.c: handle_removed_pt(), tdp_mmu_free_sp_rcu_callback(); " + XCHG


def frozen_entry(now: View) -> bool:
    """Whether the reader's entry is that of a removed table."""
    return now.is_frozen(now.reader.spte)


@story(
    modes=TDP_MODES,
    source=RCU,
    about=("handle_removed_pt", "tdp_mmu_free_sp_rcu_callback"),
    mutants=[
        Mutant(
            "entries of a removed table are not frozen",
            Substitution(
                TDP_C,
                "kvm_tdp_mmu_write_spte_atomic(sptep, REMOVED_SPTE);",
                "kvm_tdp_mmu_write_spte_atomic(sptep, 0);",
            ),
        ),
        Mutant(
            "a removed table is freed under a reader",
            Substitution(
                TDP_C, "call_rcu(&sp->rcu_head, tdp_mmu_free_sp_rcu_callback);\n}", "tdp_mmu_free_sp(sp);\n}"
            ),
        ),
    ],
)
def reader_in_a_removed_table(vm: StoryBuilder) -> None:
    """A reader in a table that is being removed finds its entries frozen, and its memory not yet freed.

    Frozen entries show that nothing may be installed there. The table is freed only after the reader left.
    """
    memory(vm, gfn=X2M, npages=X2M)
    vm.access(gfn=X2M, kind=WRITE).access(gfn=X2M + 1, kind=WRITE)
    vm.walk_begin(vcpu=0, gfn=X2M).walk_next().walk_next().walk_next()
    vm.claim("it stands at level 1", lambda now: now.reader[:3] == (1, 1, X2M))
    vm.collapse(page=0)
    vm.access(gfn=X2M, kind=READ).claim("2M replace the table", lambda now: now.mapped(X2M).level == HUGE)
    vm.claim("the table is retired", lambda now: len(now.retired) == 1)
    vm.claim("with frozen entries", lambda now: now.retired[0].frozen > 0)
    vm.walk_next().claim("the reader sees one", frozen_entry)
    vm.grace_period().claim(
        "nothing is freed under it", lambda now: now.outcome == [0] and len(now.retired) == 1
    )
    vm.walk_end()
    vm.grace_period().claim("but when it has left", lambda now: now.outcome[0] >= 1 and not now.retired)


@story(modes=TDP_MODES, source=RCU, about=("handle_removed_pt", "tdp_mmu_free_sp_rcu_callback"))
def reader_of_an_invalidated_root(vm: StoryBuilder) -> None:
    """A memslot is deleted while a reader walks: all tables are retired, none is freed under the reader.

    The vCPU meanwhile runs on a new root.
    """
    memory(vm, gfn=0, npages=0x400)
    for gfn in (0, 1, X2M):
        vm.access(gfn=gfn, kind=WRITE)
    vm.walk_begin(vcpu=0, gfn=0).walk_next().walk_next().walk_next()
    vm.set_memory_region(gfn=0, npages=0, page=0).claim(
        "tables are retired", lambda now: len(now.retired) > 0
    )
    vm.access(gfn=0, kind=READ).claim("the vCPU goes on", lambda now: now.end == End.EMULATED)
    vm.grace_period().claim("no grace period passes", lambda now: now.outcome == [0])
    vm.walk_next().claim("the reader finds nothing present", lambda now: now.leaf(1) is None)
    vm.walk_end()
    vm.grace_period().claim("all are freed", lambda now: not now.retired)


@story(
    modes=TDP_MODES,
    source="arch/x86/kvm/mmu/tdp_iter.c: tdp_iter_next(), try_step_down() and try_step_up()",
    about=("tdp_iter_next", "try_step_side", "try_step_up", "try_step_down"),
    mutants=[
        Mutant(
            "an iterator loses its place when it steps sideways",
            Substitution(ITER_C, "iter->next_last_level_gfn = iter->gfn;\n", ""),
        ),
        Mutant(
            "an iterator loses its place when it steps sideways",
            Substitution(ITER_C, "iter->next_last_level_gfn = iter->gfn;\n", "", "7.3"),
            "npt",
        ),
    ],
)
def reader_across_tables(vm: StoryBuilder) -> None:
    """A reader advances from the last entry of a table up and into the next one.

    It sees every entry once, in the order of gfns.
    """
    memory(vm, gfn=0, npages=0x400)
    for gfn in (0x1FE, 0x1FF, 0x200):
        vm.access(gfn=gfn, kind=WRITE)
    vm.walk_begin(vcpu=0, gfn=0x1FE).walk_next().walk_next().walk_next()
    vm.claim("at the gfn", lambda now: now.reader[1:3] == (1, 0x1FE))
    vm.walk_next().claim("then the next", lambda now: now.reader[1:3] == (1, 0x1FF))
    vm.walk_next().claim("then the next table's entry", lambda now: now.reader[1:3] == (2, 0x200))
    vm.walk_next().claim("then into it", lambda now: now.reader[1:3] == (1, 0x200))
    vm.walk_end()


@story(
    modes=TDP_MODES,
    source="arch/x86/kvm/mmu/tdp_iter.c: try_step_down() reads the entry again",
    about=("tdp_iter_next", "try_step_down", "tdp_mmu_split_huge_page"),
    mutants=[
        Mutant(
            "an iterator steps down by a stale value of the entry",
            Substitution(
                ITER_C, "iter->old_spte = kvm_tdp_mmu_read_spte(iter->sptep);\n\n\tchild_pt", "child_pt"
            ),
        ),
    ],
)
def reader_meets_a_changed_entry(vm: StoryBuilder) -> None:
    """A huge page is split while a reader is at its entry: stepping down, the reader enters the new table.

    The value that it read before is stale; it must read the entry again before it steps down.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE)
    vm.walk_begin(vcpu=0, gfn=X2M).walk_next().walk_next()
    vm.claim("at the huge page", lambda now: now.reader[1:3] == (2, X2M))
    vm.set_memory_region(gfn=X2M, npages=X2M, page=0, flags=1)
    vm.claim("it is split", lambda now: now.has_table(1, X2M))
    vm.walk_next().claim("the reader is in the new table", lambda now: now.reader[1:3] == (1, X2M))
    vm.walk_end()
    vm.access(gfn=X2M, kind=WRITE).claim("the guest goes on", lambda now: now.end == End.DONE)
