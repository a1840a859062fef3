# SPDX-License-Identifier: GPL-2.0-only
"""Holds the events of a trace against the rules."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.model.modes import Mode
from conformance.model.profiles import Profile
from conformance.traces.cut import Cuts
from conformance.traces.events import EVENTS, Event
from conformance.traces.host import find_host
from conformance.traces.outcome import Finding, Outcome
from conformance.traces.ret import name_results
from conformance.traces.rules import RULES, Rule, Standing
from conformance.traces.rules.made import MADE, maker
from conformance.traces.state import State
from conformance.traces.trace import Trace

__all__ = ["check"]

_KEPT = 5
"""How many findings of a rule are kept, and how many are counted only."""
_MADE = ("R1", "R6 made", "R6 checked")
"""The rules about what SPTEs are made, which depend on the kernel most."""
_FOLDED = "the event was put together from folded lines, which may be of several"
_CUT = "the line may be cut within its last number"


def check(
    trace: Trace,
    *,
    kernel: tuple[str, Profile] | None = None,
    mode: Mode | None = None,
    phys_bits: int | None = None,
) -> Outcome:
    """Judge a trace. What is not given is inferred: the kernel (title and profile), mode, address bits."""
    host = find_host(trace, kernel=kernel, mode=mode, phys_bits=phys_bits)
    outcome = Outcome(trace, host)
    rules = [rule for rule in RULES if rule.applies(host.k)]
    outcome.standings = {rule.name: rule.standing for rule in rules}
    _sort_out(rules, outcome)
    outcome.notes += _notes(trace)
    outcome.unjudged = _unjudged(outcome)
    if outcome.unjudged:
        return outcome
    state = State(host.k, trace, phys_bits is not None)
    name_results(trace, state, outcome)
    by_event: dict[str, list[Rule]] = {
        name: [rule for rule in rules if name in rule.events and rule.name not in outcome.unchecked]
        for name in EVENTS
    }
    _Judge(state, outcome).judge(by_event)
    return outcome


def _sort_out(rules: Iterable[Rule], outcome: Outcome) -> None:
    """Say of each rule that cannot be checked why."""
    trace = outcome.trace
    for rule in rules:
        lacking = rule.missing(trace.seen)
        if lacking:
            outcome.unchecked[rule.name] = f"{_joined(lacking, len(rule.needs) == 0)} not in the trace"
        elif rule.one_vm and trace.several_vms:
            outcome.unchecked[rule.name] = "several VMs are in the trace, and events do not name theirs"


def _joined(names: list[str], either: bool) -> str:
    if len(names) == 1:
        return f"{names[0]} is"
    return f"{', '.join(names[:-1])} {'or' if either else 'and'} {names[-1]} are"


def _unjudged(outcome: Outcome) -> str:
    trace = outcome.trace
    if not any(trace.seen[name] for rule in RULES for name in rule.events if name != "kvm_entry"):
        unread = sum(trace.unread.values())
        if unread:
            names = ", ".join(trace.unread)
            return f"no event could be read: {unread} have a form that is not known ({names})."
        return (
            "it has no event of the KVM MMU. 'conformance trace record' prints how to record them "
            "(trace-cmd record -e kvmmmu -e kvm)."
        )
    return outcome.host.unjudged


def _notes(trace: Trace) -> list[str]:
    """Sentences about what is missing in the trace or doubtful."""
    notes = [*trace.notes]
    if trace.lost:
        first = ", ".join(map(str, trace.lost[:3])) + (", ..." if len(trace.lost) > 3 else "")
        notes.append(
            f"Events were lost {len(trace.lost)} times (line {first}): "
            "what was known before is forgotten there."
        )
    for name, count in trace.unread.items():
        notes.append(
            f"{count} events {name} could not be read, the first in line {trace.first_unread[name]}: "
            "they were not checked."
        )
    if trace.several_vms:
        notes.append("Several VMs are in the trace: one vCPU number runs on several threads.")
    if trace.hashed:
        notes.append("Pointers are hashed (no_hash_pointers is not set): an sptep is no address.")
    if trace.of_cpus is not None and len(trace.cpus) < trace.of_cpus:
        absent = sorted(set(range(trace.of_cpus)) - trace.cpus)
        listed = ", ".join(map(str, absent[:8])) + (", ..." if len(absent) > 8 else "")
        notes.append(f"Of {trace.of_cpus} CPUs, {len(absent)} have no event here: {listed}.")
    return notes


class _Judge:
    """The walk over the events of a trace, with what the rules know of those before."""

    def __init__(self, state: State, outcome: Outcome) -> None:
        self.state = state
        self.outcome = outcome
        self.cuts: Cuts | None = None
        self.changed: dict[tuple[int, int], Event] = {}
        """The last event of each gfn and level."""

    def judge(self, rules: dict[str, list[Rule]]) -> None:
        """Hold every event against the rules for its name, and count."""
        state = self.state
        lost = iter([*self.outcome.trace.lost, 1 << 62])
        next_lost = next(lost)
        for event in self.outcome.trace.events:
            while event.line > next_lost:
                state.lose()
                self.changed.clear()
                next_lost = next(lost)
            state.before(event)
            if not event.cut:
                for rule in rules.get(event.name, ()):
                    detail = rule.check(state, event)
                    if detail is not None:
                        self._found(rule, event, detail)
            state.after(event)
            values = event.values
            if "gfn" in values and "level" in values:
                self.changed[values["gfn"], values["level"]] = event
        for name, held in rules.items():
            for rule in held:
                self.outcome.checked[rule.name] += self.outcome.trace.seen[name]

    def _found(self, rule: Rule, event: Event, detail: str) -> None:
        standing, innocent = rule.standing, rule.innocent
        if standing is Standing.VIOLATION and event.folded:
            standing, innocent = Standing.SUSPICION, _FOLDED
        elif standing is Standing.VIOLATION and event.tail and event.tail == rule.field:
            if self.cuts is None:
                self.cuts = Cuts(self.outcome.trace, self.state.entries)
            if self.cuts.possible(event):
                standing, innocent = Standing.SUSPICION, _CUT
        better = self.outcome.host.better
        if standing is Standing.VIOLATION and better and rule.name.startswith(_MADE):
            standing, innocent = Standing.SUSPICION, f"the kernel is {better}; pass it as --kernel"
        counts = self.outcome.counts
        counts[rule.name, standing] += 1
        if counts[rule.name, standing] <= _KEPT:
            before = self._before(event)
            function = rule.function
            if rule in MADE:
                function = maker(self.state.entries(event.values[rule.field], event.values.get("level", 0)))
            found = Finding(rule, event, detail, standing, innocent, function, before)
            self.outcome.findings.append(found)

    def _before(self, event: Event) -> tuple[Event, ...]:
        """Events that lead to this one: the fault that its thread handles, the last change of its entry."""
        found: list[Event] = []
        values = event.values
        if (
            "gfn" in values
            and "level" in values
            and (last := self.changed.get((values["gfn"], values["level"])))
        ):
            found.append(last)
        fault = self.state.faults.get(self.state.thread(event))
        if fault is not None:
            found.append(fault.event)
        return tuple(sorted({one.line: one for one in found}.values(), key=lambda one: one.line))
