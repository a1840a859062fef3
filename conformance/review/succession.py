# SPDX-License-Identifier: GPL-2.0-only
"""The permission check across 216b1a47e80c ("KVM: x86/mmu: use kvm_page_format to test SPTEs") in v7.3.

is_access_allowed() became spte_permission_fault(), which answers the opposite and looks it up in a bitmap of
the MMU's. It is given that of a TDP MMU here: reads need R, writes W, fetches X, user accesses under NPT U.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conformance.differential.comparison import Comparison
from conformance.differential.duel import Duel
from conformance.differential.properties import PROPERTIES
from conformance.model.layout import Layout
from conformance.model.modes import Mode
from conformance.model.profiles import Profile
from conformance.oracles.child import FunctionOracle

__all__ = ["OLD", "PermissionCheck", "applies"]

OLD, NEW = "is_access_allowed", "spte_permission_fault"
WRITE, USER, FETCH = 1 << 1, 1 << 2, 1 << 4
"""Bits of a page fault's error code (Intel SDM vol. 3, 4.7)."""

Words = NDArray[np.uint64]


def applies(oracles: tuple[FunctionOracle, FunctionOracle]) -> bool:
    """Whether the first kernel has the old check, and the second the new one."""
    return OLD in oracles[0].entries and NEW in oracles[1].entries and OLD not in oracles[1].entries


class PermissionCheck(Duel):
    """The old check on the kernel before, the new one on the kernel after."""

    def __init__(
        self, mode: Mode, profiles: tuple[Profile, Profile], oracles: tuple[FunctionOracle, FunctionOracle]
    ) -> None:
        super().__init__(PROPERTIES[OLD], mode, profiles, (oracles[0], oracles[0]))
        self._other = Comparison(PROPERTIES[NEW], mode, profiles[1], oracles[1])
        self._rows = tuple(rows(self._other.kernel.layout, ept=mode.ept))

    def ask_model(self, batch: Words) -> Words:
        """What the kernel after the change allows."""
        answer = self._other.ask_kernel(self._translated(batch))
        answer[0] ^= np.uint64(1)
        return answer

    def _translated(self, batch: Words) -> Words:
        """The same access as an error code, with the bitmap."""
        spte, fetch, write, user, present = batch
        code = present | write * np.uint64(WRITE) | user * np.uint64(USER) | fetch * np.uint64(FETCH)
        return np.stack([spte, code, *(np.full_like(spte, row) for row in self._rows)])


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
