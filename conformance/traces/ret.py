# SPDX-License-Identifier: GPL-2.0-only
"""The result of fast_page_fault() in raw form: a number of an enum that differs between kernels."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.traces.events import Event
from conformance.traces.outcome import Outcome
from conformance.traces.rules.fast_faults import FAST_FAULTS
from conformance.traces.state import State
from conformance.traces.trace import Trace

__all__ = ["name_results"]

_RESULTS = ((2, 3, 4), (3, 4, 5), (4, 5, 6))
"""RET_PF_INVALID, FIXED and SPURIOUS up to v5.15, up to v6.11 and since v6.12: the only ones that it returns.

RET_PF_CONTINUE came with commit 68c3bfea9a2c in v5.16, RET_PF_WRITE_PROTECTED with v6.12.
"""


def name_results(trace: Trace, state: State, outcome: Outcome) -> None:
    """Set ``fixed`` and ``spurious`` of events that have ``ret`` only.

    The numbers are those with which the events break the fewest rules. If that does not decide, nothing is
    set and the rules that need it find nothing.
    """
    raw = [event for event in trace.events if event.name == "fast_page_fault" and "fixed" not in event.values]
    if not raw:
        return
    seen = {event.values["ret"] for event in raw}
    possible = [numbers for numbers in _RESULTS if seen <= set(numbers)]
    broken = {numbers: _broken(raw, numbers, state) for numbers in possible}
    best = [numbers for numbers in possible if broken[numbers] == min(broken.values())]
    if len(best) != 1:
        _forget(raw)
        outcome.notes.append(
            f"{len(raw)} events fast_page_fault are raw, and it is not known what ret = "
            f"{', '.join(map(str, sorted(seen)))} means in this kernel: R3 was held against their SPTEs only."
        )
        return
    _name(raw, best[0])


def _broken(raw: Sequence[Event], numbers: tuple[int, int, int], state: State) -> int:
    """How many rules the events break if the results have these numbers."""
    _name(raw, numbers)
    broken = 0
    for event in raw:
        state.before(event)
        broken += sum(
            rule.check(state, event) is not None for rule in FAST_FAULTS if rule.events == (event.name,)
        )
    return broken


def _name(raw: Sequence[Event], numbers: tuple[int, int, int]) -> None:
    _, fixed, spurious = numbers
    for event in raw:
        event.values["fixed"] = int(event.values["ret"] == fixed)
        event.values["spurious"] = int(event.values["ret"] == spurious)


def _forget(raw: Sequence[Event]) -> None:
    for event in raw:
        event.values.pop("fixed", None)
        event.values.pop("spurious", None)
