# SPDX-License-Identifier: GPL-2.0-only
"""Dynamic partial-order reduction: one schedule of each set of equivalent ones.

Source-set DPOR with sleep sets (Abdulla, Aronis, Jonsson, Sagonas, "Optimal dynamic partial order reduction",
POPL 2014). Two schedules are equivalent if exchanging adjacent independent accesses turns one into the other.
A schedule is run to its end. For each pair of accesses in it that race (they conflict, and nothing orders
them), the reversed order is added to a backtrack set, until no backtrack set has an unexplored thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.races.subject import Execution, Op, Subject, conflict
from conformance.races.vector_clocks import VectorClocks

__all__ = ["inequivalent_schedules"]


@dataclass(slots=True)
class _Node:
    """A state on the search stack: the enabled threads with their pending operations, and the one chosen."""

    enabled: dict[int, Op]
    sleep_set: dict[int, Op]
    chosen: int
    backtrack_set: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)


def inequivalent_schedules(subject: Subject) -> Iterator[tuple[list[int], Execution | None]]:
    """Run the subject under every inequivalent schedule.

    Yields the threads in their order, and the execution; None if all enabled threads were in the sleep set,
    so that the rest was explored before. If the subject raises, the exception reaches the caller.
    """
    nodes: list[_Node] = []
    clocks = VectorClocks(len(subject.threads))
    while True:
        subject.begin([node.chosen for node in nodes[:-1]])
        for node in nodes[-1:]:
            _advance(subject, clocks, nodes, node)
        execution = _extend(subject, clocks, nodes)
        yield [node.chosen for node in nodes], execution
        while nodes and not _backtrack(nodes[-1]):
            nodes.pop()
        if not nodes:
            return
        clocks.truncate(len(nodes) - 1)


def _extend(subject: Subject, clocks: VectorClocks, nodes: list[_Node]) -> Execution | None:
    """Run to the end, each thread as long as it is enabled; None if only sleeping threads are enabled."""
    threads = range(len(subject.threads))
    current = nodes[-1].chosen if nodes else 0
    sleep_set = _next_sleep_set(nodes[-1]) if nodes else {}
    while True:
        enabled = {t: op for t in threads if subject.enabled(t) and (op := subject.pending(t)) is not None}
        awake = [t for t in enabled if t not in sleep_set]
        if not awake and enabled:
            return None
        if not awake:
            # A deadlocked thread could have acquired its lock before the thread that holds it.
            for thread in threads:
                op = subject.pending(thread)
                if op is not None:
                    _add_backtrack_points(nodes, clocks, thread, op)
            return subject.finish()
        if current not in awake:
            current = awake[0]
        node = _Node(enabled, sleep_set, current, {current})
        nodes.append(node)
        _advance(subject, clocks, nodes, node)
        sleep_set = _next_sleep_set(node)


def _advance(subject: Subject, clocks: VectorClocks, nodes: list[_Node], node: _Node) -> None:
    """Run the node's chosen thread for one access, after adding the backtrack points of that access."""
    thread = node.chosen
    op = node.enabled[thread]
    _add_backtrack_points(nodes, clocks, thread, op)
    clocks.append(thread, op)
    subject.advance(thread)


def _add_backtrack_points(nodes: list[_Node], clocks: VectorClocks, thread: int, op: Op) -> None:
    """For each access that races with the thread's ``op``, have the reversed order explored."""
    for depth in clocks.reversible_races(thread, op):
        node = nodes[depth]
        initials = clocks.initials(depth, thread, op)
        if initials & node.backtrack_set:
            continue
        initials &= node.enabled.keys()
        node.backtrack_set |= {thread} & initials or set(list(initials)[:1]) or node.enabled.keys()


def _backtrack(node: _Node) -> bool:
    """Choose the next thread of the node's backtrack set; False if all were explored."""
    node.done.add(node.chosen)
    if len(node.done) == len(node.backtrack_set):
        return False
    node.sleep_set[node.chosen] = node.enabled[node.chosen]
    for thread in sorted(node.backtrack_set - node.done):
        if thread not in node.sleep_set:
            node.chosen = thread
            return True
    return False


def _next_sleep_set(node: _Node) -> dict[int, Op]:
    """The sleep set after the chosen operation: the threads whose operations do not conflict with it."""
    if not node.sleep_set:
        return {}
    op = node.enabled[node.chosen]
    return {t: other for t, other in node.sleep_set.items() if t != node.chosen and not conflict(other, op)}
