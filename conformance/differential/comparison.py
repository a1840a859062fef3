# SPDX-License-Identifier: GPL-2.0-only
"""Comparing: one property in one mode, both sides asked about the same batch of cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.differential.columns import SpteColumn
from conformance.differential.property import Property
from conformance.model.modes import Mode, kernel_in
from conformance.model.profiles import Profile
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.words import no
from conformance.oracles.child import FunctionOracle, KernelDied

__all__ = ["ALIKE", "ILLEGAL", "LOUD", "QUIET", "Comparison", "Difference"]

Words = NDArray[np.uint64]

QUIET, LOUD, ILLEGAL, ALIKE = range(4)
"""How well a case shows a difference: callers can give it and neither side complains; a side WARNs, BUGs or
crashes on what callers can give; callers cannot give it; it shows none."""


@dataclass(frozen=True)
class Difference:
    """One case on which the sides differ.

    ``case`` are the input words; ``kernel`` and ``model`` the observed ones, the word of events last.
    Where kernel code crashed or hung, ``crash`` says how and ``kernel`` is empty.
    """

    case: tuple[int, ...]
    kernel: tuple[int, ...]
    model: tuple[int, ...]
    crash: str | None = None
    hung: bool = False
    """Whether the crash was that kernel code did not come back; each try then costs as long again."""
    unexpected: str = ""
    """An event of the kernel's that the property does not know, by name."""
    tried: int = 0
    """How many cases that callers can give were tried in its place, and show no difference."""


class Comparison:
    """A property in a mode, on a kernel: answers whether batches of cases agree.

    ``cases`` counts what was compared so far.
    """

    reviewed = False
    """Whether a kernel before a change stands where the kernel does, and the one after it for the model."""

    def __init__(self, prop: Property, mode: Mode, profile: Profile, oracle: FunctionOracle) -> None:
        self.property = prop
        self.mode = mode
        self.oracle = oracle
        self.kernel = kernel_in(mode, profile)
        self.cases = 0
        self._entry = oracle.entries[prop.name]
        expected = (len(prop.takes), len(prop.gives))
        if (self._entry.nr_in, self._entry.nr_out) != expected:
            raise ValueError(f"{prop.name}: the oracle has {self._entry}, the property {expected} columns")

    @property
    def capacity(self) -> int:
        """How many cases one batch may have."""
        return self.oracle.capacity(self._entry)

    def ask_kernel(self, batch: Words) -> Words:
        """The kernel's observations of a batch: a row an observed word. Raises KernelDied."""
        self.oracle.configure(self.mode.host(), self.property.events)
        return self.oracle.run(self._entry, batch).copy()

    def ask_model(self, batch: Words) -> Words:
        """The model's observations of the same batch."""
        n = batch.shape[1]
        out = np.empty((len(self.property.gives) + 1, n), np.uint64)
        if self.property.scalar:
            for i, case in enumerate(batch.T.tolist()):
                out[:, i] = self.property.observe(self.kernel, case)
            return out
        for row, value in zip(out, self.property.observe(self.kernel, list(batch)), strict=True):
            row[:] = value
        return out

    def compare(self, batch: Words) -> Difference | None:
        """The first case of the batch on which the sides differ, None if they agree.

        The kernel's side runs in its process while the model's runs here. Where the mask setters die in
        this mode, that is the difference, on any case.
        """
        model = None
        try:
            self.oracle.configure(self.mode.host(), self.property.events)
            self.oracle.submit(self._entry, batch)
            model = self.ask_model(batch)
            kernel = self.oracle.collect()
        except KernelDied as died:
            return self._died(batch, self.ask_model(batch) if model is None else model, died)
        self.cases += batch.shape[1]
        if np.array_equal(kernel, model):
            return None
        first = self._most_telling(batch, np.flatnonzero((kernel != model).any(axis=0)))
        return Difference(
            case=tuple(batch[:, first].tolist()),
            kernel=tuple(kernel[:, first].tolist()),
            model=tuple(model[:, first].tolist()),
            unexpected=self.oracle.unexpected,
        )

    def _most_telling(self, batch: Words, differing: NDArray[np.intp]) -> int:
        """Of the cases that differ the first whose SPTEs are all present, if there is one."""
        columns = [n for n, column in enumerate(self.property.takes) if isinstance(column, SpteColumn)]
        present = np.ones(len(differing), np.bool_)
        for n in columns:
            present &= np.asarray(is_shadow_present_pte(self.kernel, batch[n, differing]))
        return int(differing[np.argmax(present)])

    def compare_once(self, case: Sequence[int]) -> Difference | None:
        """compare() for one case."""
        return self.compare(np.array([case], np.uint64).T.copy())

    def ranks(self, batch: Words, *, deaths: int = 8) -> NDArray[np.uint8]:
        """How well each case of the batch shows a difference: QUIET, LOUD, ILLEGAL or ALIKE.

        A crash is a difference. After ``deaths`` crashes the rest of the batch counts as alike, since each
        takes its time.
        """
        found = np.full(batch.shape[1], ALIKE, np.uint8)
        start = 0
        while start < batch.shape[1] and deaths > 0:
            rest = batch[:, start:]
            try:
                found[start:] = self._ranked(rest)
                break
            except KernelDied as died:
                if died.at:
                    found[start : start + died.at] = self._ranked(rest[:, : died.at])
                found[start + died.at] = LOUD
                start += died.at + 1
                deaths -= 1
        legal = self.property.legal(self.kernel, list(batch))
        found[(found != ALIKE) & no(legal)] = ILLEGAL
        return found

    def _ranked(self, batch: Words) -> NDArray[np.uint8]:
        """QUIET, LOUD or ALIKE for each case. Raises KernelDied."""
        kernel, model = self.ask_kernel(batch), self.ask_model(batch)
        complaints = sum(0xFF << 8 * n for n, event in enumerate(self.property.events) if _complains(event))
        complaints |= 0xFF << 56
        loud = ((kernel[-1] | model[-1]) & np.uint64(complaints)) != 0
        ranks = np.where(loud, np.uint8(LOUD), np.uint8(QUIET))
        return np.where((kernel != model).any(axis=0), ranks, np.uint8(ALIKE))

    def differences(self, batch: Words) -> list[Difference]:
        """Each case of a small batch on which the sides differ; none where either crashes."""
        try:
            kernel, model = self.ask_kernel(batch), self.ask_model(batch)
        except KernelDied:
            return []
        return [
            Difference(
                case=tuple(batch[:, n].tolist()),
                kernel=tuple(kernel[:, n].tolist()),
                model=tuple(model[:, n].tolist()),
            )
            for n in np.flatnonzero((kernel != model).any(axis=0))
        ]

    def rank(self, case: Sequence[int]) -> int:
        """ranks() of one case."""
        return int(self.ranks(np.array([case], np.uint64).T.copy())[0])

    def _died(self, batch: Words, model: Words, died: KernelDied) -> Difference:
        """The case on which kernel code died."""
        at = min(died.at, batch.shape[1] - 1)
        self.cases += at + 1
        return Difference(
            case=tuple(batch[:, at].tolist()),
            kernel=(),
            model=tuple(model[:, at].tolist()),
            crash=died.how,
            hung=died.hung,
        )


def _complains(event: str) -> bool:
    return event.startswith(("WARN", "BUG"))
