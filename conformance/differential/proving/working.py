# SPDX-License-Identifier: GPL-2.0-only
"""Proofs as work for several processes: kernel against model, or kernel against kernel, property by property.

A refutation counts only once the processor itself has shown the difference on that input. A proof counts only
if the formulas, evaluated on drawn cases in every mode, say what the processor says.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from conformance.deadline import Deadline
from conformance.differential.columns import SpteColumn
from conformance.differential.comparison import Comparison
from conformance.differential.counterexamples import counterexample
from conformance.differential.duel import Duel, moved_bits
from conformance.differential.engines.bulk import draw
from conformance.differential.properties import PROPERTIES
from conformance.differential.property import Property
from conformance.differential.proving.hosts import KINDS
from conformance.differential.proving.proofs import DEATH, Refutation, modes_of, prove
from conformance.differential.proving.sides import Code, ModelSide
from conformance.differential.shrinking import smallest
from conformance.differential.verdict import PROVE, Result, Verdict, case_text
from conformance.model.modes import MODES, Mode
from conformance.model.profiles import Profile
from conformance.oracles.child import KernelDied
from conformance.oracles.image import Image
from conformance.workers import workers

__all__ = ["Witness", "prove_all"]

CASES = 1024
"""On how many cases of a property the formulas must agree with the processor, if they are to prove it."""

GRACE = 0.5
"""Seconds after the deadline in which a process may still say what came of its property."""
TOO_LATE = "unproved: the budget ended before"

COSTLY = ("make_spte", "kvm_mmu_set_mmio_spte_mask", "make_huge_page_split_spte", "make_huge_spte")
"""What takes longest is begun first."""


@dataclass(frozen=True)
class Witness:
    """A kernel that is asked: its profile, and how a process gets at its oracle and at its machine code.

    ``title`` is how reports call it, ``name`` the oracle's name. Without ``image`` it is the model of that
    profile, and the oracle answers as that.
    """

    profile: Profile
    oracle: Callable[[], Any]
    image: Callable[[], Image] | None
    title: str
    name: str = "shim"


def prove_all(
    witnesses: Sequence[Witness],
    names: Sequence[str],
    seconds: float,
    jobs: int,
    arguments: Sequence[str],
    modes: Sequence[str] = (),
    deadline: Deadline | None = None,
) -> Iterator[Result]:
    """Results of the properties ``names``, in their order: of one witness against the model, or of two.

    ``seconds`` is what each property may take, and all of them end at the ``deadline``. With ``modes`` they
    are proved on the hosts of these only. ``arguments``
    are those of ``conformance run``, or ``conformance diff``, that choose the kernels, for the command that
    shows a difference again. With one job it is done here, which only a process's one thread may; otherwise
    in processes, and where one ends of it, that is the property's result.
    """
    if not names:
        return
    deadline = deadline or Deadline()
    if jobs == 1:
        with _Worker(tuple(witnesses), tuple(arguments)) as worker:
            yield from (worker.judge(PROPERTIES[name], seconds, modes, deadline) for name in names)
        return
    begun = tuple(witnesses), tuple(arguments)
    with workers(min(jobs, len(names)), _begin, begun) as pool:
        late = False
        costly = sorted(names, key=lambda name: COSTLY.index(name) if name in COSTLY else len(COSTLY))
        futures = {name: pool.submit(_judge, name, seconds, modes, deadline) for name in costly}
        for name in names:
            try:
                yield futures[name].result(_seconds_for(deadline))
            except TimeoutError:
                late = True
                yield Result(name, witnesses[0].name, PROVE, "-", Verdict.SKIP, reason=TOO_LATE)
            except BrokenProcessPool:
                why = "unproved: the process that worked on it, or on another property, ended"
                yield Result(name, witnesses[0].name, PROVE, "-", Verdict.ERROR, reason=why)
        if late:
            # They should have ended by now, and are not waited for.
            pool.kill()


def _seconds_for(deadline: Deadline) -> float | None:
    """How long a result is waited for; None is for ever."""
    return Deadline(until=deadline.until + GRACE).left if math.isfinite(deadline.until) else None


_worker: _Worker | None = None


def _begin(witnesses: tuple[Witness, ...], arguments: tuple[str, ...]) -> None:
    """What a process does first."""
    global _worker
    _worker = _Worker(witnesses, arguments)


def _judge(name: str, seconds: float, modes: Sequence[str], deadline: Deadline) -> Result:
    assert _worker is not None
    return _worker.judge(PROPERTIES[name], seconds, modes, deadline)


class _Worker:
    """A process's oracles and formulas, kept from one property to the next."""

    def __init__(self, witnesses: tuple[Witness, ...], arguments: tuple[str, ...]) -> None:
        self._witnesses = witnesses
        self._arguments = arguments
        self._oracles = [witness.oracle() for witness in witnesses]
        first, last = witnesses[0].profile, witnesses[-1].profile
        sides = [
            ModelSide(witness.profile) if witness.image is None else Code(witness.image(), witness.profile)
            for witness in witnesses
        ]
        self._sides = (sides[0], sides[1] if len(witnesses) > 1 else ModelSide(first))
        self._moved = moved_bits(first, last)

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *exc: object) -> None:
        for oracle in self._oracles:
            oracle.close()

    def judge(self, prop: Property, seconds: float, modes: Sequence[str], deadline: Deadline) -> Result:
        """What became of a property."""
        start = time.monotonic()
        if not deadline.more_time():
            return Result(prop.name, self._witnesses[0].name, PROVE, "-", Verdict.SKIP, reason=TOO_LATE)
        result = self._judge(prop, min(seconds, deadline.left), modes)
        return replace(result, seconds=time.monotonic() - start)

    def _judge(self, prop: Property, seconds: float, modes: Sequence[str]) -> Result:
        told = partial(Result, prop.name, self._witnesses[0].name, PROVE)
        if self._moved and any(isinstance(column, SpteColumn) for column in prop.takes):
            why = f"a word is not the same SPTE to both kernels, for {', '.join(self._moved)} moved"
            return told("-", Verdict.SKIP, reason=f"unproved: {why}")
        proof = prove(prop, self._sides, seconds, modes)
        if proof.refutation is not None:
            return self._replayed(prop, proof.refutation, told)
        if not proof.proved:
            return told("-", Verdict.SKIP, reason=f"unproved: {proof.unproved}")
        try:
            cases = self._agree(prop, modes)
        except _Disagree as why_not:
            return told("-", Verdict.ERROR, reason=f"the proof engine is wrong: {why_not}")
        where = "every host" if len(proof.kinds) == len(KINDS) else f"every {' and '.join(proof.kinds)} host"
        if modes:
            where = f"the hosts of {', '.join(modes)}"
        return told("-", Verdict.PASS, cases, reason=f"proved: {proof.inputs} inputs, {where}")

    def _comparison(self, prop: Property, mode: Mode) -> Comparison:
        first, last = self._witnesses[0].profile, self._witnesses[-1].profile
        if len(self._witnesses) == 1:
            return Comparison(prop, mode, first, self._oracles[0])
        return Duel(prop, mode, (first, last), (self._oracles[0], self._oracles[1]))

    def _replayed(self, prop: Property, found: Refutation, told: Callable[..., Result]) -> Result:
        """The difference as the processor shows it, made small; what it does not show is no difference."""
        comparison = self._comparison(prop, found.mode)
        difference = comparison.compare_once(found.case)
        if difference is None and found.word == DEATH:
            why = f"on {case_text(found.case)} ({found.mode.name}) it accesses what lies outside of its image"
            return told("-", Verdict.SKIP, reason=f"unproved: {why}")
        if difference is None:
            place = f"{found.word} of {case_text(found.case)} ({found.mode.name})"
            why = f"the proof engine is wrong: by the formulas {place} differs, on the processor it does not"
            return told("-", Verdict.ERROR, reason=why)
        difference = smallest(comparison, difference, np.random.default_rng(len(prop.name)))
        if isinstance(comparison, Duel):
            again = ["conformance", "diff", *self._arguments, "--only", prop.name]
            if any(witness.image is None for witness in self._witnesses):
                again[1:2] = ["prove", "--between"]
            elif found.mode.name in MODES:
                again += ["--mode", found.mode.name, "--case", case_text(difference.case)]
            before, after = self._witnesses
            shown = comparison.tell(difference, shlex.join(again))
            shown = replace(shown, sides=(before.title, after.title))
        else:
            oracle = self._witnesses[0].name
            shown = counterexample(comparison, difference, self._arguments, oracle=oracle)
        why = f"refuted in {found.word}, and replayed"
        return told(found.mode.name, Verdict.FAIL, comparison.cases, reason=why, counterexample=shown)

    def _agree(self, prop: Property, modes: Sequence[str]) -> int:
        """On how many drawn cases the formulas of the code gave what the processor gave.

        Raises _Disagree about the first on which they did not.
        """
        seen = 0
        rng = np.random.default_rng(len(prop.name))
        wanted = modes_of(prop, modes)
        for name in wanted:
            comparison = self._comparison(prop, MODES[name])
            batch = draw(comparison, rng, -(-CASES // len(wanted)))
            asked = zip(self._sides, (comparison.ask_kernel, comparison.ask_model), strict=True)
            codes = [(side, ask) for side, ask in asked if isinstance(side, Code)]
            if not codes:
                # Models only: their answers over numbers take the processor's place.
                if comparison.compare(batch) is not None:
                    raise _Disagree(f"numbers differ where formulas do not ({name})")
                seen += batch.shape[1]
            for code, processor in codes:
                try:
                    answers = processor(batch)
                except KernelDied as died:
                    raise _Disagree(f"the processor {died.how} where formulas give words") from None
                differing = np.flatnonzero((answers != code.evaluate(prop, MODES[name], batch)).any(axis=0))
                if differing.size:
                    case = case_text(batch[:, differing[0]].tolist())
                    raise _Disagree(f"formulas and processor differ on {case} ({name})")
                seen += batch.shape[1]
        return seen


class _Disagree(Exception):
    """The formulas do not say what the processor does."""
