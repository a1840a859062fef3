# SPDX-License-Identifier: GPL-2.0-only
"""Every host at once: the facts that decide the masks as symbols, restricted to what a processor can have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import z3

from conformance.model.layout import SPTE_BASE_ADDR_MASK
from conformance.model.modes import MODES, Mode

__all__ = ["KINDS", "EveryHost", "host_values"]

KINDS = {"shadow": (False, False), "npt": (True, False), "ept": (True, True)}
"""How KVM uses a host, as ``tdp`` and ``ept`` of a Mode."""

_PREFIX = "host "
_NUMBERS = ("phys_bits", "cache_bits", "me_value", "me_mask")
_WIDTHS = ("phys_bits", "cache_bits")
_FLAGS = ("l1tf", "mmio_caching", "ad_bits", "exec_only")


@dataclass
class EveryHost:
    """All hosts that KVM uses in one way (``kind``).

    The masks are never free: each side's own setters compute them from these symbols, and the setters are
    compared themselves. ``restrictions`` limit the values.
    """

    kind: str
    symbols: dict[str, z3.ExprRef] = field(init=False)
    restrictions: list[z3.BoolRef] = field(init=False)

    def __post_init__(self) -> None:
        self.symbols = {name: z3.BitVec(_PREFIX + name, 64) for name in _NUMBERS}
        self.symbols |= {name: z3.Bool(_PREFIX + name) for name in _FLAGS}
        bits = [self.symbols["phys_bits"], self.symbols["cache_bits"]]
        value, mask = self.symbols["me_value"], self.symbols["me_mask"]
        self.restrictions = [
            *(z3.And(z3.UGE(one, 32), z3.ULE(one, 52)) for one in bits),
            mask & ~z3.BitVecVal(SPTE_BASE_ADDR_MASK, 64) == 0,
            value & ~mask == 0,
        ]

    @property
    def mode(self) -> Mode:
        """These hosts as a Mode."""
        tdp, ept = KINDS[self.kind]
        return Mode(self.kind, "every host", tdp=tdp, ept=ept, **self.symbols)

    @property
    def words(self) -> dict[str, int | z3.BitVecRef]:
        """These hosts as words, by the names of oracles.hosts."""
        one = {name: z3.If(self.symbols[name], z3.BitVecVal(1, 64), z3.BitVecVal(0, 64)) for name in _FLAGS}
        tdp, ept = KINDS[self.kind]
        fixed = {"tdp": int(tdp), "ept": int(ept), "tdp_mmu": int(self.mode.tdp_mmu)}
        return {**{name: self.symbols[name] for name in _NUMBERS}, **one, **fixed}

    def named(self, names: Iterable[str]) -> list[str]:
        """Those of the modes that are of this kind."""
        return [name for name in names if (MODES[name].tdp, MODES[name].ept) == KINDS[self.kind]]

    def one(self, model: z3.ModelRef) -> Mode:
        """The host that a solver's model describes."""
        values = {name: model.eval(symbol, model_completion=True) for name, symbol in self.symbols.items()}
        numbers = {name: values[name].as_long() for name in _NUMBERS}
        flags = {name: z3.is_true(values[name]) for name in _FLAGS}
        parts = [f"{name}={numbers[name]}" for name in _WIDTHS]
        parts += [f"{name}={numbers[name]:#x}" for name in _NUMBERS if name not in _WIDTHS and numbers[name]]
        parts += [name for name, value in flags.items() if value]
        tdp, ept = KINDS[self.kind]
        title = f"{self.kind} with {', '.join(parts)}"
        return Mode(title, "found by the solver", tdp=tdp, ept=ept, **numbers, **flags)

    @property
    def plain(self) -> list[z3.BoolRef]:
        """Conditions that make a reported host simpler, each to be met if possible."""
        numbers = [self.symbols[name] == 0 for name in _NUMBERS if name not in _WIDTHS]
        return [*numbers, *(z3.Not(self.symbols[name]) for name in _FLAGS)]

    def is_mode(self, name: str) -> z3.BoolRef:
        """That the host is the one of a mode."""
        values = MODES[name].host()
        return z3.And(
            *(self.symbols[number] == values[number] for number in _NUMBERS),
            *(self.symbols[flag] == bool(values[flag]) for flag in _FLAGS),
        )


def host_values(mode: Mode) -> dict[str, int]:
    """What the symbols of every host are on the one of a mode, by their names."""
    values = mode.host()
    return {_PREFIX + name: values[name] for name in (*_NUMBERS, *_FLAGS)}
