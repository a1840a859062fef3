# SPDX-License-Identifier: GPL-2.0-only
"""Which SPTEs an emulated write concerns, and when a table counts as no table any more."""

import pytest
from shadow_pages_by_hand import page, vm_of

from conformance.model.shadow_mmu.pte_write import (
    detect_write_flooding,
    detect_write_misaligned,
    get_written_sptes,
)

GPA = 0x1000


def written(level, offset, **role):
    return [sptep.at for sptep in get_written_sptes(page(vm_of(), level, 1, **role), GPA + offset)]


def test_an_entry_of_8_bytes_is_one_spte():
    assert written(2, 0) == [0] and written(4, 0xFF8) == [511] and written(1, 0x14) == [2]


@pytest.mark.parametrize(
    ("offset", "quadrant", "found"),
    [(0, 0, [0, 1]), (0x3FC, 0, [510, 511]), (0x400, 0, []), (0x400, 1, [0, 1]), (0xFFE, 3, [510, 511])],
)
def test_a_4_byte_directory_entry_is_two_sptes_in_one_of_four_pages(offset, quadrant, found):
    assert written(2, offset, has_4_byte_gpte=1, quadrant=quadrant) == found


@pytest.mark.parametrize(
    ("offset", "quadrant", "found"), [(4, 0, [1]), (0x7FC, 0, [511]), (0x800, 0, []), (0x804, 1, [1])]
)
def test_a_4_byte_entry_is_one_spte_in_one_of_two_pages(offset, quadrant, found):
    assert written(1, offset, has_4_byte_gpte=1, quadrant=quadrant) == found


@pytest.mark.parametrize(
    ("offset", "size", "misaligned"),
    [
        *[(0, 8, False), (8, 4, False), (4, 4, False), (4, 8, True), (6, 4, True)],
        *[(0, 1, False), (8, 1, False), (1, 1, True), (0, 2, True)],
    ],
)
def test_a_write_must_be_to_one_entry(offset, size, misaligned):
    assert detect_write_misaligned(page(vm_of(), 2), GPA + offset, size) is misaligned


def test_the_third_write_to_an_upper_table_in_a_row_is_a_flood():
    upper, leaf = page(vm_of(), 2), page(vm_of(), 1)
    assert [detect_write_flooding(upper) for _ in range(3)] == [False, False, True]
    assert not any(detect_write_flooding(leaf) for _ in range(3))
    upper.write_flooding_count = 0
    assert not detect_write_flooding(upper)
