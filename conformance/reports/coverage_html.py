# SPDX-License-Identifier: GPL-2.0-only
"""Coverage as HTML: an index with a map of the MMU, and a page for each file with its source.

The pages contain source of the kernel. They are for the user's machine, work without network and scripts,
and follow the light or dark theme of the reader's system.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pygments
from pygments.formatters import HtmlFormatter
from pygments.lexers import CLexer

from conformance.coverage.compared.mutants import Judged, Outcome
from conformance.coverage.data import LAYERS
from conformance.coverage.outcome import KernelCoverage, State
from conformance.reports.coverage import TITLES, interval, ranges, share, short
from conformance.reports.templates import templates
from conformance.reports.treemap import treemap

__all__ = ["MARKS", "pages"]

MARKS = {
    State.COMPARED: "✓",
    State.SURVIVED: "✗",
    State.EXECUTED: "•",
    State.DARK: "○",
    State.UNREACHABLE: "–",
}
"""The mark of each state, so that colour is not needed to tell them apart."""

MEANINGS = {
    State.COMPARED: "executed; a change planted into the line was detected",
    State.SURVIVED: "executed; a change planted into the line was not detected, or in reviews only",
    State.EXECUTED: "executed; no change was planted into the line",
    State.DARK: "no run executed the line",
    State.UNREACHABLE: "nothing can execute the line in this configuration",
}

_MAPS = {"wide": (1248.0, 900.0), "tall": (380.0, 1800.0)}
"""The sizes of the map, for wide and for narrow screens."""

_SHOWN = 120
"""The most lines between two functions that are shown."""


@dataclass(frozen=True)
class Row:
    """A line of source. ``taken`` are the branches that were taken, of those that leave it."""

    number: int
    source: str
    state: State | None
    count: int
    taken: tuple[int, int]
    runs: Sequence[tuple[str, str]]
    mutants: Sequence[Judged]
    reason: str


def pages(kernels: Sequence[KernelCoverage], rule: Sequence[str]) -> Iterable[tuple[Path, str]]:
    """The pages of kernels, each with its path: index.html and, for each kernel, its map and its files."""
    environment = _environment()
    yield Path("style.css"), _style(environment)
    single = len(kernels) == 1
    folders = [Path() if single else Path(_file_name(kernel.title)) for kernel in kernels]
    if not single:
        template = environment.get_template("kernels.html")
        listed = [
            {"folder": f"{folder}", "kernel": one} for folder, one in zip(folders, kernels, strict=True)
        ]
        yield Path("index.html"), template.render(kernels=listed, top="", rule=rule)
    for folder, kernel in zip(folders, kernels, strict=True):
        yield from _kernel(kernel, folder, rule, environment)


def _environment() -> jinja2.Environment:
    environment = templates(
        State=State, LAYERS=LAYERS, MARKS=MARKS, MEANINGS=MEANINGS, Outcome=Outcome, TITLES=TITLES
    )
    environment.filters.update(
        share=share, short=short, page=_page, ranges=ranges, interval=interval, css=_css, by=_by
    )
    return environment


def _style(environment: jinja2.Environment) -> str:
    """The style sheet, with the colours of C in both themes."""
    themes = {"light": "default", "dark": "monokai"}
    colours = {
        theme: HtmlFormatter(style=style, nobackground=True).get_style_defs(".c")
        for theme, style in themes.items()
    }
    return environment.get_template("style.css").render(colours=colours)


def _css(state: State) -> str:
    """The class of a state."""
    return state.value.replace(" ", "-")


def _file_name(text: str) -> str:
    """A text as part of a file name."""
    return "".join(char if char.isalnum() or char in ".-_" else "_" for char in text)


def _page(file: str) -> str:
    """The page of a file, relative to its kernel's index."""
    return f"{_file_name(file)}.html"


def _by(runs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Runs by layer."""
    found: dict[str, list[str]] = {}
    for layer, run in runs:
        found.setdefault(layer, []).append(run)
    return found


def _kernel(
    kernel: KernelCoverage, folder: Path, rule: Sequence[str], environment: jinja2.Environment
) -> Iterable[tuple[Path, str]]:
    given: dict[str, Any] = {"kernel": kernel, "rule": rule, "top": "" if folder == Path() else "../"}
    lines = {
        file: {
            one.name: {_css(state): count for state, count in kernel.counts(file, one.name).items()}
            for one, *_ in kernel.apart(file)
        }
        for file in kernel.files
    }
    maps = {name: treemap(lines, *size) for name, size in _MAPS.items()}
    index = environment.get_template("index.html")
    yield folder / "index.html", index.render(maps=maps, sizes=_MAPS, lines=lines, **given)
    template = environment.get_template("file.html")
    for file in kernel.files:
        yield folder / _page(file), template.render(file=file, parts=_parts(kernel, file), **given)


@dataclass(frozen=True)
class Part:
    """Consecutive lines: those of a function, or those between two.

    names: the functions that share the lines. left_out: the number of lines that are not shown.
    """

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: int = 0


def _parts(kernel: KernelCoverage, file: str) -> list[Part]:
    rows = _rows(kernel, file)
    parts, at = [], 1
    for functions in kernel.apart(file):
        first, last = functions[0].first, max(one.last for one in functions)
        if first < at:
            continue  # It stands inside another one, as no function of C does.
        parts.append(_between(rows[at - 1 : first - 1]))
        at = last + 1
        parts.append(Part(tuple(one.name for one in functions), tuple(rows[first - 1 : last])))
    parts.append(_between(rows[at - 1 :]))
    return [part for part in parts if part.rows or part.left_out]


def _between(rows: Sequence[Row]) -> Part:
    """The lines between two functions; in files of which only a part counts, they may be thousands."""
    return Part((), tuple(rows)) if len(rows) <= _SHOWN else Part((), (), len(rows))


def _rows(kernel: KernelCoverage, file: str) -> list[Row]:
    text = (kernel.source / file).read_text(encoding="utf-8", errors="replace")
    lines, states = kernel.files[file].lines, kernel.states[file]
    reasons = kernel.unreachable.lines.get(file, {})
    planted: dict[int, list[Judged]] = {}
    for one in () if kernel.compared is None else kernel.compared.judged:
        if one.mutant.file == file:
            planted.setdefault(one.mutant.line, []).append(one)
    found = []
    for number, source in enumerate(_highlighted(text), 1):
        line = lines.get(number)
        branches = () if line is None else line.branches
        found.append(
            Row(
                number,
                source,
                states.get(number),
                0 if line is None else line.count,
                (sum(map(bool, branches)), len(branches)),
                kernel.runs_of_line(file, number),
                planted.get(number, ()),
                reasons[number].reason if number in reasons else "",
            )
        )
    return found


def _highlighted(text: str) -> list[str]:
    """The lines of C as HTML. A line is complete in itself: no element of it ends in a later one."""
    lexer = CLexer(stripnl=False, ensurenl=False)
    html: str = pygments.highlight(text, lexer, HtmlFormatter(nowrap=True))
    return html.split("\n")
