# SPDX-License-Identifier: GPL-2.0-only
"""What no story looks at is seen in what KVM keeps: planted mutants that leave SPTEs as they are."""

from __future__ import annotations

import pytest

from conformance.kernels import Cache, open_kernel
from conformance.kernels.substitutions import Substitution, write_patch
from conformance.model.modes import MODES
from conformance.oracles.kvm.build import build_kvm, layouts_of
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.kvm.raw_state import RawStateReader
from conformance.review.kvm_state import Rules
from conformance.review.plan import ReviewPlan
from conformance.review.stories import play_stories
from conformance.scenarios.machines import take
from conformance.scenarios.stories import STORIES

MMU, TDP, X86, MAIN = (
    "arch/x86/kvm/mmu/mmu.c",
    "arch/x86/kvm/mmu/tdp_mmu.c",
    "arch/x86/kvm/x86.c",
    "virt/kvm/kvm_main.c",
)

FLUSHED = "ranges of gfns flushed"

EVERY = [
    (MMU, "efer_lma = ____is_efer_lma(regs);", "efer_lma = 0;", "cpu_role.ext.efer_lma"),
    (MMU, "_level = tdp_huge_page_level;", "_level = tdp_huge_page_level - 1;", "mmu.c:max_huge_page_level"),
    (X86, "linfo[lpages - 1].disallow_lpage = 1;", ";", "lpage_info of memslot"),
]
"""A file, what is there, what is planted, and what then differs."""

MUTANTS = {
    "6.1": [
        (MMU, "] = ff | uf | wf | smepf | smapf;", "] = 0;", "permissions"),
        *EVERY,
        (
            MMU,
            "guest_rsvd_check,\n\t\t\t\tvcpu->arch",
            "guest_rsvd_check,\n\t\t\t\t~vcpu->arch",
            "guest_rsvd_check",
        ),
        (MMU, "\t\t\t\t\t   memslot->npages);", "\t\t\t\t\t   memslot->npages + 1);", FLUSHED),
        (TDP, "list_add(&sp->link, &kvm->arch", "INIT_LIST_HEAD(&sp->link); (void)(&kvm->arch", "length"),
    ],
    "7.3": [
        (MMU, "] = ff | uf | wf | rf | smapf;", "] = 0;", "permissions"),
        *EVERY,
        (MMU, "(&w->fmt,\n\t\t\t\tvcpu->arch", "(&w->fmt,\n\t\t\t\t~vcpu->arch", "rsvd_bits_mask"),
        (MAIN, "memslot->base_gfn, memslot->npages);", "memslot->base_gfn, memslot->npages + 1);", FLUSHED),
    ],
}
"""The same of each kernel, with what it has another text for."""


def played(before, after, function, names=STORIES):
    """The results of the stories that execute a function."""
    reach = dict.fromkeys(names, frozenset())
    return play_stories(before, after, {function}, ReviewPlan(), quiet, {}, reach).concerning({function})


def planted(selector, changes, directory):
    """The kernel with these changes."""
    base = open_kernel(selector)
    substitutions = [Substitution(file, old, new, selector) for file, old, new, *_ in changes]
    return base, open_kernel(selector, [write_patch(base, substitutions, directory / "mutants.patch")])


def quiet(_):
    """Progress that is not shown."""


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("selector", sorted(MUTANTS))
def test_what_is_kept_shows_the_mutants(selector, tmp_path):
    kernels = planted(selector, MUTANTS[selector], tmp_path)
    readers = [
        RawStateReader(build_kvm(one, Cache(), quiet, coverage=True), layouts_of(one, Cache()))
        for one in kernels
    ]
    rules, differing = Rules(*readers), set()
    for story in list(STORIES.values()):
        host, script = MODES["ept-ad"].host(), story.script
        if "ept-ad" not in story.modes:
            continue
        with (
            KvmOracle(readers[0].library, host, script.options, raw_state=readers[0].request) as before,
            KvmOracle(readers[1].library, host, script.options, raw_state=readers[1].request) as after,
        ):
            for step in script.steps:
                take(before, step)
                take(after, step)
                dumps = readers[0].read(before.raw_state()), readers[1].read(after.raw_state())
                differing.update(name for name, *_ in rules.differing(*dumps))
    for *_, what in MUTANTS[selector]:
        assert any(what in name for name in differing), what


@pytest.mark.kernel
@pytest.mark.slow
def test_a_mutant_is_shortened_to_a_story(tmp_path):
    before, after = planted("6.1", MUTANTS["6.1"][:1], tmp_path)
    seen = played(before, after, "update_permission_bitmask")
    found = [one.difference for one in seen if one.difference]
    assert found
    assert any("permissions" in name for name in found[0].kernel)
    assert len(found[0].steps) == 1


@pytest.mark.kernel
@pytest.mark.slow
def test_a_rewritten_function_keeps_the_same(tmp_path):
    """The same permissions, put together from the last to the first."""
    loop = "for (byte = {}) {{\n\t\tunsigned pfec = byte"
    old = loop.format("0; byte < ARRAY_SIZE(mmu->permissions); ++byte")
    refactored = [(MMU, old, loop.format("ARRAY_SIZE(mmu->permissions); byte-- > 0;"))]
    before, after = planted("6.1", refactored, tmp_path)
    seen = played(before, after, "update_permission_bitmask")
    assert seen
    assert not any(one.difference for one in seen)


HOST = "arch/x86/include/asm/kvm_host.h"
INTERNAL = "arch/x86/kvm/mmu/mmu_internal.h"


@pytest.mark.kernel
@pytest.mark.slow
def test_members_that_move_make_no_difference(tmp_path):
    """New members in front of what is kept, and bits of a role elsewhere."""
    level, format_ = "unsigned level:4;\n", "unsigned has_4_byte_gpte:1;\n"
    moved = [
        (HOST, "struct kvm_mmu {\n", "struct kvm_mmu {\n\tu64 conformance_mmu;\n"),
        (HOST, "struct kvm_vcpu_arch {\n", "struct kvm_vcpu_arch {\n\tu32 conformance_vcpu;\n"),
        (HOST, "struct kvm_arch {\n", "struct kvm_arch {\n\tu64 conformance_vm[3];\n"),
        (HOST, f"\t\t{level}\t\t{format_}", f"\t\t{format_}\t\t{level}"),
        (INTERNAL, "struct kvm_mmu_page {\n", "struct kvm_mmu_page {\n\tu64 conformance_page;\n"),
    ]
    before, after = planted("6.1", moved, tmp_path)
    names = (
        "first_write",
        "write_after_logging_began",
        "logs_of_two_processors",
        "memory_appears_where_mmio_was",
    )
    seen = played(before, after, "kvm_tdp_page_fault", names)
    assert {one.name for one in seen} == {*names}
    assert [one.difference.kernel for one in seen if one.difference] == []
