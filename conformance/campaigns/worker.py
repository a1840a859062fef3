# SPDX-License-Identifier: GPL-2.0-only
"""What runs on workers: one unit after the other, and questions about the worker itself."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace

from conformance.campaigns.unit import Done, Kind, Unit, suite_version
from conformance.differential.verdict import Verdict
from conformance.errors import ConformanceError, KernelCodeDied
from conformance.kernels.compilers import chosen, using

__all__ = ["About", "about", "prepare", "work"]


@dataclass(frozen=True)
class About:
    """Facts about a worker: the version of its suite, and why it cannot compile; "" if it can."""

    suite: str
    no_compiler: str


def about(compiler: str | None = None) -> About:
    """Facts about this process. With a compiler it is looked for."""
    if compiler is not None:
        try:
            with using(compiler):
                chosen()
        except ConformanceError as problem:
            return About(suite_version(), str(problem))
    return About(suite_version(), "")


def prepare(kind: Kind, what: str) -> str:
    """Prepare this host; return why that is not possible, or ""."""
    try:
        kind.prepare(what)
    except ConformanceError as problem:
        return str(problem)
    return ""


def work(kind: Kind, unit: Unit, suite: str) -> Done:
    """Carry out a unit, unless this process has another version of the suite.

    What cannot be judged is a row with verdict ERROR: the next time it would be the same.
    """
    if suite != suite_version():
        return Done(unit, socket.gethostname(), 0.0, (), suite_version())
    start = time.monotonic()
    try:
        rows = kind.run(unit)
    except KernelCodeDied as died:
        rows = [unit.row(Verdict.FAIL.value, f"the kernel {died}, before it could be compared")]
    except ConformanceError as problem:
        rows = [unit.row(Verdict.ERROR.value, str(problem))]
    except Exception as problem:
        reason = f"internal error: {type(problem).__name__}: {problem}"
        rows = [unit.row(Verdict.ERROR.value, reason)]
    bare = replace(unit, given=b"")
    return Done(bare, socket.gethostname(), time.monotonic() - start, tuple(rows), suite)
