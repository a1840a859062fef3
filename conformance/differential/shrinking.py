# SPDX-License-Identifier: GPL-2.0-only
"""Choosing the counterexample to show: a legal one if one is found, and then the smallest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from conformance.differential.columns import SpteColumn
from conformance.differential.comparison import ILLEGAL, LOUD, QUIET, Comparison, Difference
from conformance.differential.inputs import admitted
from conformance.differential.property import Property
from conformance.differential.rules import broken
from conformance.model.semantics import Semantics
from conformance.model.spte.predicates import is_shadow_present_pte

__all__ = ["mended", "shrink", "smallest"]

Words = NDArray[np.uint64]
MoreTime = Callable[[], bool]

AT_ONCE = 1 << 12
"""How many legal cases are tried at once in place of one that no caller can give."""
LEAST, ROUNDS = 1, 12
"""How often that is repeated at least and at most."""
DEATHS, FEW_DEATHS = 8, 2
"""The number of crashes that ends such a round, and where the difference was a crash."""
SOME = 48
"""How many of the cases that differ are held against the rules."""


def smallest(
    comparison: Comparison,
    found: Difference,
    rng: np.random.Generator,
    more_time: MoreTime = lambda: True,
) -> Difference:
    """The difference to show for ``found``: legal and without complaints if one is found, then small."""
    if found.hung:
        return found
    rank = comparison.rank(found.case)
    if found.crash and rank < ILLEGAL:
        return shrink(comparison, found, more_time)
    deaths = FEW_DEATHS if found.crash else DEATHS
    case, rank, tried = _better(comparison, found.case, rank, rng, more_time, deaths)
    better = None if case == found.case else comparison.compare_once(case)
    found = shrink(comparison, better or found, more_time)
    return replace(found, tried=tried if rank == ILLEGAL else 0)


def _better(
    comparison: Comparison,
    case: tuple[int, ...],
    rank: int,
    rng: np.random.Generator,
    more_time: MoreTime,
    deaths: int,
) -> tuple[tuple[int, ...], int, int]:
    """The case with the best rank, that rank, and how many legal cases were tried.

    Of cases of one rank it is the one that breaks the first rule of the tables.
    """
    n = min(AT_ONCE, comparison.capacity) // (64 if comparison.property.scalar else 1)
    tried = 0
    for at in range(ROUNDS):
        if at and not more_time():
            break
        batch = mended(comparison.property, comparison.semantics, _candidates(comparison, case, rng, n, at))
        tried += batch.shape[1]
        if not batch.shape[1]:
            continue
        ranks = comparison.ranks(batch, deaths=deaths)
        best = int(ranks.min())
        if best <= min(rank, LOUD):
            case, rank = (
                _clearest(comparison, case if best == rank else None, batch[:, ranks == best]),
                best,
            )
        if rank == QUIET and at >= LEAST:
            break
    return case, rank, tried


def _clearest(comparison: Comparison, case: tuple[int, ...] | None, batch: Words) -> tuple[int, ...]:
    """The case whose difference breaks the first rule of the tables: ``case``, or one of the batch."""
    shown = sorted((tuple(column) for column in batch.T.tolist()), key=_size)
    others = shown[:: max(len(shown) // SOME, 1)]
    tried = [*([case] if case else []), *others]
    found = comparison.differences(np.array(tried, np.uint64).T.copy())
    if not found:
        return tried[0]
    return min(found, key=lambda each: (broken(comparison, each).rank, _size(each.case))).case


def _candidates(
    comparison: Comparison, case: tuple[int, ...], rng: np.random.Generator, n: int, at: int
) -> Words:
    """Cases to be made legal: in the first round those near ``case``, then drawn ones."""
    batch = comparison.draw(rng, n)
    if at == 0:
        near = [case, *_steps(comparison, case)]
        return np.array(near, np.uint64).T.copy()
    if at % 2:
        # Some columns of the case, the rest drawn.
        kept = rng.integers(0, 4, batch.shape) != 0
        batch = np.where(kept, np.array(case, np.uint64)[:, None], batch)
    return batch


def mended(prop: Property, k: Semantics, batch: Words) -> Words:
    """The cases of a batch made legal; those that cannot be are left out."""
    n = batch.shape[1]
    made = [np.broadcast_to(np.asarray(row, np.uint64), n) for row in prop.mended(k, list(batch))]
    fits = np.broadcast_to(np.asarray(prop.legal(k, made)), n) & admitted(prop, k, np.stack(made))
    for row, column in zip(made, prop.takes, strict=True):
        fits &= row <= np.uint64((1 << column.width) - 1)
    return np.stack(made)[:, fits].copy()


def shrink(comparison: Comparison, found: Difference, more_time: MoreTime = lambda: True) -> Difference:
    """The smallest difference reached from ``found`` step by step, of no worse rank or rule.

    A step clears a column, sets it to an earlier one, clears one bit of it or lowers it to the next
    smaller choice, and is made legal where it is not; each round tries all steps in one batch and takes the
    smallest case that still differs.
    """
    if found.hung:
        return found
    best, rank = found, min(comparison.rank(found.case), ILLEGAL)
    rule = None if found.crash else broken(comparison, found).rank
    seen = {best.case}
    while more_time():
        steps = [case for case in _steps(comparison, best.case) if case not in seen]
        if steps and rank < ILLEGAL:
            batch = mended(comparison.property, comparison.semantics, np.array(steps, np.uint64).T.copy())
            others = {tuple(case) for case in batch.T.tolist()} - seen - {*steps}
            steps += [case for case in others if _size(case) < _size(best.case)]
        if not steps:
            return best
        seen.update(steps)
        ranks = comparison.ranks(np.array(steps, np.uint64).T.copy()).tolist()
        smaller = sorted((case for case, one in zip(steps, ranks, strict=True) if one <= rank), key=_size)
        for case in smaller:
            again = comparison.compare_once(case)
            if again is not None and _is_no_worse(comparison, again, rule):
                best = again
                break
        else:
            return best
    return best


def _is_no_worse(comparison: Comparison, found: Difference, rank: int | None) -> bool:
    """Whether a difference breaks a rule of this rank or a better one; where it was a crash, is one still."""
    if rank is None or found.crash:
        return rank is None and found.crash is not None
    return broken(comparison, found).rank <= rank


def _size(case: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
    """The order of cases: few set bits first, then few columns that are not 0."""
    return sum(bin(word).count("1") for word in case), sum(word != 0 for word in case), case


def _presence(k: Semantics, spte: int) -> bool:
    return bool(is_shadow_present_pte(k, spte))


def _steps(comparison: Comparison, case: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every case one step smaller that the function may be called with."""
    k = comparison.semantics
    steps: list[tuple[int, ...]] = []
    for at, (column, word) in enumerate(zip(comparison.property.takes, case, strict=True)):
        choices = column.choices(k)
        if choices is not None:
            smaller = list(choices[: choices.index(word)]) if word in choices else []
        else:
            smaller = [0, *case[:at], *(word & ~(1 << n) for n in range(64) if word >> n & 1)]
        if isinstance(column, SpteColumn):
            # A present SPTE stays present: it is easier to read than a smaller word.
            smaller = [value for value in smaller if _presence(k, value) >= _presence(k, word)]
        for value in smaller:
            changed = (*case[:at], value, *case[at + 1 :])
            if value != word and column.admits(k, value) and _size(changed) < _size(case):
                steps.append(changed)
    return steps
