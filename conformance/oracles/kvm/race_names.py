# SPDX-License-Identifier: GPL-2.0-only
"""Text for reports: what a thread of a race does next, in which function, and to what object."""

from __future__ import annotations

import bisect
from pathlib import Path
from typing import NamedTuple

from conformance.interface.memory_access import Access
from conformance.oracles.kvm.race_interface import Named, What
from conformance.oracles.kvm.symbols import symbols_of

__all__ = ["Names", "Spte"]

_VERBS = {
    Access.READ: "reads",
    Access.WRITE: "writes",
    Access.RMW: "updates",
    Access.LOCK: "locks",
    Access.LOCK_SHARED: "locks for read",
    Access.UNLOCK: "unlocks",
    Access.WAIT: "waits for",
    Access.MARK: "adds to",
}
_SIZES = ("", "4K", "2M", "1G", "512G", "256T")


class Spte(NamedTuple):
    """An entry of KVM's tables, and its value."""

    level: int
    gfn: int
    table: int
    """The serial number of its table: memory that is allocated again is another table."""
    value: int


class Names:
    """The names of a library's functions and objects."""

    def __init__(self, library: Path) -> None:
        symbols = symbols_of(library)
        self._offsets = [offset for offset, _ in symbols]
        self._functions = [name for _, name in symbols]

    def function(self, offset: int) -> str:
        """The function that an offset into the library lies in."""
        index = bisect.bisect_right(self._offsets, offset) - 1
        return self._functions[index] if index >= 0 else f"{offset:#x}"

    def step(self, kind: int, caller: int, named: Named) -> str:
        """What a function does next, and to what object."""
        # A return address may be just behind the function, if the call does not return.
        return f"{self.function(caller - 1)} {_VERBS[kind]} {self.thing(named)}"

    def thing(self, named: Named) -> str:
        """The object that is accessed."""
        first, second, third = named.numbers[:3]
        if named.what == What.SPTE:
            return f"spte {_SIZES[first]} gfn={second:#x} (table #{third})"
        if named.what == What.HOST:
            return f"host pte {_SIZES[first]} page={second:#x}"
        if named.what == What.FRAME:
            return f"frame pfn={first:#x}"
        if named.what == What.WORD:
            return f"word {second} of pfn={first:#x}"
        if named.what == What.MEMORY:
            return f"memory {first:#x}"
        if named.what == What.SYMBOL:
            return f"variable {first:#x}"
        name = named.name.decode()
        if name == "guest":
            return f"guest mode of CPU {first}"
        structure, arrow, field = name.partition("->")
        which = {"kvm_vcpu": f"vcpu{first}", "kvm_mmu_page": f"sp #{first}"}.get(structure, structure)
        return f"{which}{arrow}{field}{f'+{second:#x}' if second else ''}"

    def spte(self, named: Named) -> Spte | None:
        """The SPTE that is accessed; None for another object."""
        if named.what != What.SPTE:
            return None
        return Spte(named.numbers[0], named.numbers[1], named.numbers[2], named.numbers[3])
