# SPDX-License-Identifier: GPL-2.0-only
"""Changed lines in their hunks, those that nothing executes marked; and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from conformance.reports.text import escaped, line
from conformance.review.changed_lines import ChangedLines, Execution, Hunk, Row, Side
from conformance.review.review import FunctionReview

__all__ = ["MARK", "coverage", "hunks", "spans"]

MARK = "#####"
"""In front of a line that nothing executes, as gcov writes it."""

_MOST = 8
"""The most marked lines that are shown of a review, unless ``verbose``."""
_AROUND = 2
"""Lines shown before and after a marked line."""


def hunks(functions: Iterable[FunctionReview], *, verbose: bool = False) -> Iterator[str]:
    """The hunks with lines that nothing executes, each line of them marked; the others are counted."""
    left = _MOST
    hidden = 0
    for function in functions:
        for hunk in function.lines.hunks if function.lines else ():
            dark = sum(row.dark for row in hunk.rows)
            if not dark:
                continue
            most = dark if verbose else min(left, dark)
            left, hidden = left - most, hidden + dark - most
            if most:
                yield from _hunk(hunk, function.name, most)
    if hidden:
        more = "one more changed line" if hidden == 1 else f"{hidden} more changed lines"
        yield f"{more} that nothing executes: --verbose shows all"


def _hunk(hunk: Hunk, name: str, most: int) -> Iterator[str]:
    """A hunk, up to the marked line number ``most``."""
    marked = [n for n, row in enumerate(hunk.rows) if row.dark]
    beyond = marked[most] if most < len(marked) else len(hunk.rows)
    first, last = max(marked[0] - _AROUND, 0), min(marked[most - 1] + _AROUND + 1, beyond)
    shown = Hunk(hunk.file, hunk.rows[first:last])
    yield f"{' ' * len(MARK)} {shown.heading} {line(hunk.file)}: {line(name)}()"
    yield from (_row(row) for row in shown.rows)


def _row(row: Row) -> str:
    text = escaped(f"{row.sign}{row.text}".expandtabs()).rstrip()
    return f"{MARK if row.dark else ' ' * len(MARK)} {text}".rstrip()


def spans(lines: ChangedLines) -> Iterator[tuple[str, int, int, Execution]]:
    """The added lines that nothing executes: file, first and last line of each block, and why."""
    for hunk in lines.hunks:
        block: list[Row] = []
        for row in [*hunk.rows, Row("", 0, 0)]:
            dark = row.dark and row.after
            if block and (not dark or row.reading != block[-1].reading):
                assert block[0].reading is not None
                yield hunk.file, block[0].after, block[-1].after, block[0].reading.execution
                block = []
            if dark:
                block.append(row)


def coverage(lines: ChangedLines | None) -> dict[str, Any] | None:
    """The changed lines of a function for JSON."""
    if lines is None:
        return None
    sides = {side.name.lower(): _side(lines, side) for side in Side}
    return {**sides, "hunks": [_written(hunk) for hunk in lines.hunks]}


def _side(lines: ChangedLines, side: Side) -> dict[str, Any]:
    one = lines.side(side)
    states = [state for state in Execution if state is not Execution.NO_CODE]
    numbers = {state.name.lower(): one.counts.get(state, 0) for state in states}
    return {
        "changed": one.changed,
        "code": one.code,
        **numbers,
        "by": [line(name) for name in one.by],
        "reason": line(lines.reasons[side]),
    }


def _written(hunk: Hunk) -> dict[str, Any]:
    changed = [(row, row.reading) for row in hunk.rows if row.reading is not None]
    return {
        "file": line(hunk.file),
        "heading": hunk.heading,
        "lines": [
            {
                "before": row.before or None,
                "after": row.after or None,
                "execution": reading.execution.name,
                "runs": len(reading.by),
            }
            for row, reading in changed
        ],
    }
