# SPDX-License-Identifier: GPL-2.0-only
"""Calls in the text of a function, for operators that change calls by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tree_sitter import Node

from conformance.coverage.compared.c_text import flat, is_whole, left_alone
from conformance.kernels.parsing import text_of

__all__ = ["Call", "calls_below"]


@dataclass(frozen=True)
class Call:
    """A call: its node, the name of what is called, and the arguments as text."""

    node: Node
    name: str
    arguments: tuple[str, ...]

    @property
    def statement(self) -> Node | None:
        """The statement that consists of the call, or of an assignment of its value; None without one."""
        around = self.node.parent
        if around is not None and around.type == "assignment_expression":
            around = around.parent
        return around if around is not None and around.type == "expression_statement" else None

    @property
    def alone(self) -> bool:
        """Whether the call is a statement, so that nothing uses its value."""
        return self.node.parent is not None and self.node.parent.type == "expression_statement"


def calls_below(node: Node, wanted: Callable[[str], bool]) -> Iterator[Call]:
    """The calls of wanted names below a node, outside of messages, assertions and whatever is left alone."""
    for index, child in enumerate(node.children):
        call = _call(child) if child.type == "call_expression" else None
        if call is not None and wanted(call.name):
            if is_whole(child):
                yield call
        elif not child.is_named or left_alone(child, node.field_name_for_child(index)):
            continue
        yield from calls_below(child, wanted)


def _call(node: Node) -> Call | None:
    function, listed = node.child_by_field_name("function"), node.child_by_field_name("arguments")
    if function is None or listed is None:
        return None
    arguments = tuple(flat(one) for one in listed.named_children if one.type != "comment")
    return Call(node, text_of(function), arguments)
