# SPDX-License-Identifier: GPL-2.0-only
"""Outputs: what a property gives besides events, one 64-bit word each, and how reports write it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conformance.model.semantics import Semantics
from conformance.model.spte.decode.text import describe

__all__ = ["Flag", "Number", "Output", "Spte", "Writes"]


@dataclass(frozen=True)
class Output:
    """One observed word. ``name`` is its name in reports, and goes into the digest of fingerprints.

    ``decides`` says that the word is a decision. A word that is not may carry bits of an input over.
    """

    name: str
    decides: ClassVar[bool] = False

    def text(self, k: Semantics, word: int) -> str:
        """The word as reports write it."""
        return f"{word:#x}"


@dataclass(frozen=True)
class Number(Output):
    """A number or a mask: a pfn, a gfn, ACC_* bits, a count."""


@dataclass(frozen=True)
class Flag(Output):
    """A bool, or a small number of flags that are decided."""

    decides: ClassVar[bool] = True

    def text(self, k: Semantics, word: int) -> str:
        """True or false; as a number where it is neither."""
        return ("false", "true")[word] if word in (0, 1) else super().text(k, word)


@dataclass(frozen=True)
class Spte(Output):
    """An SPTE."""

    def text(self, k: Semantics, word: int) -> str:
        """All digits, and the SPTE decoded."""
        return f"{word:#018x} {describe(k, word)}"


@dataclass(frozen=True)
class Writes(Output):
    """The writes to an SPTE in memory: plain ones in bits 7:0, atomic ones in bits 15:8."""

    decides: ClassVar[bool] = True

    def text(self, k: Semantics, word: int) -> str:
        """How many of either kind."""
        counts = ((word & 0xFF, "plain"), (word >> 8, "atomic"))
        parts = [f"{count} {kind}" for count, kind in counts if count]
        return " and ".join(parts) + " write" if parts else "no write"
