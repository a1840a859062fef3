# SPDX-License-Identifier: GPL-2.0-only
"""How a live machine ended instead of answering, and what its console says of the kernel."""

from __future__ import annotations

import re
from collections.abc import Sequence

from conformance.errors import KernelCodeDied
from conformance.oracles.lacking import written

__all__ = ["LiveDied", "died", "warnings"]

SHOWN = 40
"""Lines of the console that a finding has at the most."""

_STAMP = re.compile(r"^\[ *[0-9.]+\](\[ *[TC][0-9]+\])? ")
_WARNING = re.compile(r"WARNING: .*?\bat (?:\S+:\d+ )?(?P<function>[\w.]+)\+0x")
_CRASH = re.compile(r"(?:BUG|Oops|general protection fault|kernel BUG|Kernel panic)\b.*")


class LiveDied(KernelCodeDied):
    """The machine crashed or fell silent (``hung``); ``console`` are its last lines."""

    def __init__(self, how: str, hung: bool, console: Sequence[str]) -> None:
        super().__init__(how, hung, tuple(console))
        self.hung = hung
        self.console = tuple(console)


def died(console: str, silent: str = "") -> LiveDied:
    """The death of a machine, by its console; ``silent`` says in which time it did not answer."""
    lines = [_STAMP.sub("", written(line.rstrip("\r"))) for line in console.split("\n")]
    lines = [line for line in lines if line.strip()]
    crash = next((found[0] for line in lines if (found := _CRASH.search(line))), "")
    first = next((at for at, line in enumerate(lines) if _CRASH.search(line)), len(lines))
    shown = lines[max(first - 2, 0) :][:SHOWN] if crash else lines[-SHOWN:]
    if crash:
        return LiveDied(f"crashed: {crash.strip()}", False, shown)
    if silent:
        return LiveDied(f"did not come back {silent}", True, shown)
    return LiveDied("ended the machine", False, shown)


def warnings(console: str) -> list[str]:
    """The WARNs in a part of the console, as events of an observation."""
    found = map(_WARNING.search, console.split("\n"))
    return [f"WARN {match['function'].partition('.')[0]}" for match in found if match is not None]
