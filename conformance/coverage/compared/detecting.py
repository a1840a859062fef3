# SPDX-License-Identifier: GPL-2.0-only
"""What a property or a story sees of a mutant.

Both sides are the same library, once without and once with one mutant enabled, so that only the mutant can
make a difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conformance.differential.drawing import draw
from conformance.differential.fingerprints import answers
from conformance.differential.properties import PROPERTIES
from conformance.differential.sides import OracleSide
from conformance.interface.observation import KeptMemory, Observation
from conformance.model.modes import MODES, VM_MODES
from conformance.model.profiles import Profile
from conformance.oracles.child import FunctionOracle
from conformance.oracles.child import KernelDied as FunctionDied
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.kvm.raw_state import RawStateReader
from conformance.oracles.lacking import MEMORY, Lacking
from conformance.oracles.shim.oracle import ShimOracle
from conformance.scenarios.pairing import Pairing
from conformance.scenarios.stories import STORIES

__all__ = ["NOTHING", "PATIENCE", "Detector", "Keeping", "Seen", "Sight", "lacking"]

CASES = 1 << 12
"""Random cases of each property, in each mode."""

PATIENCE = 2.0
"""Seconds of processor time after which a mutant counts as hanging, and so as detected."""

Words = NDArray[np.uint64]

Keeping = Callable[[RawStateReader], Callable[[bytes], KeptMemory]]
"""Makes, for a library, what decodes copies of KVM's memory into what can be compared."""


class Seen(IntEnum):
    """What a run shows of a mutant."""

    NOTHING = 0
    """Nothing differs."""
    LACKING = 1
    """With the mutant, kernel code asks for something that the suite lacks."""
    KEPT = 2
    """What KVM keeps in its structures differs; nothing else does."""
    DIFFERS = 3
    """What is compared with the model differs, or the mutant crashes or hangs."""


@dataclass(frozen=True)
class Sight:
    """What a run shows of a mutant, and where, in words.

    hung: kernel code did not return. lasting: whether the same would show the next time.
    """

    seen: Seen
    how: str = ""
    hung: bool = False
    lasting: bool = True


NOTHING = Sight(Seen.NOTHING)


class _Played(NamedTuple):
    """A story without a mutant.

    seen: its observations, up to the step in which the kernel dies, if any. reached: the mutants whose places
    it executes, or None if that is not known.
    """

    seen: list[Observation]
    reached: frozenset[int] | None


@dataclass
class Detector:
    """Runs properties and stories on the libraries of a kernel with mutants. A context manager.

    ``reader`` reads the state that KVM keeps, and has the library for stories; ``keeping`` compares that
    state: without it, it is not compared.
    """

    profile: Profile
    shim: Path | None
    reader: RawStateReader | None
    keeping: Keeping | None = None
    _digests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _observed: dict[tuple[str, str], _Played] = field(default_factory=dict)
    _kept_digests: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    _enabled: tuple[int, FunctionOracle] | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        self._open.close()
        self._enabled = None

    @cached_property
    def _unplanted(self) -> FunctionOracle:
        assert self.shim is not None
        return self._open.enter_context(ShimOracle(self.shim))

    def _with(self, number: int) -> FunctionOracle:
        """The functions with a mutant enabled; the process of the last one ends."""
        if self._enabled is None or self._enabled[0] != number:
            if self._enabled is not None:
                self._enabled[1].close()
            assert self.shim is not None
            self._enabled = number, ShimOracle(self.shim, patience=PATIENCE, plant=number)
            self._open.callback(self._enabled[1].close)
        return self._enabled[1]

    def by_property(self, number: int, name: str, mode: str) -> Sight:
        """What a property shows of a mutant in a mode. Raises Lacking if it cannot be run without one."""
        if name not in self._unplanted.entries:
            return NOTHING
        if (name, mode) not in self._digests:
            self._digests[name, mode], _ = self._answers(self._unplanted, name, mode)
        try:
            digest, died = self._answers(self._with(number), name, mode)
        except Lacking as problem:
            return lacking(problem)
        if digest == self._digests[name, mode]:
            return NOTHING
        return Sight(Seen.DIFFERS, died.how, died.hung) if died else Sight(Seen.DIFFERS, "its answers")

    def _answers(self, oracle: FunctionOracle, name: str, mode: str) -> tuple[bytes, FunctionDied | None]:
        """A digest of the answers to random cases; if kernel code dies, nothing and how it did."""
        prop, side = PROPERTIES[name], OracleSide(oracle, self.profile)
        n = CASES // (16 if prop.scalar else 1)
        cases = draw(prop, side.semantics(MODES[mode]), np.random.default_rng(0), n)
        try:
            return hashlib.sha256(answers(side, prop, mode, cases).tobytes()).digest(), None
        except FunctionDied as died:
            return b"", died

    def by_story(self, number: int, name: str, mode: str) -> Sight:
        """What a story shows of a mutant in a mode, in its observations.

        Raises Lacking if it cannot be played without one.
        """
        if not self._reaches(number, name, mode):
            return NOTHING
        before = self._without(name, mode).seen
        pairing = Pairing()
        steps = 0
        try:
            for seen, _ in self._played(name, mode, number):
                if steps == len(before) or not pairing.same(before[steps], seen):
                    return Sight(Seen.DIFFERS, f"step {steps + 1}")
                steps += 1
        except KernelDied as died:
            # The kernel may die at this step without the mutant, too.
            if steps == len(before) and self._dies(name, mode):
                return NOTHING
            return Sight(Seen.DIFFERS, died.how, died.hung)
        except Lacking as problem:
            return lacking(problem)
        return NOTHING

    def _without(self, name: str, mode: str) -> _Played:
        if (name, mode) not in self._observed:
            seen, reached = [], None
            with suppress(KernelDied), self._machine(name, mode, 0) as machine:
                for step in STORIES[name].script.steps:
                    seen.append(machine.step(step.kind, **step.arguments))
                reached = machine.reached()
            self._observed[name, mode] = _Played(seen, reached)
        return self._observed[name, mode]

    def _reaches(self, number: int, name: str, mode: str) -> bool:
        """Whether a story may execute the place of a mutant: otherwise it takes the same way with it."""
        reached = self._without(name, mode).reached
        return reached is None or number in reached

    def _dies(self, name: str, mode: str) -> bool:
        """Whether the kernel dies in a story without a mutant."""
        return len(self._without(name, mode).seen) < len(STORIES[name].script.steps)

    def by_kept_state(self, number: int, name: str, mode: str) -> Sight:
        """What a story shows of a mutant in the state that KVM keeps, if its observations are the same."""
        if self.keeping is None or self._dies(name, mode) or not self._reaches(number, name, mode):
            return NOTHING
        try:
            before = self._kept(name, mode)
            for at, (_, after) in enumerate(self._played(name, mode, number, kept=True)):
                if after is not None and after.digest != before[at]:
                    return Sight(Seen.KEPT, f"step {at + 1}: {self._fact(name, mode, at, after)}")
        except KernelDied as died:
            # Only while that state was copied: the observations were the same.
            return Sight(Seen.KEPT, died.how, died.hung)
        except Lacking as problem:
            return lacking(problem)
        return NOTHING

    def _kept(self, name: str, mode: str) -> list[bytes]:
        """A digest of the state that is kept after each step of a story without a mutant."""
        if (name, mode) not in self._kept_digests:
            states = (kept for _, kept in self._played(name, mode, 0, kept=True))
            self._kept_digests[name, mode] = [kept.digest for kept in states if kept is not None]
        return self._kept_digests[name, mode]

    def _fact(self, name: str, mode: str, at: int, after: KeptMemory) -> str:
        """What differs of the state that is kept after a step."""
        states = (kept for _, kept in self._played(name, mode, 0, kept=True))
        before = next(islice(states, at, None))
        assert before is not None
        return ", ".join(fact.removeprefix("kept: ") for fact, *_ in before.facts(after)[:1])

    def _played(
        self, name: str, mode: str, number: int, *, kept: bool = False
    ) -> Iterator[tuple[Observation, KeptMemory | None]]:
        """The observations of a story and the state that is kept, by step. Raises KernelDied, Lacking."""
        with self._machine(name, mode, number, kept=kept) as machine:
            for step in STORIES[name].script.steps:
                seen = machine.step(step.kind, **step.arguments)
                yield seen, self._decode(machine.raw_state()) if kept else None

    def _machine(self, name: str, mode: str, number: int, *, kept: bool = False) -> KvmOracle:
        """The machine of a story. Raises KernelDied, Lacking."""
        assert self.reader is not None
        return KvmOracle(
            self.reader.library,
            VM_MODES[mode].host(),
            STORIES[name].script.options,
            patience=PATIENCE,
            raw_state=self.reader.request if kept else None,
            plant=number,
        )

    @cached_property
    def _decode(self) -> Callable[[bytes], KeptMemory]:
        assert self.keeping is not None and self.reader is not None
        return self.keeping(self.reader)


def lacking(problem: Lacking) -> Sight:
    """What a run that could not be judged shows; memory or time may suffice the next time."""
    return Sight(Seen.LACKING, problem.what, lasting=problem.todo not in ("", MEMORY))
