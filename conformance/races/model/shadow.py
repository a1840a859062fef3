# SPDX-License-Identifier: GPL-2.0-only
"""Races of shadow paging, explored as those of the machine are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import Profile
from conformance.model.shadow_mmu.toy.page import Guest
from conformance.model.shadow_mmu.toy.steps import STEPS
from conformance.model.vm.host_pages import PageFlags
from conformance.model.vm.mmu_pages import KvmMmuPage, TableMemory
from conformance.model.vm.vm import KvmVcpu
from conformance.races.model.threads import Race, Steps

__all__ = ["RacingShadow"]


class RacingShadow(Race):
    """The race of ``threads`` over one shadow page, ``direct`` or not, of a kernel with ``profile``."""

    def __init__(
        self,
        profile: Profile,
        *,
        direct: bool,
        vcpus: int = 1,
        setup: Steps = (),
        threads: Mapping[str, Steps],
        closing: Steps = (),
    ) -> None:
        super().__init__(threads, closing)
        self.k = kernel_in(MODES["shadow"], profile)
        self.memory = TableMemory(self.k)
        sp = KvmMmuPage(1, 1, 0, 0, self.k.layout.nonpresent_value)
        self.memory.by_serial[1] = sp
        self.guest = Guest(self.k, direct, [KvmVcpu(n) for n in range(vcpus)], self.memory, sp)
        for step, given in setup:
            self.take(step, dict(given))
        # Dirty and accessed frames of the setup do not count.
        self.guest.flags = PageFlags()
        self.note_state(self.guest)

    def take(self, step: str, given: dict[str, int]) -> list[int]:
        """Take one step. Raises ValueError if it does not exist."""
        if step not in STEPS:
            raise ValueError(f"no such step of shadow paging: {step}")
        outcome: list[int] = STEPS[step](self.guest, **given)
        return outcome

    def observe(self) -> dict[str, Any]:
        """The SPTEs, the guest's and the host's tables, and the dirty log."""
        guest = self.guest
        shown = {"sptes": dict(guest.sp.entries), "gptes": dict(guest.gptes), "host": dict(guest.host)}
        return shown | {"dirty_bitmap": guest.dirty_bitmap}

    def flags(self) -> PageFlags:
        """Those of the guest's frames."""
        return self.guest.flags
