# SPDX-License-Identifier: GPL-2.0-only
"""Telling a difference: inputs and observations in words, and the command that shows it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.rules import broken, facts
from conformance.differential.verdict import PROVE, Counterexample, case_text
from conformance.model.modes import MODES
from conformance.model.spte.decode import describe

__all__ = ["counterexample", "described", "meant"]


def counterexample(
    comparison: Comparison, found: Difference, arguments: Sequence[str], *, oracle: str = "shim"
) -> Counterexample:
    """The difference for people; ``arguments`` are those of ``conformance run`` that chose the kernel.

    ``oracle`` is what answered for it: code that was compiled here, or a module that was shipped.

    A host that is no named mode, which only a proof comes upon, is come upon again by the same proof.
    """
    prop = comparison.property
    mode = comparison.mode.name
    place = ["--mode", mode, "--case", case_text(found.case)] if mode in MODES else ["--engine", PROVE]
    again = shlex.join(["conformance", "run", *arguments, "--only", prop.name, *place])
    sides = ("module" if oracle == "binary" else "kernel", "model")
    told = replace(described(comparison, found, again), sides=sides)
    return told if found.crash else meant(told, comparison, found)


def described(comparison: Comparison, found: Difference, again: str) -> Counterexample:
    """The inputs and both observations as ``comparison`` reads them, without what the difference means."""
    prop, k = comparison.property, comparison.kernel
    inputs = {column.name: word for column, word in zip(prop.takes, found.case, strict=True)}
    names = [*prop.gives, "events"]
    differing = [n for n in range(len(names)) if found.crash or found.kernel[n] != found.model[n]]
    order = [*differing, *(n for n in range(len(names)) if n not in differing)]
    kernel = {}
    if not found.crash:
        kernel = {names[n]: _say(comparison, names[n], found.kernel[n], found.unexpected) for n in order}
    why = prop.broken(k, found.case)
    return Counterexample(
        inputs=inputs,
        decoded={
            column.name: words for column in prop.takes if (words := column.decoded(k, inputs[column.name]))
        },
        kernel=kernel,
        model={names[n]: _say(comparison, names[n], found.model[n], "") for n in order},
        again=again,
        crash=found.crash,
        legal=not why,
        precondition=_precondition(why, found.tried),
        written={column.name: column.text(inputs[column.name]) for column in prop.takes},
    )


def meant(told: Counterexample, comparison: Comparison, found: Difference) -> Counterexample:
    """The counterexample with the rule that the kernel breaks or, if there is none, the facts that differ."""
    breach = broken(comparison, found)
    if breach.rule is None:
        return replace(told, differs=facts(breach.scene), rank=breach.rank)
    sentence = f"{breach.where}{breach.rule.said(breach.scene)}"
    return replace(told, rule=sentence, source=breach.rule.source, rank=breach.rank)


def _precondition(why: str, tried: int) -> str:
    """What is said of an input that no caller of the kernel can give."""
    if not why:
        return ""
    searched = f"; no legal input that differs was found in {tried:,} tries" if tried else ""
    return f"this input breaks the precondition: {why}{searched}"


def _say(comparison: Comparison, name: str, word: int, unexpected: str) -> str:
    """One observed word as text."""
    prop, k = comparison.property, comparison.kernel
    if name == "events":
        return _events(prop.events, word, unexpected)
    if name == "accesses":
        return _accesses(word)
    if name in prop.truths and word in (0, 1):
        return "true" if word else "false"
    if name in prop.sptes:
        return f"{word:#018x} {describe(k, word)}"
    return f"{word:#x}"


def _accesses(word: int) -> str:
    plain, atomic = word & 0xFF, word >> 8
    parts = [f"{count} {kind}" for count, kind in ((plain, "plain"), (atomic, "atomic")) if count]
    return " and ".join(parts) + " write" if parts else "no write"


def _events(events: Sequence[str], word: int, unexpected: str) -> str:
    counts = [(event, word >> 8 * n & 0xFF) for n, event in enumerate(events)]
    other = word >> 56
    told = [f"{event} ({count} times)" if count > 1 else event for event, count in counts if count]
    if other:
        told.append(unexpected or "an event that the property does not know")
    return ", ".join(told) or "none"
