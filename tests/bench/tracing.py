# SPDX-License-Identifier: GPL-2.0-only
"""The speed of checking a trace: reading it, and holding it against the rules."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from figures import Figure, interleaved, per_second

from conformance.traces.checking import check
from conformance.traces.lines import read_lines
from conformance.traces.trace import Trace

sys.path.insert(0, str(Path(__file__).parents[1] / "traces"))
from writing import record, text

__all__ = ["tracing"]

LINES, GOAL = 50_000, 3.0
"""So many lines are to be checked in so many seconds."""


def tracing(repeats: int) -> list[Figure]:
    """The figures for the record of 6.1, written as often as it takes."""
    facts = record("6.1")
    written = text(facts * (LINES // len(facts) + 1), "tracefs")
    lines = written.count("\n")

    def read() -> Trace:
        trace = Trace("bench")
        read_lines(io.StringIO(written), trace)
        return trace

    took = interleaved({"read": read, "whole": lambda: check(read())}, repeats)
    whole = took["whole"]
    return [
        Figure("lines read", per_second(lines / took["read"]), f"{took['read'] / whole:.0%} of all"),
        Figure(
            "lines checked",
            per_second(lines / whole),
            f"{whole * LINES / lines / GOAL:.2f} of {GOAL:.0f} s for {LINES:,}",
            "at most 1",
            whole * LINES / lines <= GOAL,
        ),
    ]
