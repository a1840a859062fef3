# SPDX-License-Identifier: GPL-2.0-only
"""Operators for locks: not taken at all, not held during a statement, or shared instead of exclusive.

A lock and what releases it in the same function are changed together, so that it stays balanced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tree_sitter import Node

from conformance.coverage.compared.c_text import flat
from conformance.coverage.compared.calls import Call
from conformance.coverage.compared.pieces import NOTHING, Piece
from conformance.kernels.parsing import text_of

__all__ = ["LOCKS", "is_lock", "of_locks"]

_DROPPED = "lock dropped"
_EXCLUDED = "statement outside of a lock"
_SHARED = "read lock instead of write lock"

LOCKS = (_DROPPED, _EXCLUDED, _SHARED)
"""The operators by their names in reports."""

_LOCK = re.compile(
    r"((?:raw_)?spin_|mutex_|read_|write_|rcu_read_|srcu_read_|kvm_vcpu_srcu_read_|local_irq_|preempt_"
    r"|down_|up_|KVM_MMU_(?:READ_)?|\w+_lockless_)"
    r"(lock|unlock|LOCK|UNLOCK|disable|enable|read|write|begin|end)(_irq|_bh)?"
)
_RELEASING = {
    "lock": "unlock", "LOCK": "UNLOCK", "disable": "enable", "begin": "end", "read": "read", "write": "write"
}  # fmt: skip

_JUMPS = {"return_statement", "goto_statement", "break_statement", "continue_statement", "labeled_statement"}
_MOVED = {"expression_statement", "if_statement", "for_statement", "while_statement", "do_statement"}
_CHECKS = re.compile(r"\w*lockdep|WARN|BUG|KVM_(MMU_WARN|BUG)|trace_|might_|cond_resched|smp_|barrier")
"""Statements that need no lock, or only check that it is held."""


@dataclass(frozen=True)
class _Lock:
    """A lock, by the function that takes it, the one that releases it, and what it is."""

    taking: str
    releasing: str
    what: str


def is_lock(name: str) -> bool:
    """Whether a function takes or releases a lock."""
    return _takes(name) or _releases(name)


def _takes(name: str) -> bool:
    return _release_of(name) != ""


def _releases(name: str) -> bool:
    found = _LOCK.fullmatch(name)
    return found is not None and (found[2] in _RELEASING.values() and (found[1] == "up_" or not _takes(name)))


def _release_of(name: str) -> str:
    """What releases a lock that a function takes; "" if it takes none."""
    found = _LOCK.fullmatch(name)
    if found is None or found[2] not in _RELEASING or found[1] == "up_":
        return ""
    kind, verb, rest = found[1], found[2], found[3] or ""
    if kind == "down_":
        return f"up_{verb}" if not rest else ""
    return "" if verb in ("read", "write") else f"{kind}{_RELEASING[verb]}{rest}"


def of_locks(calls: Sequence[Call]) -> Iterator[tuple[str, list[Piece]]]:
    """The changes of the locks in a function, each with its operator. ``calls`` are its calls in order."""
    ours = [call for call in calls if is_lock(call.name) and call.statement is not None]
    every = {
        _Lock(call.name, _release_of(call.name), call.arguments[0] if call.arguments else "") for call in ours
    }
    for lock in sorted(every, key=repr):
        there = [call for call in ours if _is_of(call, lock)]
        names = [call.name for call in there]
        # A function that first releases a lock runs under the lock of its caller.
        if not lock.releasing or names[0] != lock.taking or lock.releasing not in names:
            continue
        yield _DROPPED, [_dropped(call) for call in there]
        shared = _shared(lock, there)
        if shared:
            yield _SHARED, shared
        for taken in there:
            if taken.name == lock.taking:
                yield from ((_EXCLUDED, pieces) for pieces in _excluded(taken, lock))


def _is_of(call: Call, lock: _Lock) -> bool:
    what = call.arguments[0] if call.arguments else ""
    return call.name in (lock.taking, lock.releasing) and what == lock.what


def _dropped(call: Call) -> Piece:
    """A lock that is not taken, or not released. The index of SRCU that a call returns is not used then."""
    if call.alone:
        assert call.statement is not None
        return Piece.statement(call.statement, NOTHING)
    return Piece.expression(call.node, "0")


def _shared(lock: _Lock, there: Sequence[Call]) -> list[Piece]:
    """A write lock as a read lock; empty for other locks."""
    if lock.taking == "KVM_MMU_LOCK":
        names = {lock.taking: "read_lock", lock.releasing: "read_unlock"}
        what = f"&({lock.what})->mmu_lock"
    elif lock.taking.startswith(("write_", "down_write")):
        names = {one: one.replace("write", "read") for one in (lock.taking, lock.releasing)}
        what = lock.what
    else:
        return []
    return [
        Piece.statement(call.statement, f"{names[call.name]}({what});")
        for call in there
        if call.statement is not None
    ]


def _excluded(taken: Call, lock: _Lock) -> Iterator[list[Piece]]:
    """The first and the last statement under a lock that can be outside of it, if there is more than one."""
    statement = taken.statement
    block = statement.parent if statement is not None else None
    if statement is None or block is None or block.type != "compound_statement":
        return
    under: list[Node] = []
    node = statement.next_named_sibling
    while node is not None and not _is_release(node, lock):
        if node.type.startswith("preproc_") or node.has_error:
            return
        under.append(node)
        node = node.next_named_sibling
    movable = [one for one in under if _can_be_outside(one)]
    if node is None or len(under) < 2 or not movable:
        return
    for one, _ in groupby([movable[0], movable[-1]]):
        yield _outside(one, taken, lock)


def _is_release(node: Node, lock: _Lock) -> bool:
    """Whether a statement releases a lock, with a label or without."""
    if node.type == "labeled_statement":
        node = node.named_children[-1]
    return text_of(node).startswith(f"{lock.releasing}(")


def _can_be_outside(statement: Node) -> bool:
    text = flat(statement)
    if statement.type not in _MOVED or _CHECKS.match(text):
        return False
    return not _has_jump(statement) and not any(
        word in text for word in ("lock(", "LOCK(", "lockless_", "resched")
    )


def _has_jump(node: Node) -> bool:
    return any(child.type in _JUMPS or _has_jump(child) for child in node.named_children)


def _outside(statement: Node, taken: Call, lock: _Lock) -> list[Piece]:
    """A statement before which a lock is released, and behind which it is taken again."""
    assert taken.statement is not None
    take = flat(taken.statement)
    arguments = lock.what
    if not taken.alone:  # The index of SRCU.
        left = taken.statement.named_children[0].child_by_field_name("left")
        arguments = f"{lock.what}, {flat(left)}" if left is not None else lock.what
    release = f"{lock.releasing}({arguments});"
    here = Piece.of(statement, f"{{ {release} {flat(statement)} {take} }}", ("{ if (", f") {release} ", " }"))
    return [here, Piece.behind(statement, take)]
