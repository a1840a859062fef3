# SPDX-License-Identifier: GPL-2.0-only
"""A schedule as people draw it: a column for each thread, time downwards, the SPTE after each step.

In the style of the kernel's Documentation/virt/kvm/locking.rst. Only what the threads have to do with each
other is drawn: accesses to what several of them touch and one of them changes, and what happens to the
guest.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.races.subject import Access, Subject

__all__ = ["Moment", "as_html", "as_text", "moments"]

WIDTH = 110
_QUIET = {Access.LOCK, Access.LOCK_SHARED, Access.UNLOCK}


@dataclass(frozen=True)
class Moment:
    """What a thread did, and, if it changed an SPTE, what that was afterwards."""

    thread: int
    did: str
    spte: int | None = None


def moments(subject: Subject, choices: Sequence[int]) -> list[Moment]:
    """The moments of a schedule that matter. Runs it once."""
    subject.begin()
    told: list[tuple[int, int, int, str, int | None]] = []
    users: defaultdict[int, set[int]] = defaultdict(set)
    changed: set[int] = set()
    for thread in choices:
        op = subject.pending(thread)
        assert op is not None
        kind, name = op
        did, spte = subject.name(thread), subject.spte(thread)
        subject.advance(thread)
        after = subject.peek(name) if spte is not None and kind in (Access.WRITE, Access.RMW) else None
        told.append((thread, kind, name, did, after))
        users[name].add(thread)
        if kind in (Access.WRITE, Access.RMW):
            changed.add(name)
    found: list[Moment] = []
    for thread, kind, name, did, after in told:
        matters = kind == Access.MARK or (kind not in _QUIET and len(users[name]) > 1 and name in changed)
        moment = Moment(thread, did, after)
        if matters and moment not in found[-1:]:
            found.append(moment)
    return found


def _table(threads: Sequence[str], drawn: Sequence[Moment], sptes: dict[int, str], end: str) -> Table:
    table = Table(box=box.ASCII2, show_lines=False, caption=Text(end), caption_justify="left", expand=True)
    for name in threads:
        table.add_column(name, ratio=3, overflow="fold")
    table.add_column("SPTE afterwards", ratio=3, overflow="fold")
    for moment in drawn:
        cells = [Text("")] * len(threads)
        cells[moment.thread] = Text(moment.did)
        after = "" if moment.spte is None else sptes.get(moment.spte, f"{moment.spte:#x}")
        table.add_row(*cells, Text(after))
    return table


def as_text(threads: Sequence[str], drawn: Sequence[Moment], sptes: dict[int, str], end: str) -> list[str]:
    """The picture in lines of text. ``sptes`` are values in words, ``end`` is how it ended."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, highlight=False)
    console.print(_table(threads, drawn, sptes, end))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def as_html(
    title: str, threads: Sequence[str], drawn: Sequence[Moment], sptes: dict[int, str], end: str
) -> str:
    """The picture as a page."""
    console = Console(file=io.StringIO(), width=WIDTH + 30, record=True, highlight=False)
    console.print(Text(title, style="bold"))
    console.print(_table(threads, drawn, sptes, end))
    return console.export_html(inline_styles=True)
