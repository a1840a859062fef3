# SPDX-License-Identifier: GPL-2.0-only
"""How a machine came to its end, in words."""

from __future__ import annotations

import bisect
import signal
from pathlib import Path

from conformance.oracles.kvm.build import symbols_of
from conformance.oracles.kvm.interface import Death, Exchange

__all__ = ["LACKING", "told"]

LACKING = "nothing stands in for"
"""How it is told that the environment has not what the kernel asks of it: no finding about the kernel."""


def told(exchange: Exchange, library: Path, patience: float) -> tuple[str, bool]:
    """How the machine that has just ended came to it, in words, and whether it hung."""
    what = exchange.what.decode(errors="replace")
    place = _place(library, exchange.at)
    death = exchange.death
    if death == Death.BUG:
        return f"BUG in {what}", False
    if death == Death.MISSING:
        return f"{LACKING} {what}, which {place} wants", False
    if death == Death.SIGNAL:
        name = signal.Signals(exchange.number).name
        return f"died of {name} in {place} (address {exchange.address:#x})", False
    if death == Death.HUNG:
        return f"did not come back within {patience:g} s of processor time (in {place})", True
    if death == Death.BROKEN:
        return what, what.startswith("waits")
    return "ended without a word", False


def _place(library: Path, offset: int) -> str:
    """The function that an offset into the library lies in."""
    symbols = symbols_of(library)
    index = bisect.bisect_right(symbols, (offset, "\x7f")) - 1
    if index < 0 or offset >= 1 << 40:
        return f"{offset:#x}"
    return symbols[index][1]
