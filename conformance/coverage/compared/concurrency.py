# SPDX-License-Identifier: GPL-2.0-only
"""The mutation operators for concurrency: locks, atomic operations, RCU, barriers and marked accesses.

They weaken what the other operators leave alone (operators.py). A change may consist of several pieces, such
as a lock and all that releases it.

A change of ORDERING does the same as the original in every interleaving of the accesses: only a compiler or a
processor that reorders, merges or repeats accesses makes a difference. What runs here is sequentially
consistent, so no layer can show that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from conformance.coverage.compared.atomics import ATOMICS, split
from conformance.coverage.compared.calls import Call, calls_below
from conformance.coverage.compared.locks import LOCKS, is_lock, of_locks
from conformance.coverage.compared.pieces import NOTHING, UNSURE, Change, Piece
from conformance.kernels.parsing import name_of, outer, parse

__all__ = ["CONCURRENCY", "ORDERING", "RCU", "concurrency_changes"]

_GRACE = "grace period skipped"
_LIST = "removal from an RCU list made plain"

RCU = (_GRACE, _LIST)

_BARRIER = "barrier dropped"
_WEAKENED = "acquire or release made relaxed"
_MARKED = "marked access made plain"
_POINTER = "RCU pointer made plain"

ORDERING = (_BARRIER, _WEAKENED, _MARKED, _POINTER)

CONCURRENCY = (*LOCKS, *ATOMICS, *RCU, *ORDERING)
"""Every operator by its name in reports."""

_RANK = 3
_BARRIERS = re.compile(r"smp_(mb|wmb|rmb)|smp_mb__\w+|barrier|virt_(mb|wmb|rmb)|dma_(mb|wmb|rmb)")
_LISTS = re.compile(r"(h?list_del(_init)?)_rcu")
_RELAXED = re.compile(r"(atomic\w*|\w*cmpxchg\d*|xchg\d*)_(acquire|release)")
_DEREFERENCE = re.compile(r"s?rcu_dereference(_check|_bh|_sched)?")

_Made = tuple[str, list[Piece]]


def concurrency_changes(content: bytes) -> list[Change]:
    """All changes of concurrency that can be planted into a file, function by function."""
    return [
        change
        for node in outer(parse(content))
        if node.type == "function_definition" and name_of(node)
        for change in _of_function(node)
    ]


def _of_function(function: Node) -> Iterator[Change]:
    body = function.child_by_field_name("body")
    if body is None:
        return
    calls = [*calls_below(body, _is_ours)]
    for operator, pieces in [*of_locks(calls), *(made for call in calls for made in _of_call(call))]:
        first, *rest = pieces
        statement = _statement(body, first)
        # What does not compile as written, such as a pointer to a bit field, is left out first.
        rank = UNSURE if operator in (*ATOMICS, *ORDERING) else _RANK
        yield Change(
            operator, name_of(function), first.start, first.end, first.first, first.last, statement,
            first.text, first.gate, rank, tuple(rest),
        )  # fmt: skip


def _statement(body: Node, piece: Piece) -> int:
    """The first line of the statement that a piece is part of."""
    node = body.descendant_for_byte_range(piece.start, piece.end)
    while node is not None and not (node.type == "declaration" or node.type.endswith("_statement")):
        node = node.parent
    return piece.first if node is None else min(piece.first, node.start_point.row + 1)


def _is_ours(name: str) -> bool:
    """Whether calls of a name are changed, or looked into."""
    patterns = (_BARRIERS, _LISTS, _RELAXED, _DEREFERENCE)
    return (
        name in _EXPRESSIONS
        or name in _STATEMENTS
        or is_lock(name)
        or name == "call_rcu"
        or any(pattern.fullmatch(name) for pattern in patterns)
        or bool(split(name, ("0", "0"))[0] or split(name, ("0", "0", "0"))[0])
    )


_EXPRESSIONS = {
    # The operator, what replaces the call.
    "READ_ONCE": (_MARKED, "({0})"),
    "smp_load_acquire": (_WEAKENED, "READ_ONCE(*({0}))"),
}
_STATEMENTS = {
    "WRITE_ONCE": (_MARKED, "({0}) = ({1});"),
    "smp_store_release": (_WEAKENED, "WRITE_ONCE(*({0}), {1});"),
    "smp_store_mb": (_BARRIER, "WRITE_ONCE({0}, {1});"),
    "rcu_assign_pointer": (_POINTER, "({0}) = ({1});"),
}


def _of_call(call: Call) -> Iterator[_Made]:
    """The changes of a call that takes no lock."""
    name, given, statement = call.name, call.arguments, call.statement
    operator, text = split(name, given)
    if operator:
        yield operator, [Piece.expression(call.node, text)]
    if name in _EXPRESSIONS and given:
        operator, form = _EXPRESSIONS[name]
        yield operator, [Piece.expression(call.node, form.format(*given))]
    elif _DEREFERENCE.fullmatch(name) and given:
        yield _POINTER, [Piece.expression(call.node, f"({given[0]})")]
    elif _RELAXED.fullmatch(name):
        yield _WEAKENED, [Piece.expression(call.node, f"{_relaxed(name)}({', '.join(given)})")]
    elif statement is None or not call.alone:
        return
    elif name in _STATEMENTS and len(given) == 2:
        operator, form = _STATEMENTS[name]
        yield operator, [Piece.statement(statement, form.format(*given))]
    elif _BARRIERS.fullmatch(name):
        yield _BARRIER, [Piece.statement(statement, NOTHING)]
    elif name == "call_rcu" and len(given) == 2:
        yield _GRACE, [Piece.statement(statement, f"{given[1]}({given[0]});")]
    elif _LISTS.fullmatch(name) and len(given) == 1:
        yield _LIST, [Piece.statement(statement, f"{name.removesuffix('_rcu')}({given[0]});")]


def _relaxed(name: str) -> str:
    """The relaxed form of an operation that acquires or releases: reads and writes have no suffix for it."""
    plain = re.sub(r"_(acquire|release)$", "", name)
    return plain if plain.endswith(("_read", "_set")) else f"{plain}_relaxed"
