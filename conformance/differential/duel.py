# SPDX-License-Identifier: GPL-2.0-only
"""One property in one mode on two kernels: a comparison in which another kernel stands where the model does.

Inputs are words, and go to both as they are; only access bits, which some kernels number otherwise, are told
to each kernel in its own.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from conformance.differential.columns import translated
from conformance.differential.comparison import Comparison, Difference
from conformance.differential.counterexamples import described, meant
from conformance.differential.property import Property
from conformance.differential.verdict import Counterexample
from conformance.model.layout import Layout
from conformance.model.modes import Mode, kernel_as_compiled
from conformance.model.profiles import Profile
from conformance.oracles.child import FunctionOracle, KernelDied

__all__ = ["Duel", "moved_bits"]

Words = NDArray[np.uint64]

_SPTE_BITS = (
    "spte_mmu_present_mask",
    "spte_tdp_ad_mask",
    "default_host_writable",
    "default_mmu_writable",
    "ept_host_writable",
    "ept_mmu_writable",
    "acc_track_saved_shift",
)
"""What must lie in the same place for one word to be the same SPTE to both."""


def moved_bits(before: Profile, after: Profile) -> list[str]:
    """The bits of an SPTE that lie elsewhere, by the names that the model has for them."""
    one, other = Layout.of(before), Layout.of(after)
    return [name for name in _SPTE_BITS if getattr(one, name) != getattr(other, name)]


class Duel(Comparison):
    """A property in a mode. ``kernel`` of a Difference is the kernel before, ``model`` the one after."""

    reviewed = True

    def __init__(
        self,
        prop: Property,
        mode: Mode,
        profiles: tuple[Profile, Profile],
        oracles: tuple[FunctionOracle, FunctionOracle],
    ) -> None:
        super().__init__(prop, mode, profiles[0], oracles[0])
        self._other = Comparison(prop, mode, profiles[1], oracles[1])
        self.overlooked = ""
        """An observed column that counts as equal for now."""

    def ask_kernel(self, batch: Words) -> Words:
        """What the kernel before the change says. Raises KernelDied."""
        return self._seen(super().ask_kernel(batch))

    def ask_model(self, batch: Words) -> Words:
        """What the kernel after the change says. Raises KernelDied."""
        told = translated(self.property.takes, batch, self.kernel, self._other.kernel)
        return self._seen(self._other.ask_kernel(np.stack([np.asarray(word, np.uint64) for word in told])))

    def compare(self, batch: Words) -> Difference | None:
        """The first case on which the two differ; where both die alike, they are alike."""
        before, after = self._answer(self.ask_kernel, batch), self._answer(self.ask_model, batch)
        if isinstance(before, KernelDied) or isinstance(after, KernelDied):
            return self._one_died(batch, before, after)
        self.cases += batch.shape[1]
        if np.array_equal(before, after):
            return None
        first = self._most_telling(batch, np.flatnonzero((before != after).any(axis=0)))
        return Difference(
            case=tuple(batch[:, first].tolist()),
            kernel=tuple(before[:, first].tolist()),
            model=tuple(after[:, first].tolist()),
            unexpected=self.oracle.unexpected or self._other.oracle.unexpected,
        )

    def tell(
        self, found: Difference, again: str, layouts: tuple[Layout, Layout] | None = None
    ) -> Counterexample:
        """The difference for people, each side's words read by that kernel's own layout.

        ``layouts`` are those that the kernels were compiled with, if not those of their profiles.
        """
        shown = dataclasses.replace(found, model=found.model or found.kernel)
        ours, theirs = copy.copy(self), copy.copy(self)
        theirs.kernel = self._other.kernel
        if layouts is not None:
            ours.kernel, theirs.kernel = (
                kernel_as_compiled(self.mode, side.kernel.profile, layout)
                for side, layout in zip((ours, theirs), layouts, strict=True)
            )
        before, after = described(ours, shown, again), described(theirs, shown, again)
        silent = {"answer": f"did not come: {found.crash}"}
        told = dataclasses.replace(
            before,
            kernel=silent if found.crash and not found.kernel else before.kernel,
            model=silent if found.crash and not found.model else after.model,
            crash=None,
        )
        return told if found.crash else meant(told, self, found)

    def _seen(self, answer: Words) -> Words:
        if self.overlooked in self.property.gives:
            answer[self.property.gives.index(self.overlooked)] = 0
        return answer

    def _answer(self, ask: Callable[[Words], Words], batch: Words) -> Words | KernelDied:
        try:
            return ask(batch)
        except KernelDied as died:
            return died

    def _one_died(
        self, batch: Words, before: Words | KernelDied, after: Words | KernelDied
    ) -> Difference | None:
        """The difference where at least one of the kernels did not live to the end of the batch."""
        ends = [side.at if isinstance(side, KernelDied) else batch.shape[1] for side in (before, after)]
        at = min(ends)
        if at and (found := self.compare(batch[:, :at].copy())) is not None:
            return found
        self.cases += 1
        if ends[0] == ends[1]:
            return None
        died = before if ends[0] == at else after
        assert isinstance(died, KernelDied)
        survivor = self._answer(
            self.ask_model if died is before else self.ask_kernel, batch[:, at : at + 1].copy()
        )
        words = () if isinstance(survivor, KernelDied) else tuple(survivor[:, 0].tolist())
        return Difference(
            case=tuple(batch[:, at].tolist()),
            kernel=() if died is before else words,
            model=words if died is before else (),
            crash=died.how,
            hung=died.hung,
        )
