# SPDX-License-Identifier: GPL-2.0-only
"""The permission check across 216b1a47e80c ("KVM: x86/mmu: use kvm_page_format to test SPTEs") in v7.3.

is_access_allowed() became spte_permission_fault(), which returns the opposite and looks it up in a bitmap of
the MMU. Here it is the bitmap of a TDP MMU: reads need R, writes W, fetches X, user accesses under NPT U.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conformance.differential.properties import PROPERTIES
from conformance.differential.property import Property
from conformance.differential.sides import Absence, Rows, Side
from conformance.model.layout import Layout
from conformance.model.modes import Mode
from conformance.model.semantics import Semantics

__all__ = ["OLD", "PermissionCheck", "applies"]

OLD, NEW = "is_access_allowed", "spte_permission_fault"
WRITE, USER, FETCH = 1 << 1, 1 << 2, 1 << 4
"""Bits of a page fault's error code (Intel SDM vol. 3, 4.7)."""

Words = NDArray[np.uint64]


def applies(before: Side, after: Side) -> bool:
    """Whether the first kernel has the old check, and the second only the new one."""
    old, new = PROPERTIES[OLD], PROPERTIES[NEW]
    return before.absence(old) is None and after.absence(new) is None and after.absence(old) is not None


class PermissionCheck:
    """A side that answers the old check by the new one of a kernel."""

    def __init__(self, kernel: Side) -> None:
        self._kernel = kernel
        self.title = kernel.title
        self.profile = kernel.profile

    @property
    def unexpected(self) -> str:
        """See Side."""
        return self._kernel.unexpected

    def absence(self, prop: Property) -> Absence | None:
        """Why the kernel cannot be asked; None if it can."""
        return self._kernel.absence(PROPERTIES[NEW])

    def semantics(self, mode: Mode) -> Semantics:
        """See Side."""
        return self._kernel.semantics(mode)

    def reading(self, mode: Mode) -> Semantics:
        """See Side."""
        return self._kernel.reading(mode)

    def capacity(self, prop: Property) -> int:
        """See Side."""
        return self._kernel.capacity(PROPERTIES[NEW])

    def submit(self, prop: Property, mode: Mode, batch: Words, numbering: Semantics | None) -> None:
        """Ask for the same access as an error code, with the bitmap. Raises KernelDied."""
        spte, fetch, write, user, present = batch
        code = present | write * np.uint64(WRITE) | user * np.uint64(USER) | fetch * np.uint64(FETCH)
        bitmap = rows(self.semantics(mode).layout, ept=mode.ept)
        asked = np.stack([spte, code, *(np.full_like(spte, row) for row in bitmap)])
        self._kernel.submit(PROPERTIES[NEW], mode, asked, numbering)

    def collect(self) -> Rows:
        """What the kernel allows: the opposite of its answer. Raises KernelDied."""
        answer = self._kernel.collect()
        answer[0] ^= np.uint64(1)
        return answer


def rows(bits: Layout, *, ept: bool) -> list[int]:
    """The sixteen rows of the bitmap, four to a word: for each kind of access which grants forbid it."""
    words = [0, 0, 0, 0]
    for row in range(16):
        code = row << 1
        for grant in range(16):
            forbidden = (
                (code & WRITE and not grant & bits.acc_write_mask)
                or (code & FETCH and not grant & bits.acc_exec_mask)
                or (not code & (WRITE | FETCH) and not grant & bits.acc_read_mask)
                or (not ept and code & USER and not grant & bits.acc_user_mask)
            )
            words[row // 4] |= bool(forbidden) << (16 * (row % 4) + grant)
    return words
