# SPDX-License-Identifier: GPL-2.0-only
"""Measured figures, and their table."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["Figure", "interleaved", "per_second", "processor_seconds", "show"]


@dataclass(frozen=True)
class Figure:
    """One line: what was measured, its ratio to another figure of the same run, and the target.

    ``reached`` is None without a target, or if this measurement cannot be compared with it.
    """

    name: str
    measured: str
    ratio: str = ""
    target: str = ""
    reached: bool | None = None
    note: str = ""


def interleaved(work: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median seconds of each task; all are run in turn, ``repeats`` times after one warm-up.

    A task that times itself returns its seconds as a float; others are timed here.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(repeats + 1):
        for name, do in work.items():
            start = time.perf_counter()
            told = do()
            took = told if isinstance(told, float) else time.perf_counter() - start
            if repeat:
                seconds[name].append(took)
    return {name: statistics.median(each) for name, each in seconds.items()}


def processor_seconds() -> float:
    """The processor time of this process and its descendants. Raises OSError if Linux does not count it."""
    return time.process_time() + sum(map(_ran, _descendants(os.getpid())))


def _descendants(pid: int) -> Iterator[int]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (thread / "children").read_text().split()):
            yield child
            yield from _descendants(child)


def _ran(pid: int) -> float:
    """The seconds that a process of one thread has run."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def per_second(rate: float) -> str:
    """A rate in cases a second, three digits."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if rate >= size:
            return f"{rate / size:.3g} {unit}/s"
    return f"{rate:.3g} /s"


def show(console: Console, title: str, figures: list[Figure]) -> None:
    """Print a section."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False)
    for heading, justify in (("", "left"), ("measured", "right"), ("ratio", "right"), ("target", "left")):
        table.add_column(heading, justify=justify, overflow="fold")
    table.add_column("reached")
    for figure in figures:
        reached = {True: "[green]yes[/]", False: "[red]no[/]", None: "not judged" if figure.target else ""}
        table.add_row(figure.name, figure.measured, figure.ratio, figure.target, reached[figure.reached])
    console.print(table)
    for note in dict.fromkeys(figure.note for figure in figures if figure.note):
        console.print(f" {note}", style="dim", highlight=False, markup=False)
    console.print()
