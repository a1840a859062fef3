# SPDX-License-Identifier: GPL-2.0-only
"""An SPTE whose mode or level is not known: in which modes, and at which levels, KVM makes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from conformance.model.layout import PG_LEVEL_4K, SPTE_BASE_ADDR_MASK
from conformance.model.modes import MODES, Mode, kernel_in
from conformance.model.profiles import Profile
from conformance.model.semantics import Semantics
from conformance.model.spte.decode.hardware import HUGE_LEVELS, SIZES, address_bits
from conformance.model.spte.decode.kinds import is_leaf, kind_of
from conformance.model.spte.illegal import complaints

__all__ = ["LEVELS", "Reading", "best", "reading", "readings", "role"]

LEVELS = tuple(SIZES)
"""The levels that a table can have: 1 is 4 KiB, 5 is the root of five-level paging."""

_COMMON = ("ept-ad", "npt", "ept-noad", "shadow")
"""The modes that most hosts are in; they come before the others where several are possible."""

_FIXED = frozenset(mode.name for mode in MODES.values() if mode.phys_bits != Mode.phys_bits or mode.l1tf)
"""The modes whose host has a number of address bits of its own."""


@dataclass(frozen=True)
class Reading:
    """An SPTE as one mode understands it.

    ``wrong`` holds, for each level that was asked about, why KVM never makes the SPTE there.
    ``assumed`` is the number of physical address bits that the host must have, if the SPTE asks for
    more than the mode's host has and the host is not known; else 0.
    """

    spte: int
    mode: Mode
    kernel: Semantics
    wrong: dict[int, list[str]]
    assumed: int = 0

    @property
    def legal(self) -> tuple[int, ...]:
        """The levels at which KVM makes the SPTE."""
        return tuple(level for level, sentences in self.wrong.items() if not sentences)

    @property
    def level(self) -> int | None:
        """The level, if there was only one to ask about."""
        return next(iter(self.wrong)) if len(self.wrong) == 1 else None

    def always(self) -> list[str]:
        """What is wrong with the SPTE at every level."""
        first, *rest = self.wrong.values()
        return [sentence for sentence in first if all(sentence in other for other in rest)]

    def groups(self) -> list[tuple[list[int], str, list[str]]]:
        """Neighbouring levels that agree: these, the SPTE's role there, and what is wrong there only."""
        always = self.always()
        found: list[tuple[list[int], str, list[str]]] = []
        for level, sentences in self.wrong.items():
            told = role(self.kernel, self.spte, level)
            only = [sentence for sentence in sentences if sentence not in always]
            if found and found[-1][1:] == (told, only):
                found[-1][0].append(level)
            else:
                found.append(([level], told, only))
        return found


def role(k: Semantics, spte: int, level: int) -> str:
    """What an SPTE in a table of ``level`` maps: ``"2 MiB page"``, ``"table"``, or "" if nothing."""
    if kind_of(k, spte) != "present":
        return ""
    if not is_leaf(k, spte, level):
        return "table"
    return f"{SIZES[level]} page" if level == PG_LEVEL_4K or level in HUGE_LEVELS else "page"


def reading(
    profile: Profile, mode: Mode, spte: int, levels: Sequence[int] = LEVELS, phys_bits: int | None = None
) -> Reading:
    """The SPTE as ``mode`` understands it, on a host with ``phys_bits`` physical address bits.

    Where these are not known, a mode that does not say how many its host has is taken to be on one with
    as many as the SPTE needs.
    """
    assumed = 0
    if phys_bits is not None:
        mode = _on_host(mode, phys_bits)
    elif mode.name not in _FIXED:
        k = _kernel(mode, profile)
        beyond = spte & SPTE_BASE_ADDR_MASK & ~address_bits(k)
        if beyond and kind_of(k, spte) == "present":
            assumed = beyond.bit_length()
            mode = _on_host(mode, assumed)
    k = _kernel(mode, profile)
    if kind_of(k, spte) != "present":
        # Its level makes no difference.
        sentences = complaints(k, spte)
        return Reading(spte, mode, k, dict.fromkeys(levels, sentences), assumed)
    return Reading(spte, mode, k, {level: complaints(k, spte, level) for level in levels}, assumed)


def readings(
    profile: Profile, spte: int, levels: Sequence[int] = LEVELS, phys_bits: int | None = None
) -> list[Reading]:
    """The SPTE as each mode understands it, common modes first."""
    order = [*_COMMON, *(name for name in MODES if name not in _COMMON)]
    return [reading(profile, MODES[name], spte, levels, phys_bits) for name in order]


def best(possible: Iterable[Reading]) -> Reading:
    """The first that is legal; if there is no such, the first of those in which the least is wrong."""
    return min(possible, key=lambda one: min(len(sentences) for sentences in one.wrong.values()))


def _on_host(mode: Mode, phys_bits: int) -> Mode:
    """The same mode on a host with another number of address bits."""
    return replace(mode, phys_bits=phys_bits, cache_bits=min(int(mode.cache_bits), phys_bits))


@lru_cache(maxsize=1024)
def _kernel(mode: Mode, profile: Profile) -> Semantics:
    return kernel_in(mode, profile)
