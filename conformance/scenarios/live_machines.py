# SPDX-License-Identifier: GPL-2.0-only
"""The emulated machines in which kernels are booted, and the modes of the hosts that they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.kernels.bootable import Bootable
from conformance.model.modes import VM_MODES, Mode
from conformance.oracles.live.bochs import Bochs
from conformance.oracles.live.emulator import Emulator
from conformance.oracles.live.qemu import Qemu

__all__ = ["DEFAULT_MACHINE", "MACHINES", "LiveHost"]

DEFAULT_MACHINE = "qemu"


@dataclass(frozen=True)
class LiveHost:
    """An emulator, and the host that it emulates.

    phys_bits: address bits, 0 for those of the mode. l1tf: whether its processor is affected.
    """

    title: str
    start: Callable[[Bootable, Path, str], Emulator]
    modes: tuple[str, ...]
    phys_bits: int = 0
    l1tf: bool = False

    def absent(self, mode: str) -> str:
        """Why a mode is not played in it; "" if it is."""
        if mode in self.modes:
            return ""
        others = [f"--machine {name}" for name, one in MACHINES.items() if mode in one.modes]
        reason = f"a machine in {self.title} is played in {', '.join(self.modes)} only"
        return f"{reason}; see {others[0]}" if others else reason

    def mode(self, name: str) -> Mode:
        """The mode on this host."""
        found = VM_MODES[name]
        if self.phys_bits:
            found = replace(found, phys_bits=self.phys_bits, cache_bits=self.phys_bits, l1tf=self.l1tf)
        return found


MACHINES = {
    "qemu": LiveHost("QEMU", Qemu, ("npt", "legacy-npt", "shadow", "shadow-nommio")),
    "bochs": LiveHost(
        "Bochs", Bochs, ("ept-ad", "ept-noad", "legacy-ept-ad", "legacy-ept-noad"), phys_bits=40, l1tf=True
    ),
}
"""Each by its name for --machine."""
