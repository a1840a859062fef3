# SPDX-License-Identifier: GPL-2.0-only
"""A schedule as a diagram: a column for each thread, time downwards, the SPTE after each write.

In the style of the kernel's Documentation/virt/kvm/locking.rst.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.races.interactions import Interaction

__all__ = ["as_html", "as_text"]

WIDTH = 110


def _table(threads: Sequence[str], shown: Sequence[Interaction], sptes: dict[int, str], end: str) -> Table:
    table = Table(box=box.ASCII2, show_lines=False, caption=Text(end), caption_justify="left", expand=True)
    for name in threads:
        table.add_column(name, ratio=3, overflow="fold")
    table.add_column("SPTE afterwards", ratio=3, overflow="fold")
    for one in shown:
        cells = [Text("")] * len(threads)
        cells[one.thread] = Text(one.access)
        after = "" if one.spte is None else sptes.get(one.spte, f"{one.spte:#x}")
        table.add_row(*cells, Text(after))
    return table


def as_text(
    threads: Sequence[str], shown: Sequence[Interaction], sptes: dict[int, str], end: str
) -> list[str]:
    """The diagram as lines of text. ``sptes`` are decoded values, ``end`` is the caption."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, highlight=False)
    console.print(_table(threads, shown, sptes, end))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def as_html(
    title: str, threads: Sequence[str], shown: Sequence[Interaction], sptes: dict[int, str], end: str
) -> str:
    """The diagram as an HTML page."""
    console = Console(file=io.StringIO(), width=WIDTH + 30, record=True, highlight=False)
    console.print(Text(title, style="bold"))
    console.print(_table(threads, shown, sptes, end))
    return console.export_html(inline_styles=True)
