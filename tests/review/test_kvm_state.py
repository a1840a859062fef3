# SPDX-License-Identifier: GPL-2.0-only
"""What two KVMs keep is compared member by member, by name, wherever the members lie."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from conformance.oracles.kvm.members import Layout, Member
from conformance.oracles.kvm.raw_state import FLUSHES, STRUCTURES, VARIABLES, VCPU, Object, RawStateReader
from conformance.oracles.kvm.variables import Variable
from conformance.review.kvm_state import Kept, Rules

WORD = Member("arch.root_mmu.cpu_role.word", 64, 32, 1, "int", "kvm_mmu_page_role")
BITS = [
    Member("arch.root_mmu.cpu_role.level", 64, 4, 1, "bits", "kvm_mmu_page_role"),
    Member("arch.root_mmu.cpu_role.direct", 68, 1, 1, "bits", "kvm_mmu_page_role"),
]
BEFORE = Layout(
    32,
    (
        Member("arch.root_mmu.permissions", 0, 8, 8, "int", "kvm_mmu"),
        WORD,
        *BITS,
        Member("arch.mmio_gva", 128, 64, 1, "int", "kvm_vcpu_arch"),
    ),
)
AFTER = Layout(
    40,
    (
        Member("arch.new", 0, 64, 1, "int", "kvm_vcpu_arch"),
        Member("arch.root_mmu.permissions", 64, 8, 8, "int", "kvm_mmu"),
        WORD._replace(bit=128),
        BITS[0]._replace(bit=128),
        Member("arch.root_mmu.cpu_role.smm", 132, 1, 1, "bits", "kvm_mmu_page_role"),
        BITS[1]._replace(bit=133),
        Member("arch.mmio_gva", 192, 64, 1, "int", "kvm_vcpu_arch"),
    ),
)


def reader(layout, tmp_path, *variables):
    nothing = {name: Layout(8, ()) for name in STRUCTURES.values()}
    made = RawStateReader(tmp_path / "kvm.so", {**nothing, "kvm_vcpu": layout})
    made.variables = [Variable(0, size, name) for name, size in variables]
    return made


def vcpu(*words):
    return {(VCPU, 0): Object(VCPU, 0, 8 * len(words), np.array(words, np.uint64))}


def facts(rules, before, after):
    one, other = Kept(rules, before), Kept(rules, after)
    found = one.facts(other)
    assert (one == other) == (not found)
    return found


def test_a_member_that_differs_is_named(tmp_path):
    rules = Rules(reader(BEFORE, tmp_path), reader(BEFORE, tmp_path))
    assert facts(rules, vcpu(0xF00, 0, 7, 0), vcpu(0xF00, 0, 7, 0)) == []
    name = "kept: vCPU 0: arch.root_mmu.permissions[1] (struct kvm_mmu)"
    assert facts(rules, vcpu(0xF00, 0, 7, 0), vcpu(0, 0, 7, 0)) == [(name, "0xf", "0x0")]


def test_padding_counts_for_nothing(tmp_path):
    rules = Rules(reader(BEFORE, tmp_path), reader(BEFORE, tmp_path))
    assert facts(rules, vcpu(0, 0, 7, 1), vcpu(0, 1 << 32, 7, 2)) == []


def test_bits_are_told_and_not_the_word_that_they_are_in(tmp_path):
    rules = Rules(reader(BEFORE, tmp_path), reader(BEFORE, tmp_path))
    found = facts(rules, vcpu(0, 0x14, 7, 0), vcpu(0, 0x15, 7, 0))
    assert found == [("kept: vCPU 0: arch.root_mmu.cpu_role.level (struct kvm_mmu_page_role)", "0x4", "0x5")]


def test_members_that_moved_are_compared_by_name(tmp_path):
    rules = Rules(reader(BEFORE, tmp_path), reader(AFTER, tmp_path))
    assert facts(rules, vcpu(0xF00, 0x14, 7, 0), vcpu(99, 0xF00, 0x34, 7, 0)) == []
    found = facts(rules, vcpu(0xF00, 0x14, 7, 0), vcpu(99, 0xF00, 0x14, 8, 0))
    assert [name.split()[-3] for name, *_ in found] == ["arch.root_mmu.cpu_role.direct", "arch.mmio_gva"]


def test_variables_that_both_have_are_compared(tmp_path):
    rules = Rules(
        reader(BEFORE, tmp_path, ("mmu.c:max_huge_page_level", 4), ("shadow_x_mask", 8), ("wide", 8)),
        reader(BEFORE, tmp_path, ("a_new_one", 16), ("shadow_x_mask", 8), ("wide", 16)),
    )

    def kept(*words):
        return {(VARIABLES, 0): Object(VARIABLES, 0, 8 * len(words), np.array(words, np.uint64))}

    assert facts(rules, kept(3, 4, 0), kept(1, 2, 4, 5, 6)) == []
    assert facts(rules, kept(3, 4, 0), kept(1, 2, 5, 5, 6)) == [
        ("kept: variable shadow_x_mask", "0x4", "0x5")
    ]


def test_flushed_ranges_are_compared(tmp_path):
    rules = Rules(reader(BEFORE, tmp_path), reader(BEFORE, tmp_path))

    def flushed(*words):
        return {(FLUSHES, 0): Object(FLUSHES, 0, 8 * len(words), np.array(words, np.uint64))}

    assert facts(rules, flushed(0x10, 4), flushed(0x10, 4)) == []
    found = facts(rules, flushed(0x10, 4), flushed(0x10, 5))
    assert found == [("ranges of gfns flushed (start+pages)", "0x10+0x4", "0x10+0x5")]


def test_what_only_one_side_keeps_differs(tmp_path):
    rules = Rules(reader(BEFORE, tmp_path), reader(BEFORE, tmp_path))
    assert facts(rules, vcpu(0, 0, 7, 0), {}) == [("kept: vCPU 0", "kept", "nothing")]


@pytest.mark.parametrize("where", ["memory", "library"])
def test_pointers_count_by_what_they_point_to(tmp_path, where):
    """The same structure elsewhere in memory, and the same library loaded elsewhere, are no difference."""
    (tmp_path / "symbols").write_text("1000 kvm_tdp_page_fault\n2000 other.isra.0\n")
    (tmp_path / "variables").write_text("")

    def dump(base, address, pointer):
        head = (base, 0x10000)
        body = (VCPU, 0, address, 32, pointer, 0, 0, 0)
        return struct.pack(f"<{len(head) + len(body)}Q", *head, *body)

    layout = Layout(32, (Member("arch.mmu", 0, 64, 1, "pointer", "kvm_vcpu_arch"),))
    page = Layout(8, (Member("spt", 0, 64, 1, "pointer", "kvm_mmu_page"),))
    sides = [reader(layout, tmp_path) for _ in range(2)]
    for side in sides:
        side.layouts = {**side.layouts, "kvm_mmu_page": page}
    rules = Rules(*sides)
    at, elsewhere = 0x200000001000, 0x200000005000
    if where == "memory":
        dumps = dump(0x7000, at, at + 8), dump(0x7000, elsewhere, elsewhere + 8)
        third = dump(0x7000, elsewhere, elsewhere + 16)
    else:
        dumps = dump(0x7F0000000000, at, 0x7F0000001000), dump(0x7E0000000000, at, 0x7E0000001000)
        third = dump(0x7E0000000000, at, 0x7E0000002000)
    before, after = (side.read(one) for side, one in zip(sides, dumps, strict=True))
    other = sides[1].read(third)
    assert facts(rules, before, after) == []
    assert len(facts(rules, before, other)) == 1


def test_a_pointer_to_a_structure_that_got_a_first_member_is_the_same(tmp_path):
    (tmp_path / "symbols").write_text("1000 f\n")
    (tmp_path / "variables").write_text("")
    pointer = Member("arch.mmu", 0, 64, 1, "pointer", "kvm_vcpu_arch")
    first = Member("arch.root_mmu.first", 64, 64, 1, "int", "kvm_mmu")
    layouts = (
        Layout(24, (pointer, first)),
        Layout(24, (pointer, first._replace(name="arch.root_mmu.new"), first._replace(bit=128))),
    )
    page = Layout(8, (Member("spt", 0, 64, 1, "pointer", "kvm_mmu_page"),))
    sides = [reader(layout, tmp_path) for layout in layouts]
    for side in sides:
        side.layouts = {**side.layouts, "kvm_mmu_page": page}
    at = 0x200000001000
    contents = ((at + 8, 7, 0), (at + 8, 5, 7), (at, 5, 7))
    dumps = [struct.pack("<9Q", 0x7000, 0x10000, VCPU, 0, at, 24, *words) for words in contents]
    before, after, other = sides[0].read(dumps[0]), sides[1].read(dumps[1]), sides[1].read(dumps[2])
    rules = Rules(*sides)
    assert facts(rules, before, after) == []
    assert [name for name, *_ in facts(rules, before, other)] == [
        "kept: vCPU 0: arch.mmu (struct kvm_vcpu_arch)"
    ]


def test_the_size_of_a_structure_that_grew_is_no_difference(tmp_path):
    grown = [reader(Layout(size, ()), tmp_path, ("kvm_x86_ops", 8)) for size in (7424, 7432)]
    rules = Rules(*grown)
    kept = [{(VARIABLES, 0): Object(VARIABLES, 0, 8, np.array([size], np.uint64))} for size in (7424, 7432)]
    assert facts(rules, *kept) == []
    assert len(facts(rules, *kept[::-1])) == 1
