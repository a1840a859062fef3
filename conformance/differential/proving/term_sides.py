# SPDX-License-Identifier: GPL-2.0-only
"""Sides whose answers are formulas: machine code and the model, over the same symbols.

They are to proofs what differential.sides are to comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import z3
from numpy.typing import NDArray

from conformance.differential.property import Property
from conformance.differential.proving.every_host import KINDS, EveryHost, host_values
from conformance.differential.proving.every_input import EveryInput
from conformance.differential.proving.solving import Deadline, Unproved, different, find
from conformance.model.modes import Mode, kernel_in
from conformance.model.profiles import Profile
from conformance.model.semantics import MASKS, Semantics
from conformance.oracles.hosts import HOST
from conformance.oracles.image import Image
from conformance.symbolic import UNDEFINED, CannotRun, Machine
from conformance.symbolic.evaluating import Evaluator

__all__ = ["CodeTerms", "ModelTerms", "TermSide", "Terms"]

_RENAMED = {"shadow_x_mask": "shadow_xs_mask"}
"""Masks that have another name in some kernels."""
_BOOLEANS = ("enable_mmio_caching", "kvm_ad_enabled")


@dataclass(frozen=True)
class Terms:
    """A side's answer to every input, on every host of one kind: the property's words, then its events.

    ``died`` is the condition under which it crashes or BUGs instead. ``undefined`` names the uninitialised
    registers and memory that either depends on.
    """

    words: tuple[z3.BitVecRef, ...]
    died: z3.BoolRef
    undefined: frozenset[str] = frozenset()


class TermSide(Protocol):
    """One of the two sides of a proof."""

    def semantics(self, hosts: EveryHost) -> Semantics:
        """The masks, access bits and layout of this side on these hosts."""

    def answer(self, prop: Property, hosts: EveryHost, inputs: EveryInput, deadline: Deadline) -> Terms:
        """The property's observations. Raises Unproved if they cannot be computed by the deadline."""


class ModelTerms:
    """The model of a profile."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def semantics(self, hosts: EveryHost) -> Semantics:
        """The masks as the model's setters leave them."""
        return kernel_in(hosts.mode, self.profile)

    def answer(self, prop: Property, hosts: EveryHost, inputs: EveryInput, deadline: Deadline) -> Terms:
        """The property's observations; the model never dies."""
        words = prop.observe(self.semantics(hosts), list(inputs.words))
        return Terms(tuple(_term(word) for word in words), z3.BoolVal(False))


class CodeTerms:
    """A kernel's machine code: that of a shim, or of the shipped module.

    Its masks are what its own setters leave on the host. A mask that is proved equal to the model's, on every
    host considered, is replaced by the model's shorter term; where one is not equal, whatever depends on it
    differs.
    """

    def __init__(self, image: Image, profile: Profile) -> None:
        self._image = image
        self._model = ModelTerms(profile)
        self._machines: dict[str, Machine] = {}
        self._evaluators: dict[tuple[str, str], Evaluator] = {}

    def semantics(self, hosts: EveryHost) -> Semantics:
        """Those of the model of this code's profile."""
        return self._model.semantics(hosts)

    def answer(self, prop: Property, hosts: EveryHost, inputs: EveryInput, deadline: Deadline) -> Terms:
        """The property's observations, by executing the code on symbols."""
        machine = self._machine(hosts, deadline)
        conditions = [*hosts.restrictions, *inputs.restrictions]
        try:
            machine.expect(prop.events)
            outcome = machine.run(prop.name, inputs.words, assuming=conditions, seconds=deadline.left)
        except CannotRun as why:
            raise Unproved(str(why)) from None
        lost = different(outcome.total, z3.BoolVal(True))
        if (
            lost is not None
            and find([*conditions, lost], deadline, "whether all paths were followed") is not None
        ):
            raise Unproved("some input takes a path that was not followed to its end")
        evaluator = self._evaluators[prop.name, hosts.kind] = Evaluator([*outcome.words, outcome.died])
        undefined = frozenset(name for name in evaluator.inputs if name.startswith(UNDEFINED))
        return Terms(tuple(_term(word) for word in outcome.words), outcome.died, undefined)

    def evaluate(self, prop: Property, mode: Mode, batch: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The formulas of answer() evaluated on a batch of cases on a mode's host, a row an observed word."""
        kind = next(kind for kind, used in KINDS.items() if used == (mode.tdp, mode.ept))
        inputs = {column.name: row for column, row in zip(prop.takes, batch, strict=True)}
        evaluator = self._evaluators[prop.name, kind]
        # What depends on uninitialised memory was proved for any value of it.
        undefined = {name: 0 for name in evaluator.inputs if name.startswith(UNDEFINED)}
        *words, _ = evaluator({**inputs, **host_values(mode), **undefined})
        return np.stack(words)

    def _machine(self, hosts: EveryHost, deadline: Deadline) -> Machine:
        """The code on these hosts, its masks set."""
        if hosts.kind not in self._machines:
            machine = Machine(self._image)
            words = [hosts.words[name] for name in HOST]
            try:
                machine.configure(words, assuming=hosts.restrictions, seconds=deadline.left)
            except CannotRun as why:
                raise Unproved(f"the mask setters: {why}") from None
            self._share_masks(machine, hosts, deadline)
            self._machines[hosts.kind] = machine
        return self._machines[hosts.kind]

    def _share_masks(self, machine: Machine, hosts: EveryHost, deadline: Deadline) -> None:
        """Replace masks by the model's terms where these are proved equal.

        A mask that differs stays, so that functions that use it are refuted. So does one without a symbol.
        """
        k = self.semantics(hosts)
        for name in MASKS:
            own = next((each for each in (name, _RENAMED.get(name, "")) if each in self._image.symbols), None)
            if own is None:
                continue
            size = 1 if name in _BOOLEANS else 8
            term = z3.simplify(_term(getattr(k, name)))
            unequal = different(_widened(machine.read(own, size)), term)
            if unequal is None or find([*hosts.restrictions, unequal], deadline, own) is None:
                machine.write(own, z3.Extract(8 * size - 1, 0, term), size)


def _term(word: int | z3.BitVecRef) -> z3.BitVecRef:
    return z3.BitVecVal(word, 64) if isinstance(word, int) else word


def _widened(word: int | z3.BitVecRef) -> z3.BitVecRef:
    term = _term(word)
    return z3.ZeroExt(64 - term.size(), term) if term.size() < 64 else term
