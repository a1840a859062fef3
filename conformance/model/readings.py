# SPDX-License-Identifier: GPL-2.0-only
"""Decoding an SPTE of unknown mode or level: in which modes, and at which levels, KVM makes it."""

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
"""The levels of tables: 1 is 4 KiB, 5 is the root of five-level paging."""

_COMMON = ("ept-ad", "npt", "ept-noad", "shadow")
"""The modes of most hosts; they are preferred where several modes are possible."""

_FIXED = frozenset(mode.name for mode in MODES.values() if mode.phys_bits != Mode.phys_bits or mode.l1tf)
"""The modes that fix the number of the host's address bits."""


@dataclass(frozen=True)
class Reading:
    """An SPTE as decoded in one mode.

    ``wrong`` has, for each level, the reasons why KVM never makes the SPTE there. ``assumed`` is the number
    of physical address bits that the host must have, if the SPTE uses more than the mode's host has and the
    host's number is not known; else 0.
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
        """The level, if only one was considered."""
        return next(iter(self.wrong)) if len(self.wrong) == 1 else None

    def always(self) -> list[str]:
        """The reasons that hold at every level."""
        first, *rest = self.wrong.values()
        return [sentence for sentence in first if all(sentence in other for other in rest)]

    def groups(self) -> list[tuple[list[int], str, list[str]]]:
        """Adjacent levels with equal results: the levels, the SPTE's role, reasons that hold only there."""
        always = self.always()
        found: list[tuple[list[int], str, list[str]]] = []
        for level, sentences in self.wrong.items():
            part = role(self.kernel, self.spte, level)
            only = [sentence for sentence in sentences if sentence not in always]
            if found and found[-1][1:] == (part, only):
                found[-1][0].append(level)
            else:
                found.append(([level], part, only))
        return found


def role(k: Semantics, spte: int, level: int) -> str:
    """What an SPTE in a table of ``level`` maps: ``"2 MiB page"``, ``"table"``, or "" for nothing."""
    if kind_of(k, spte) != "present":
        return ""
    if not is_leaf(k, spte, level):
        return "table"
    return f"{SIZES[level]} page" if level == PG_LEVEL_4K or level in HUGE_LEVELS else "page"


def reading(
    profile: Profile, mode: Mode, spte: int, levels: Sequence[int] = LEVELS, phys_bits: int | None = None
) -> Reading:
    """The SPTE as decoded in ``mode``, on a host with ``phys_bits`` physical address bits.

    Without ``phys_bits``, and in a mode that does not fix their number, the host is assumed to have as many
    as the SPTE needs.
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
        # The same at every level.
        sentences = complaints(k, spte)
        return Reading(spte, mode, k, dict.fromkeys(levels, sentences), assumed)
    return Reading(spte, mode, k, {level: complaints(k, spte, level) for level in levels}, assumed)


def readings(
    profile: Profile, spte: int, levels: Sequence[int] = LEVELS, phys_bits: int | None = None
) -> list[Reading]:
    """The SPTE as decoded in each mode, common modes first."""
    order = [*_COMMON, *(name for name in MODES if name not in _COMMON)]
    return [reading(profile, MODES[name], spte, levels, phys_bits) for name in order]


def best(possible: Iterable[Reading]) -> Reading:
    """The first reading that is legal, or else the first with the fewest reasons against it."""
    return min(possible, key=lambda one: min(len(sentences) for sentences in one.wrong.values()))


def _on_host(mode: Mode, phys_bits: int) -> Mode:
    """The same mode on a host with another number of address bits."""
    return replace(mode, phys_bits=phys_bits, cache_bits=min(int(mode.cache_bits), phys_bits))


@lru_cache(maxsize=1024)
def _kernel(mode: Mode, profile: Profile) -> Semantics:
    return kernel_in(mode, profile)
