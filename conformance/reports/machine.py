# SPDX-License-Identifier: GPL-2.0-only
"""The facts that ``conformance doctor`` finds, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

import conformance
from conformance.machine import Fact
from conformance.reports.terminal import say
from conformance.reports.text import line

__all__ = ["render", "show"]

SCHEMA = 1


def show(facts: Sequence[Fact], console: Console) -> None:
    """Print the facts by group, then what ``conformance run`` lacks."""
    for group in dict.fromkeys(fact.group for fact in facts):
        say(console, group, "underline")
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for fact in facts:
            if fact.group == group:
                table.add_row(Text(f"  {line(fact.name)}", style=_style(fact)), _value(fact))
        console.print(table)
        console.print()
    lacking = [fact.lacking for fact in facts if fact.lacking]
    for sentence in lacking:
        say(console, line(sentence), "red")
    if not lacking:
        say(console, "All that 'conformance run' needs is there, and kernel code is confined.", "green")


def _style(fact: Fact) -> str:
    return "red" if fact.lacking else "bold" if fact.value else "dim"


def _value(fact: Fact) -> Text:
    text = Text(line(fact.value or "no"))
    if fact.note and fact.note != fact.lacking:
        text.append(f"  {line(fact.note)}", style="dim")
    return text


def render(facts: Sequence[Fact]) -> str:
    """The facts as JSON."""
    listed = [
        {
            "group": fact.group,
            "name": fact.name,
            "value": fact.value or None,
            "note": fact.note,
            "lacking": fact.lacking,
        }
        for fact in facts
    ]
    ready = not any(fact.lacking for fact in facts)
    document = {"schema": SCHEMA, "version": conformance.__version__, "ready": ready, "facts": listed}
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"
