# SPDX-License-Identifier: GPL-2.0-only
"""Proofs in several processes, property by property: kernel against model, or kernel against kernel.

A refutation counts only if the processor shows the difference on that input. A proof counts only if the
formulas, evaluated on drawn cases in every mode, give what the processor gives.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import numpy as np

from conformance.deadline import Deadline
from conformance.differential.comparison import Comparison, Difference
from conformance.differential.counterexamples import command_of_run, counterexample
from conformance.differential.properties import PROPERTIES
from conformance.differential.property import Property
from conformance.differential.proving.every_host import KINDS
from conformance.differential.proving.proofs import DEATH, Refutation, modes_of, prove
from conformance.differential.proving.side_specs import Pair
from conformance.differential.proving.term_sides import CodeTerms
from conformance.differential.shrinking import smallest
from conformance.differential.sides import why_incomparable
from conformance.differential.verdict import PROVE, Result, Verdict, case_text
from conformance.model.modes import MODES, Mode
from conformance.oracles.child import KernelDied
from conformance.workers import workers

__all__ = ["prove_all"]

CASES = 1024
"""On how many cases of a property the formulas must agree with the processor for a proof to count."""

GRACE = 0.5
"""Seconds after the deadline in which a process may still report the result of its property."""
TOO_LATE = "unproved: the budget ended before"

COSTLY = ("make_spte", "kvm_mmu_set_mmio_spte_mask", "make_huge_page_split_spte", "make_huge_spte")
"""The properties that take longest are begun first."""


def prove_all(
    pair: Pair,
    names: Sequence[str],
    seconds: float,
    jobs: int,
    arguments: Sequence[str],
    modes: Sequence[str] = (),
    deadline: Deadline | None = None,
) -> Iterator[Result]:
    """The results of the properties ``names``, in their order.

    Each property may take ``seconds``, and all end at the ``deadline``. With ``modes`` they are proved on the
    hosts of these only. ``arguments`` are those of ``conformance run``, or ``conformance diff`` in a review,
    that choose the kernels, for the command that reproduces a difference. With one job the work is done here,
    which only a process with one thread may do. Otherwise it is done in processes; where one of them ends,
    its property is an ERROR.
    """
    if not names:
        return
    deadline = deadline or Deadline()
    if jobs == 1:
        with _Worker(pair, tuple(arguments)) as worker:
            yield from (worker.judge(PROPERTIES[name], seconds, modes, deadline) for name in names)
        return
    with workers(min(jobs, len(names)), _begin, (pair, tuple(arguments))) as pool:
        late = False
        costly = sorted(names, key=lambda name: COSTLY.index(name) if name in COSTLY else len(COSTLY))
        futures = {name: pool.submit(_judge, name, seconds, modes, deadline) for name in costly}
        for name in names:
            try:
                yield futures[name].result(_seconds_for(deadline))
            except TimeoutError:
                late = True
                yield Result(name, pair.left.oracle, PROVE, "-", Verdict.SKIP, reason=TOO_LATE)
            except BrokenProcessPool:
                why = "unproved: the process that worked on it, or on another property, ended"
                yield Result(name, pair.left.oracle, PROVE, "-", Verdict.ERROR, reason=why)
        if late:
            # They should have ended by now, and are not waited for.
            pool.kill()


def _seconds_for(deadline: Deadline) -> float | None:
    """How long a result is waited for; None is for ever."""
    return Deadline(until=deadline.until + GRACE).left if math.isfinite(deadline.until) else None


_worker: _Worker | None = None


def _begin(pair: Pair, arguments: tuple[str, ...]) -> None:
    """Open the sides, once in each process."""
    global _worker
    _worker = _Worker(pair, arguments)


def _judge(name: str, seconds: float, modes: Sequence[str], deadline: Deadline) -> Result:
    assert _worker is not None
    return _worker.judge(PROPERTIES[name], seconds, modes, deadline)


class _Worker:
    """A process's open sides, kept from one property to the next."""

    def __init__(self, pair: Pair, arguments: tuple[str, ...]) -> None:
        self._pair = pair
        self._arguments = arguments
        self._opened = ExitStack()
        self._left, self._right = (spec.open(self._opened) for spec in (pair.left, pair.right))
        self._terms = (pair.left.terms(), pair.right.terms())

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *exc: object) -> None:
        self._opened.close()

    def judge(self, prop: Property, seconds: float, modes: Sequence[str], deadline: Deadline) -> Result:
        """The result of a property, with the time that it took."""
        start = time.monotonic()
        if not deadline.more_time():
            return Result(prop.name, self._pair.left.oracle, PROVE, "-", Verdict.SKIP, reason=TOO_LATE)
        result = self._judge(prop, min(seconds, deadline.left), modes)
        return replace(result, seconds=time.monotonic() - start)

    def _judge(self, prop: Property, seconds: float, modes: Sequence[str]) -> Result:
        result = partial(Result, prop.name, self._pair.left.oracle, PROVE)
        if why := why_incomparable(prop, self._left.profile, self._right.profile):
            return result("-", Verdict.SKIP, reason=f"unproved: {why}")
        proof = prove(prop, self._terms, seconds, modes)
        if proof.refutation is not None:
            return self._replayed(prop, proof.refutation, result)
        if not proof.proved:
            return result("-", Verdict.SKIP, reason=f"unproved: {proof.unproved}")
        try:
            cases = self._agree(prop, modes)
        except _Disagree as why_not:
            return result("-", Verdict.ERROR, reason=f"the proof engine is wrong: {why_not}")
        where = "every host" if len(proof.kinds) == len(KINDS) else f"every {' and '.join(proof.kinds)} host"
        if modes:
            where = f"the hosts of {', '.join(modes)}"
        return result("-", Verdict.PASS, cases, reason=f"proved: {proof.inputs} inputs, {where}")

    def _comparison(self, prop: Property, mode: Mode) -> Comparison:
        return Comparison(prop, mode, self._left, self._right, review=self._pair.review)

    def _replayed(self, prop: Property, found: Refutation, result: Callable[..., Result]) -> Result:
        """The difference as the processor shows it, minimised; without one there the refutation is void."""
        comparison = self._comparison(prop, found.mode)
        difference = comparison.compare_once(found.case)
        if difference is None and found.word == DEATH:
            why = f"on {case_text(found.case)} ({found.mode.name}) it accesses what lies outside of its image"
            return result("-", Verdict.SKIP, reason=f"unproved: {why}")
        if difference is None:
            place = f"{found.word} of {case_text(found.case)} ({found.mode.name})"
            why = f"the proof engine is wrong: by the formulas {place} differs, on the processor it does not"
            return result("-", Verdict.ERROR, reason=why)
        difference = smallest(comparison, difference, np.random.default_rng(len(prop.name)))
        shown = counterexample(comparison, difference, self._again(comparison, difference))
        why = f"refuted in {found.word}, and replayed"
        return result(found.mode.name, Verdict.FAIL, comparison.cases, reason=why, counterexample=shown)

    def _again(self, comparison: Comparison, found: Difference) -> str:
        """The command that reproduces a difference: by its case where it can, else by the same proof."""
        if not self._pair.review:
            return command_of_run(comparison, found, self._arguments)
        only = ["--only", comparison.property.name]
        if self._pair.left.is_model or self._pair.right.is_model:
            return shlex.join(["conformance", "prove", "--between", *self._arguments, *only])
        mode = comparison.mode.name
        place = ["--mode", mode, "--case", case_text(found.case)] if mode in MODES else []
        return shlex.join(["conformance", "diff", *self._arguments, *only, *place])

    def _agree(self, prop: Property, modes: Sequence[str]) -> int:
        """On how many drawn cases the formulas of the code gave what the processor gave.

        Raises _Disagree about the first on which they did not.
        """
        cases = 0
        rng = np.random.default_rng(len(prop.name))
        selected = modes_of(prop, modes)
        for name in selected:
            comparison = self._comparison(prop, MODES[name])
            batch = comparison.draw(rng, -(-CASES // len(selected)))
            sides = zip(self._terms, (self._left, self._right), strict=True)
            codes = [(terms, side) for terms, side in sides if isinstance(terms, CodeTerms)]
            if not codes:
                # Models only: their answers over numbers take the processor's place.
                if comparison.compare(batch) is not None:
                    raise _Disagree(f"numbers differ where formulas do not ({name})")
                cases += batch.shape[1]
            for terms, side in codes:
                try:
                    answer = comparison.answer(side, batch)
                except KernelDied as died:
                    raise _Disagree(f"the processor {died.how} where formulas give words") from None
                differing = np.flatnonzero((answer != terms.evaluate(prop, MODES[name], batch)).any(axis=0))
                if differing.size:
                    case = case_text(batch[:, differing[0]].tolist())
                    raise _Disagree(f"formulas and processor differ on {case} ({name})")
                cases += batch.shape[1]
        return cases


class _Disagree(Exception):
    """The formulas do not give what the processor gives."""
