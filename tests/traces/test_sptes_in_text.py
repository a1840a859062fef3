# SPDX-License-Identifier: GPL-2.0-only
"""Lines as KVM prints them: which numbers are SPTEs, and what the line says about them."""

from __future__ import annotations

import pytest

from conformance.errors import ConformanceError
from conformance.traces.sptes import Found, numbers, search

W = 0x600000001234977
R = 0x600000001234975


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            " qemu-1 [003] ...1. 123.4: kvm_mmu_set_spte: gfn 1234 spte 600000001234977 (rwxu) level 1"
            " at 10a8b3000",
            [Found(W, "spte", 1, 0x1234, 0x10A8B3000)],
        ),
        (
            "fast_page_fault: vcpu 0 gva 1000 error_code P|W sptep 00000000a7f2c97a old 0x600000001234975"
            " new 600000001234977 spurious 0 fixed 1",
            [Found(R, "old", sptep=0xA7F2C97A), Found(W, "new", sptep=0xA7F2C97A)],
        ),
        (
            "kvm_tdp_mmu_spte_changed: as id 0 gfn 1200 level 2 old_spte 0 new_spte 600000001234977",
            [Found(0, "old_spte", 2, 0x1200), Found(W, "new_spte", 2, 0x1200)],
        ),
        (
            "kvm_mmu_split_huge_page: gfn 1200 spte 600000001234977 level 2 errno -12",
            [Found(W, "spte", 2, 0x1200)],
        ),
        (
            "check_mmio_spte: spte 80000fee0002d kvm_gen 5 spte-gen 5 valid 1",
            [Found(0x80000FEE0002D, "spte")],
        ),
        ("mark_mmio_spte: sptep:00000000a7f2c97a gfn fee00 access 6 gen 5", []),
        ("handle_mmio_page_fault: addr:fee00000 gfn fee00 access 2", []),
        ("kvm_mmu_paging_element: pte 12345067 level 1", []),
        ("kvm_mmu_get_page: sp gen 0 gfn 1234 l1 8-byte q0 direct wux nxe ad root 0 sync new", []),
        ("spte = 0x600000001234977, level = 1, rsvd bits = 0xfff8000000000", [Found(W, "spte", 1)]),
        (
            "[ 1.2] ------ spte = 0x600000001234977 level = 1, rsvd bits = 0xfff8000000000",
            [Found(W, "spte", 1)],
        ),
        ("------ spte 0x600000001234977 level 1.", [Found(W, "spte", 1)]),
        ("get_mmio_spte: reserved bits set on MMU-present spte, addr 0x123, hierarchy:", []),
        (", spte[4] = 0x10a8b3907, spte[3] = 0x0", [Found(0x10A8B3907, "spte", 4), Found(0, "spte", 3)]),
        ("spte[level 2]: 0x600000001234977", [Found(W, "spte", 2)]),
        ("kvm: Writable SPTE is not MMU-writable: 600000001234977", [Found(W, "SPTE")]),
        ("kvm: MMU-writable SPTE is not Host-writable: 600000001234977", [Found(W, "SPTE")]),
        (
            "SPTE 600000001234977 (@ ffffc90000123000) for gfn 1234 shadow-present at free",
            [Found(W, "SPTE", None, 0x1234, 0xFFFFC90000123000)],
        ),
        (
            "as_id: 0 gfn: 1234 old_spte: 600000001234977 new_spte: 0 level: 1",
            [Found(W, "old_spte", 1, 0x1234), Found(0, "new_spte", 1, 0x1234)],
        ),
        ("rmap_add: spte ffff888123456008 600000001234977 gfn 1234 (2)", [Found(W, "spte", None, 0x1234)]),
        ("spte 00000000a7f2c97a 600000001234977", [Found(W, "spte")]),
        ("RIP: 0010:make_spte+0x1f/0x90 [kvm]", []),
        (" ? get_mmio_spte+0x12", []),
        ("ffffffffc0aa1230 t make_spte\t[kvm]", []),
        ("RAX: 0600000001234977 RBX: ffff888123456008 RCX: 0000000000000000", []),
        ("SPTE: 0x0600_0000_0123_4977.", [Found(W, "SPTE")]),
        ("> new_spte 600000001234977", [Found(W, "new_spte")]),
        ("**SPTE:** `0x600000001234977`", [Found(W, "SPTE")]),
        ("iter->old_spte=600000001234977;", [Found(W, "old_spte")]),
        ("*sptep = 0x600000001234977ULL", [Found(W, "*sptep")]),
        ('{"spte": "0x600000001234977", "level": 2, "gfn": "0x12"}', [Found(W, "spte", 2, 0x12)]),
        ("spte 0x600000001234975 -> 0x600000001234977", [Found(R, "spte"), Found(W, "spte")]),
        (
            "the SPTE changed from 0x600000001234975 to 0x600000001234977",
            [Found(R, "SPTE"), Found(W, "SPTE")],
        ),
        ("sptes: 0x600000001234975, 0x600000001234977", [Found(R, "sptes"), Found(W, "sptes")]),
        ("spte 0x600000001234975, 0xffff888000000000 is its table", [Found(R, "spte")]),
        ("the spte is 0x600000001234977 at level 2M", [Found(W, "spte", 2)]),
        ("\x1b[31mspte\x1b[0m = 0x600000001234977", [Found(W, "spte")]),
        ("each SPTE 2 times, an SPTE of 4 tables, spte added, SPTE be cleared, spte 4K gfn=0x102", []),
        ("WARNING: spte 12:34:56 spte 1.5", []),
        ("", []),
    ],
)
def test_a_line(text, found):
    assert search(text) == found


@pytest.mark.parametrize(
    ("text", "strict", "sptes"),
    [
        ("600000001234977", True, [W]),
        ("0x600000001234977, 0x600000001234975", True, [W, R]),
        ("0x600000001234977 level 1", True, [W]),
        ("dead", True, [0xDEAD]),
        ("dead beef", False, []),
        ("00000000 48 8b 05 10", False, []),
        ("600000001234977 0", False, [W, 0]),
        ("> 0x600000001234977", False, [W]),
        ("0xffff888000000000: 0x0000000000000000 0x0600000001234977", False, [0, W]),
        ("word 600000001234977", False, []),
        ("-1", False, []),
        ("  ", True, []),
        ("level 2", True, []),
    ],
)
def test_numbers_alone(text, strict, sptes):
    assert [one.spte for one in numbers(text, strict=strict)] == sptes


def test_a_number_has_the_level_beside_it():
    assert numbers("0x600000001234977 level 2 gfn 12")[0] == Found(W, "", 2, 0x12)


@pytest.mark.parametrize("text", ["spte=0x10000000000000000", "spte=-1", "spte: -5"])
def test_a_number_that_can_be_no_spte(text):
    with pytest.raises(ConformanceError, match="an SPTE"):
        search(text)


def test_a_line_of_many_sptes_is_read_in_one_pass():
    count = 40_000
    found = search("gfn 2 " + "spte=0x1 " * count)
    assert len(found) == count and found[-1].gfn == 2
    assert len(numbers("0x1 " * count)) == count
