# SPDX-License-Identifier: GPL-2.0-only
"""Telling a difference: inputs and observations in words, and the command that shows it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from conformance.differential.columns import SpteColumn
from conformance.differential.comparison import Comparison, Difference
from conformance.differential.verdict import PROVE, Counterexample, case_text
from conformance.model.decode import describe
from conformance.model.modes import MODES

__all__ = ["counterexample"]

_SPTES = ("new_spte", "memory after")
"""Observed words that are SPTEs whatever the property; a property's only data word is judged by its name."""


def counterexample(
    comparison: Comparison, found: Difference, arguments: Sequence[str], *, oracle: str = "shim"
) -> Counterexample:
    """The difference for people; ``arguments`` are those of ``conformance run`` that chose the kernel.

    ``oracle`` is what answered for it: code that was compiled here, or a module that was shipped.

    A host that is no named mode, which only a proof comes upon, is come upon again by the same proof.
    """
    prop, k = comparison.property, comparison.kernel
    inputs = {column.name: word for column, word in zip(prop.takes, found.case, strict=True)}
    decoded = {
        column.name: describe(k, inputs[column.name])
        for column in prop.takes
        if isinstance(column, SpteColumn)
    }
    names = [*prop.gives, "events"]
    differing = [n for n in range(len(names)) if found.crash or found.kernel[n] != found.model[n]]
    order = [*differing, *(n for n in range(len(names)) if n not in differing)]
    mode = comparison.mode.name
    place = ["--mode", mode, "--case", case_text(found.case)] if mode in MODES else ["--engine", PROVE]
    kernel = {}
    if not found.crash:
        kernel = {names[n]: _say(comparison, names[n], found.kernel[n], found.unexpected) for n in order}
    return Counterexample(
        inputs=inputs,
        decoded=decoded,
        kernel=kernel,
        model={names[n]: _say(comparison, names[n], found.model[n], "") for n in order},
        again=shlex.join(["conformance", "run", *arguments, "--only", prop.name, *place]),
        crash=found.crash,
        sides=("module" if oracle == "binary" else "kernel", "model"),
    )


def _say(comparison: Comparison, name: str, word: int, unexpected: str) -> str:
    """One observed word as text."""
    prop, k = comparison.property, comparison.kernel
    if name == "events":
        return _events(prop.events, word, unexpected)
    if name == "accesses":
        return _accesses(word)
    if name in prop.truths and word in (0, 1):
        return "true" if word else "false"
    if name in _SPTES or _is_spte(comparison, name):
        return f"{word:#018x} {describe(k, word)}"
    return f"{word:#x}"


def _is_spte(comparison: Comparison, name: str) -> bool:
    """Whether a property's one word of data is an SPTE: made, changed, or replaced in memory."""
    prop = comparison.property
    maker = (
        prop.group in ("construction", "tdp") or prop.name.endswith("_spte") or "access_track" in prop.name
    )
    return name == "value" and name not in prop.truths and maker and not prop.name.startswith(("get_", "is_"))


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
