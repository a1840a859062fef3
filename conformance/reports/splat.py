# SPDX-License-Identifier: GPL-2.0-only
"""A WARN or BUG of the MMU, explained: the check, the kernels that have it, its meaning, known fixes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rich.console import Console

from conformance.reports.terminal import say
from conformance.reports.text import line
from conformance.traces.splats import Check, Splat

__all__ = ["as_json", "show"]

Known = Sequence[tuple[str, str, str]]
"""Fixes: the change, the function that it is to ("" if that is not known), and what was wrong without it."""


def show(splat: Splat, fixes: Known, console: Console) -> None:
    """Print what is known about it; ``fixes`` are those of the functions that are concerned."""
    say(console, _title(splat), "bold")
    checks = splat.checks()
    if not checks:
        say(console, f"  no check of this function is explained here; what is known is {_place(splat)}")
        return
    if len(checks) > 1:
        say(console, "  one of these checks, which its line in the kernel's own source decides:")
    for check in checks:
        for label, text in _rows(check):
            say(console, f"  {label.ljust(9)}{line(text)}")
    if others := splat.inlined():
        names = ", ".join(f"{name}()" for name in others)
        say(
            console,
            f"  {'or'.ljust(9)}a check of a function that the compiler may inline there: {line(names)}",
        )
    for change, function, wrong in fixes:
        say(console, f"  {'fix'.ljust(9)}{line(change)}")
        say(console, f"  {' ' * 9}{line(f'{function}(): without it {wrong}' if function else wrong)}")
    if not fixes:
        say(console, f"  {'fixes'.ljust(9)}none that is known here")


def _title(splat: Splat) -> str:
    kind = "BUG" if splat.bug else "WARN"
    where = f"{line(splat.file)}:{splat.line}"
    return f"{kind} in {line(splat.function) or 'an unnamed function'}() ({where}){_on(splat)}"


def _on(splat: Splat) -> str:
    return f", Linux {line(splat.release)}" if splat.release else ""


def _place(splat: Splat) -> str:
    """The place in the source, in words."""
    return f"its place: {line(splat.file)}, line {splat.line}{_on(splat)}"


def _rows(check: Check) -> Iterator[tuple[str, str]]:
    yield "check", f"{check.what}, in {check.function}()"
    names = ", ".join(f"{name}()" for name in check.also)
    yield "kernels", ", ".join(check.kernels) + (f"; also as {names}" if names else "")
    if check.debug:
        yield (
            "built",
            "in some only with checks for developers, as with CONFIG_KVM_PROVE_MMU or CONFIG_DEBUG_VM",
        )
    if check.added is not None:
        yield "added by", str(check.added)
    yield "means", check.means
    if check.ends_vm:
        yield "ends", "the virtual machine, in kernels that have KVM_BUG_ON() there"


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
                "also": [*check.also],
                "file": check.file,
                "what": check.what,
                "kernels": [*check.kernels],
                "added": None if check.added is None else str(check.added),
                "means": check.means,
                "ends_vm": check.ends_vm,
                "debug": check.debug,
            }
            for check in splat.checks()
        ],
        "inlined": splat.inlined(),
        "fixes": [{"change": one, "function": function, "wrong": wrong} for one, function, wrong in fixes],
    }
    return json.dumps(written, ensure_ascii=True)
