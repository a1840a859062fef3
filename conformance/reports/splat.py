# SPDX-License-Identifier: GPL-2.0-only
"""A WARN or BUG of the MMU, explained: the check, the kernels that have it, its meaning, known fixes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rich.console import Console

from conformance.history.fix import Fix, Undetected
from conformance.reports.terminal import say
from conformance.reports.text import line
from conformance.traces.splats import Check, Splat

__all__ = ["as_json", "show"]

Known = Sequence[Fix | Undetected]


def show(splat: Splat, fixes: Known, console: Console) -> None:
    """Print what is known about it; ``fixes`` are those of the functions that are concerned."""
    say(console, _title(splat), "bold")
    checks = splat.checks()
    if not checks:
        say(console, "  no check of this function is explained here")
    if len(checks) > 1:
        say(console, "  one of these checks, which its line in the kernel's own source decides:")
    for check in checks:
        for label, text in _rows(check):
            say(console, f"  {label.ljust(9)}{line(text)}")
    for fix in fixes:
        say(console, f"  {'fix'.ljust(9)}{line(str(fix.change))}")
        say(console, f"  {' ' * 9}{line(f'{fix.function}(): without it {fix.wrong}')}")
    if not fixes:
        say(console, f"  {'fixes'.ljust(9)}none that is known here")


def _title(splat: Splat) -> str:
    kind = "BUG" if splat.bug else "WARN"
    where = f"{line(splat.file)}:{splat.line}"
    on = f", Linux {line(splat.release)}" if splat.release else ""
    return f"{kind} in {line(splat.function) or 'an unnamed function'}() ({where}){on}"


def _rows(check: Check) -> Iterator[tuple[str, str]]:
    yield "check", f"{check.what}, in {check.function}()"
    yield "kernels", ", ".join(check.kernels)
    if check.added is not None:
        yield "added by", str(check.added)
    yield "means", check.means


def as_json(splat: Splat, fixes: Known) -> str:
    """The same as JSON, on one line."""
    written = {
        "splat": "BUG" if splat.bug else "WARN",
        "function": splat.function,
        "file": splat.file,
        "line": splat.line,
        "release": splat.release,
        "checks": [
            {
                "function": check.function,
                "what": check.what,
                "kernels": [*check.kernels],
                "added": None if check.added is None else str(check.added),
                "means": check.means,
            }
            for check in splat.checks()
        ],
        "fixes": [{"change": str(fix.change), "function": fix.function, "wrong": fix.wrong} for fix in fixes],
    }
    return json.dumps(written, ensure_ascii=True)
