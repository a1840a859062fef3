# SPDX-License-Identifier: GPL-2.0-only
"""Sides: what answers for a property. The model of a profile, or a kernel's code behind an oracle.

A comparison holds two of them against each other and knows no more of them than the protocol ``Side``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conformance.differential.columns import SpteColumn, translated
from conformance.differential.property import Property
from conformance.differential.source_places import source_places
from conformance.differential.verdict import Verdict
from conformance.errors import ConformanceError
from conformance.model.layout import Layout
from conformance.model.modes import Mode, kernel_as_compiled, kernel_in
from conformance.model.profiles import Profile
from conformance.model.semantics import Semantics
from conformance.model.words import Word
from conformance.oracles.child import FunctionOracle

__all__ = ["Absence", "ModelSide", "OracleSide", "Rows", "Side", "moved_bits", "why_incomparable"]

Words = NDArray[np.uint64]

Rows = list[NDArray[Any]]
"""An answer: an array an output, of words or of bools, then one with the words of event counts."""

ENTRIES = "conformance/oracles/c/entries"
"""Where an entry in C makes a kernel's function callable."""

MODEL_CAPACITY = 1 << 20

_SPTE_BITS = (
    "spte_mmu_present_mask",
    "spte_tdp_ad_mask",
    "default_host_writable",
    "default_mmu_writable",
    "ept_host_writable",
    "ept_mmu_writable",
    "acc_track_saved_shift",
)
"""The parts of a layout that must be equal for a word to be the same SPTE to two kernels."""


@dataclass(frozen=True)
class Absence:
    """Why a side cannot answer a property: a SKIP, or a MISS where the property was expected."""

    verdict: Verdict
    reason: str


class Side(Protocol):
    """One of the two that a comparison holds against each other.

    ``title`` is its name in reports. The words that it takes and gives are those of a kernel with this
    ``profile``.
    """

    title: str
    profile: Profile

    @property
    def unexpected(self) -> str:
        """The name of the last event in the last answer that the property does not declare; "" if none."""

    def absence(self, prop: Property) -> Absence | None:
        """Why the property cannot be answered; None if it can."""

    def semantics(self, mode: Mode) -> Semantics:
        """The masks and layout by which inputs are drawn and judged legal in a mode."""

    def reading(self, mode: Mode) -> Semantics:
        """The masks and layout by which this side's words are decoded in reports."""

    def capacity(self, prop: Property) -> int:
        """The most cases that one batch may have."""

    def submit(self, prop: Property, mode: Mode, batch: Words, numbering: Semantics | None) -> None:
        """Begin to answer a batch: a row a column.

        Access bits are numbered as in ``numbering`` and translated to this side's; without it words go as
        they are. The batch must not change before collect(). Raises KernelDied.
        """

    def collect(self) -> Rows:
        """The answer to the submitted batch, valid until the next one. Raises KernelDied."""


class ModelSide:
    """The model of a profile."""

    unexpected = ""

    def __init__(self, profile: Profile, title: str = "model") -> None:
        self.title = title
        self.profile = profile
        self._semantics: dict[Mode, Semantics] = {}
        self._submitted: tuple[Property, Semantics, Words] | None = None

    def absence(self, prop: Property) -> Absence | None:
        """The profile decides which functions there are."""
        reason = prop.absent(self.profile)
        return Absence(Verdict.SKIP, reason) if reason else None

    def semantics(self, mode: Mode) -> Semantics:
        """The masks that the model's setters leave in the mode."""
        if mode not in self._semantics:
            self._semantics[mode] = kernel_in(mode, self.profile)
        return self._semantics[mode]

    def reading(self, mode: Mode) -> Semantics:
        """The masks of semantics()."""
        return self.semantics(mode)

    def capacity(self, prop: Property) -> int:
        """A fixed number, since the model has no buffers."""
        return MODEL_CAPACITY

    def submit(self, prop: Property, mode: Mode, batch: Words, numbering: Semantics | None) -> None:
        """Keep the batch. collect() answers it, while a kernel's process works on the same batch."""
        if numbering is not None and numbering.profile is self.profile:
            self._submitted = prop, numbering, batch
            return
        k = self.semantics(mode)
        self._submitted = prop, k, batch if numbering is None else _renumbered(prop, batch, numbering, k)

    def collect(self) -> Rows:
        """The model's observations."""
        assert self._submitted is not None, "nothing was submitted"
        prop, k, batch = self._submitted
        n = batch.shape[1]
        if prop.scalar:
            answer = np.empty((len(prop.gives) + 1, n), np.uint64)
            for at, case in enumerate(batch.T.tolist()):
                answer[:, at] = prop.observe(k, case)
            return list(answer)
        return [_row(word, n) for word in prop.observe(k, list(batch))]


class OracleSide:
    """A kernel's code, asked through an oracle.

    ``source`` is the root of its source, if there is one, for saying why a function cannot be called.
    ``compiled`` gives the layout that it was compiled with, where that may differ from its profile's.
    """

    def __init__(
        self,
        oracle: FunctionOracle,
        profile: Profile,
        title: str = "kernel",
        *,
        source: Path | None = None,
        compiled: Callable[[], Layout] | None = None,
    ) -> None:
        self.oracle = oracle
        self.title = title
        self.profile = profile
        self._source = source
        self._compiled = compiled
        self._semantics: dict[Mode, Semantics] = {}

    @property
    def unexpected(self) -> str:
        """The name of the last event that was counted in no byte of its own."""
        return self.oracle.unexpected

    def absence(self, prop: Property) -> Absence | None:
        """Why the oracle has no entry for the property, or one of another shape than is declared."""
        if prop.name in self.oracle.entries:
            self._check_shape(prop)
            return None
        if reason := self.oracle.why_not.get(prop.name):
            return Absence(Verdict.SKIP, reason)
        place = source_places(self._source, [prop.name]).get(prop.name) if self._source is not None else None
        if place is None:
            return Absence(Verdict.MISS, "the model expects it, but the source has no such function")
        file, line = place
        return Absence(
            Verdict.MISS,
            f"the source defines it ({file}:{line}), but no entry in {ENTRIES} calls it in that form",
        )

    def _check_shape(self, prop: Property) -> None:
        """Raise ConformanceError unless entry and property have as many words."""
        entry = self.oracle.entries[prop.name]
        if (entry.nr_in, entry.nr_out) != (len(prop.takes), len(prop.gives)):
            takes, gives = (", ".join(each.name for each in words) for words in (prop.takes, prop.gives))
            raise ConformanceError(
                f"{prop.name}: its entry in {ENTRIES} takes {entry.nr_in} words and gives {entry.nr_out}, "
                f"the property takes {len(prop.takes)} ({takes}) and gives {len(prop.gives)} ({gives})."
            )

    def semantics(self, mode: Mode) -> Semantics:
        """The masks that the model's setters leave; those that the kernel's leave are compared themselves."""
        if mode not in self._semantics:
            self._semantics[mode] = kernel_in(mode, self.profile)
        return self._semantics[mode]

    def reading(self, mode: Mode) -> Semantics:
        """Its profile's masks over the layout that it was compiled with."""
        if self._compiled is None:
            return self.semantics(mode)
        return kernel_as_compiled(mode, self.profile, self._compiled())

    def capacity(self, prop: Property) -> int:
        """The number of cases that the shared memory holds."""
        return self.oracle.capacity(self.oracle.entries[prop.name])

    def submit(self, prop: Property, mode: Mode, batch: Words, numbering: Semantics | None) -> None:
        """Set the masks of the mode's host and send the batch."""
        self._check_shape(prop)
        self.oracle.configure(mode.host(), prop.events)
        if numbering is not None and numbering.profile is not self.profile:
            batch = _renumbered(prop, batch, numbering, self.semantics(mode))
        self.oracle.submit(self.oracle.entries[prop.name], batch)

    def collect(self) -> Rows:
        """What the kernel's process wrote."""
        return list(self.oracle.collect())


def _row(observed: Word, n: int) -> NDArray[Any]:
    """What was observed of n cases, where it may be one word for all of them."""
    row = np.asarray(observed)
    if row.dtype != np.bool_:
        row = row.astype(np.uint64, copy=False)
    return row if row.shape == (n,) else np.broadcast_to(row, n)


def _renumbered(prop: Property, batch: Words, numbering: Semantics, k: Semantics) -> Words:
    """The batch with access bits as a kernel like ``k`` numbers them."""
    return np.stack([np.asarray(word, np.uint64) for word in translated(prop.takes, batch, numbering, k)])


def moved_bits(one: Profile, other: Profile) -> list[str]:
    """The model's names of the SPTE bits that lie in different places in kernels of these profiles."""
    left, right = Layout.of(one), Layout.of(other)
    return [name for name in _SPTE_BITS if getattr(left, name) != getattr(right, name)]


def why_incomparable(prop: Property, one: Profile, other: Profile) -> str:
    """Why no input of the property means the same to both; "" if inputs do."""
    if not any(isinstance(column, SpteColumn) for column in prop.takes):
        return ""
    moved = moved_bits(one, other)
    return f"a word is not the same SPTE to both kernels, for {', '.join(moved)} moved" if moved else ""
