# SPDX-License-Identifier: GPL-2.0-only
"""The result of fast_page_fault() in raw form: a number of an enum that differs between kernels."""

from __future__ import annotations

from conformance.model.semantics import Semantics
from conformance.traces.outcome import Outcome
from conformance.traces.trace import Trace

__all__ = ["name_results"]

_RESULTS = ((2, 3, 4), (3, 4, 5), (4, 5, 6))
"""RET_PF_INVALID, FIXED and SPURIOUS up to v5.15, up to v6.11 and since v6.12: the only ones that it returns.

RET_PF_CONTINUE came with commit 68c3bfea9a2c in v5.16, RET_PF_WRITE_PROTECTED with v6.12.
"""


def name_results(trace: Trace, k: Semantics, outcome: Outcome) -> None:
    """Set ``fixed`` and ``spurious`` of events that have ``ret`` only, if it is known which number is which."""
    raw = [event for event in trace.events if event.name == "fast_page_fault" and "fixed" not in event.values]
    if not raw:
        return
    seen = {event.values["ret"] for event in raw}
    possible = [numbers for numbers in _RESULTS if seen <= set(numbers)]
    if len(possible) != 1:
        outcome.notes.append(
            f"{len(raw)} events fast_page_fault are raw, and it is not known what ret = "
            f"{', '.join(map(str, sorted(seen)))} means in this kernel: R3 was held against their SPTEs only."
        )
        return
    _, fixed, spurious = possible[0]
    for event in raw:
        event.values["fixed"] = int(event.values["ret"] == fixed)
        event.values["spurious"] = int(event.values["ret"] == spurious)
