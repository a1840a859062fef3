# SPDX-License-Identifier: GPL-2.0-only
"""A difference as reports show it: decoded, with its meaning and the command that reproduces it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.rules import broken, facts
from conformance.differential.verdict import PROVE, Counterexample, case_text
from conformance.model.modes import MODES

__all__ = ["command_of_run", "counterexample"]

LEFT, RIGHT = 0, 1


def counterexample(comparison: Comparison, found: Difference, again: str) -> Counterexample:
    """The difference decoded, each side's words by its own masks. ``again`` is the command to reproduce it.

    In a review either side may be the one that crashed, so that its words say so.
    """
    prop = comparison.property
    inputs = {column.name: word for column, word in zip(prop.takes, found.case, strict=True)}
    k = comparison.left.reading(comparison.mode)
    why = prop.broken(k, found.case)
    shown = Counterexample(
        inputs=inputs,
        decoded={
            column.name: words for column in prop.takes if (words := column.decoded(k, inputs[column.name]))
        },
        kernel=_observed(comparison, found, LEFT),
        model=_observed(comparison, found, RIGHT),
        again=again,
        crash=None if comparison.review else found.crash,
        legal=not why,
        precondition=_precondition(why, found.tried),
        written={column.name: column.text(inputs[column.name]) for column in prop.takes},
        sides=(comparison.left.title, comparison.right.title),
    )
    return shown if found.crash else _with_meaning(shown, comparison, found)


def command_of_run(comparison: Comparison, found: Difference, arguments: Sequence[str]) -> str:
    """The ``conformance run`` that shows the difference; ``arguments`` are those that chose the kernel.

    A host that is no named mode, which only a proof finds, is found again by the same proof.
    """
    mode = comparison.mode.name
    place = ["--mode", mode, "--case", case_text(found.case)] if mode in MODES else ["--engine", PROVE]
    return shlex.join(["conformance", "run", *arguments, "--only", comparison.property.name, *place])


def _with_meaning(shown: Counterexample, comparison: Comparison, found: Difference) -> Counterexample:
    """The counterexample with the rule that it breaks or, without one, the facts that differ."""
    breach = broken(comparison, found)
    if breach.rule is None:
        return replace(shown, differs=facts(breach.scene), rank=breach.rank)
    sentence = f"{breach.where}{breach.rule.sentence_about(breach.scene)}"
    return replace(shown, rule=sentence, source=breach.rule.source, rank=breach.rank)


def _precondition(why: str, tried: int) -> str:
    """The remark on an input that no caller of the kernel can give."""
    if not why:
        return ""
    searched = f"; no legal input that differs was found in {tried:,} tries" if tried else ""
    return f"this input breaks the precondition: {why}{searched}"


def _observed(comparison: Comparison, found: Difference, which: int) -> dict[str, str]:
    """One side's words as text by output, those that differ first."""
    side, words = (comparison.left, comparison.right)[which], (found.left, found.right)[which]
    if not words:
        return {"answer": f"did not come: {found.crash}"} if comparison.review else {}
    k, prop = side.reading(comparison.mode), comparison.property
    *outputs, events = words
    text = {output.name: output.text(k, word) for output, word in zip(prop.gives, outputs, strict=True)}
    text["events"] = _events(prop.events, events, found.unexpected[which])
    differing = [n for n in range(len(words)) if found.crash or found.left[n] != found.right[n]]
    order = [*differing, *(n for n in range(len(words)) if n not in differing)]
    names = [*text]
    return {names[n]: text[names[n]] for n in order}


def _events(events: Sequence[str], word: int, unexpected: str) -> str:
    counts = [(event, word >> 8 * n & 0xFF) for n, event in enumerate(events)]
    other = word >> 56
    seen = [f"{event} ({count} times)" if count > 1 else event for event, count in counts if count]
    if other:
        seen.append(unexpected or "an event that the property does not declare")
    return ", ".join(seen) or "none"
