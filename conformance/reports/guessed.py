# SPDX-License-Identifier: GPL-2.0-only
"""The modes in which an SPTE is legal, in several kernels."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console

from conformance.reports.decoded import Decoded
from conformance.reports.terminal import say
from conformance.reports.text import line, word

__all__ = ["as_json", "show"]

Guesses = Sequence[tuple[str, Decoded]]


def show(guesses: Guesses, console: Console) -> None:
    """Print the SPTE, and for each kernel the modes in which it is legal, with their levels."""
    _, first = guesses[0]
    said = ", ".join(f"{name} {value}" for name, value in first.said.items())
    say(console, f"{word(first.reading.spte)}  {line(said)}".rstrip(), "bold")
    for title, one in guesses:
        legal = [f"{mode} ({', '.join(map(str, levels))})" for mode, levels in _legal(one).items()]
        if legal:
            say(console, f"  {line(title):8} {', '.join(legal)}")
        else:
            reason = min(one.reading.wrong.values(), key=len)[0]
            say(console, f"  {line(title):8} in no mode; nearest is {one.reading.mode.name}: {line(reason)}")


def _legal(one: Decoded) -> dict[str, list[int]]:
    """The levels at which the SPTE is legal, by mode."""
    return {reading.mode.name: [*reading.legal] for reading in one.others if reading.legal}


def as_json(guesses: Guesses) -> str:
    """The same as JSON, on one line."""
    _, first = guesses[0]
    return json.dumps(
        {"spte": word(first.reading.spte), "legal": {title: _legal(one) for title, one in guesses}}
    )
