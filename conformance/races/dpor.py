# SPDX-License-Identifier: GPL-2.0-only
"""Every schedule that differs: a search that skips orders which nobody could tell apart.

Dynamic partial-order reduction with source sets (Abdulla, Aronis, Jonsson, Sagonas, POPL 2014) and sleep
sets: two schedules are the same if each can be made of the other by exchanging neighbouring accesses that do
not conflict. One schedule is run to its end; wherever an access of it could have come before a conflicting
one of another thread, that order is tried as well, until none is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.races.clocks import Clocks
from conformance.races.subject import Ending, Op, Subject, conflict

__all__ = ["every_schedule"]


@dataclass
class _Node:
    """A point of the search: who was ready with which access, who was let go on, who shall be.

    ``asleep`` are threads whose turn here would only lead to what has been seen.
    """

    ready: dict[int, Op]
    asleep: dict[int, Op]
    chosen: int
    wanted: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)


def every_schedule(subject: Subject) -> Iterator[tuple[list[int], Ending | None]]:
    """Run the subject under all schedules that differ, each as the threads in their order and its end.

    The end is None where all that is left was seen before, in another order. A subject that dies is the
    caller's affair.
    """
    nodes: list[_Node] = []
    clocks = Clocks(len(subject.threads))
    while True:
        subject.begin()
        for node in nodes[:-1]:
            subject.advance(node.chosen)
        for node in nodes[-1:]:
            _take(subject, clocks, nodes, node)
        ended = _extend(subject, clocks, nodes)
        yield [node.chosen for node in nodes], ended
        while nodes and not _turn(nodes[-1]):
            nodes.pop()
        if not nodes:
            return
        clocks.back_to(len(nodes) - 1)


def _extend(subject: Subject, clocks: Clocks, nodes: list[_Node]) -> Ending | None:
    """Run on to the end, a thread as long as it can; None if only sleeping threads are left."""
    threads = range(len(subject.threads))
    current = nodes[-1].chosen if nodes else 0
    asleep = _sleepers(nodes[-1]) if nodes else {}
    while True:
        ready = {t: op for t in threads if subject.ready(t) and (op := subject.pending(t)) is not None}
        awake = [t for t in ready if t not in asleep]
        if not awake and ready:
            return None
        if not awake:
            # Threads that are stuck could have come by before somebody barred their way.
            for thread in threads:
                op = subject.pending(thread)
                if op is not None:
                    _want(nodes, clocks, thread, op)
            return subject.finish()
        if current not in awake:
            current = awake[0]
        node = _Node(ready, asleep, current, {current})
        nodes.append(node)
        _take(subject, clocks, nodes, node)
        asleep = _sleepers(node)


def _take(subject: Subject, clocks: Clocks, nodes: list[_Node], node: _Node) -> None:
    """Let the node's thread go on, and note where it could have come earlier."""
    thread = node.chosen
    op = node.ready[thread]
    _want(nodes, clocks, thread, op)
    clocks.happened(thread, op)
    subject.advance(thread)


def _want(nodes: list[_Node], clocks: Clocks, thread: int, op: Op) -> None:
    """Have the orders tried in which the thread's access comes before those that conflict with it."""
    for depth in clocks.rivals(thread, op):
        node = nodes[depth]
        able = clocks.first_without(depth, thread, op)
        if able & node.wanted:
            continue
        able &= node.ready.keys()
        node.wanted |= {thread} & able or set(list(able)[:1]) or node.ready.keys()


def _turn(node: _Node) -> bool:
    """Choose the next thread to be tried at a node; False if there is none left."""
    node.done.add(node.chosen)
    node.asleep[node.chosen] = node.ready[node.chosen]
    for thread in sorted(node.wanted - node.done):
        if thread not in node.asleep:
            node.chosen = thread
            return True
    return False


def _sleepers(node: _Node) -> dict[int, Op]:
    """Who sleeps on after the node's thread went on: all whose access does not conflict with its."""
    op = node.ready[node.chosen]
    return {t: other for t, other in node.asleep.items() if t != node.chosen and not conflict(other, op)}
