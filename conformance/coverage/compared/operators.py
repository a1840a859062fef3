# SPDX-License-Identifier: GPL-2.0-only
"""The mutation operators: which changes can be planted into the functions of a C file.

A change replaces one piece of the text, an expression or a statement. It is written in two forms: as plain
text that takes the place of the piece, and as code around the piece that decides at run time (planting.py).
What is decided at compile time (case labels, static data, macros, sizes) is not changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tree_sitter import Node

from conformance.coverage.compared.c_text import (
    Scope,
    flat,
    is_bits,
    is_constant,
    is_whole,
    left_alone,
    may_be_number,
    scope_of,
    without_effect,
)
from conformance.coverage.compared.pieces import NOTHING, UNSURE, Change, Gate
from conformance.kernels.parsing import name_of, outer, parse, text_of

__all__ = ["OPERATORS", "changes"]


_Made = tuple[Node, str, Gate, int]
"""A piece, the text that replaces it, the gate, the rank."""

_Operator = Callable[[Node, Scope], Iterator[_Made]]


def changes(content: bytes) -> list[Change]:
    """All changes that can be planted into a file, in the order of the text, outer pieces first."""
    found: list[Change] = []
    for node in outer(parse(content)):
        body = node.child_by_field_name("body")
        if node.type == "function_definition" and body is not None and name_of(node):
            found += _below(body, scope_of(node), name_of(node), body.start_point.row + 1)
    return found


def _below(node: Node, scope: Scope, function: str, statement: int) -> Iterator[Change]:
    """The changes of all pieces below a node."""
    for index, child in enumerate(node.children):
        if not child.is_named or left_alone(child, node.field_name_for_child(index)):
            continue
        begins = child.type == "declaration" or child.type.endswith("_statement")
        line = child.start_point.row + 1 if begins else statement
        for operator, make in OPERATORS.items():
            for piece, text, gate, rank in make(child, scope):
                first, last = piece.start_point.row + 1, piece.end_point.row + 1
                yield Change(
                    operator, function, piece.start_byte, piece.end_byte, first, last, line, text, gate, rank
                )
        yield from _below(child, scope, function, line)


def _instead(piece: Node, text: str, rank: int) -> _Made:
    """An expression instead of another one."""
    return piece, text, ("(", f" ? ({text}) : (", "))"), rank


def _negated(piece: Node, rank: int) -> _Made:
    """A truth value, negated."""
    inner = piece.child_by_field_name("argument") if piece.type == "unary_expression" else None
    if inner is not None and text_of(piece).startswith("!"):
        text = flat(inner)
    elif piece.type in ("identifier", "call_expression", "field_expression", "parenthesized_expression"):
        text = f"!{flat(piece)}"
    else:
        text = f"!({flat(piece)})"
    return piece, text, ("(", " != !!(", "))"), rank


def _other_value(piece: Node, kind: str, rank: int) -> Iterator[_Made]:
    """Another value of a type: NULL, the negation, or one bit flipped. Other types are left alone."""
    if kind.endswith("*"):
        if text_of(piece) not in ("NULL", "0"):
            yield _instead(piece, "(void *)0", rank)
    elif kind == "bool":
        constant = {"true": "false", "false": "true"}.get(text_of(piece))
        yield _instead(piece, constant, rank) if constant else _negated(piece, rank)
    elif is_bits(kind):
        text = _flipped(piece) or f"({flat(piece)}) ^ 1"
        yield piece, text, ("(", " ^ (", "))"), rank


def _flipped(literal: Node) -> str:
    """An integer literal with its lowest bit flipped; "" for anything else."""
    text = text_of(literal)
    digits = text.rstrip("uUlL")
    try:
        value = int(digits, 8 if digits.startswith("0") and digits.isdigit() else 0) ^ 1
    except ValueError:
        return ""
    return (f"{value:#x}" if digits[:2] in ("0x", "0X") else str(value)) + text[len(digits) :]


def _condition(node: Node, scope: Scope) -> Iterator[_Made]:
    """Conditions, and the operands of && and ||; those that compare for equality are _comparison()'s."""
    if node.type in ("if_statement", "while_statement", "do_statement"):
        whole = node.child_by_field_name("condition")
        fields = [*whole.named_children] if whole is not None and whole.named_child_count == 1 else []
    elif node.type in ("for_statement", "conditional_expression"):
        fields = node.children_by_field_name("condition")
    elif node.type == "binary_expression" and _operator_of(node) in ("&&", "||"):
        fields = [*node.children_by_field_name("left"), *node.children_by_field_name("right")]
    else:
        return
    for piece in fields:
        # A loop whose condition is always true has no code after it.
        left_out = piece.type in ("true", "number_literal", "comment") or not is_whole(piece)
        if not left_out and _operator_of(piece) not in ("==", "!="):
            yield _negated(piece, 2)


_SHIFTED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}

_SWAPPED = {
    "&": "|", "|": "&", "^": "|", "+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "<<": ">>", ">>": "<<",
    "&&": "||", "||": "&&",
    "&=": "|=", "|=": "&=", "^=": "|=", "+=": "-=", "-=": "+=", "<<=": ">>=", ">>=": "<<=",
}  # fmt: skip


def _operator_of(node: Node) -> str:
    found = node.child_by_field_name("operator")
    return text_of(found) if found is not None else ""


def _comparison(node: Node, scope: Scope) -> Iterator[_Made]:
    """Comparisons."""
    if node.type == "binary_expression" and _operator_of(node) in _SHIFTED:
        yield from _with_operator(node, _SHIFTED[_operator_of(node)], 2)


def _operator(node: Node, scope: Scope) -> Iterator[_Made]:
    """Operators of arithmetic, of bits and of logic; also with an assignment, ++ and --."""
    if node.type in ("binary_expression", "assignment_expression") and _operator_of(node) in _SWAPPED:
        yield from _with_operator(node, _SWAPPED[_operator_of(node)], 3)
    elif node.type == "update_expression" and is_whole(node):
        whole = flat(node)
        text = whole.replace("++", "--") if "++" in whole else whole.replace("--", "++")
        yield _instead(node, text, 3)


def _with_operator(node: Node, operator: str, rank: int) -> Iterator[_Made]:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is None or right is None or not is_whole(node):
        return
    text = f"{flat(left)} {operator} {flat(right)}"
    nested = node.parent is not None and node.parent.type in ("binary_expression", "unary_expression")
    yield _instead(node, f"({text})" if nested else text, rank)


def _constant(node: Node, scope: Scope) -> Iterator[_Made]:
    """Numbers, named constants and masks, with a bit flipped."""
    parent = node.parent
    if parent is None or parent.type in ("return_statement", "init_declarator"):
        return  # Its value is changed by _returned() or _first_value().
    if node.type in ("true", "false") and parent.type != "parenthesized_expression":
        yield _instead(node, "false" if node.type == "true" else "true", 3)
    elif node.type == "number_literal" and _flipped(node):
        yield _instead(node, _flipped(node), 3)
    elif node.type == "identifier" and is_constant(node):
        name = text_of(node)
        bits = _operator_of(parent) in ("&", "|", "~", "&=", "|=")
        if bits or re.search(r"MASK|_BITS?(_|$)", name.upper()):
            yield _instead(node, f"({name} & ({name} - 1))", 3)
        elif name.isupper():
            yield _instead(node, f"({name} ^ 1)", 3)


def _dropped_call(node: Node, scope: Scope) -> Iterator[_Made]:
    """Statements that are a call, flushes among them."""
    if node.type == "expression_statement" and node.named_child_count == 1 and is_whole(node):
        inner = node.named_children[0]
        if inner.type == "call_expression" and not without_effect(inner):
            yield _dropped(node, 4)


def _dropped_jump(node: Node, scope: Scope) -> Iterator[_Made]:
    """continue, goto and return without a value, and a break that leaves a loop."""
    kinds = ("continue_statement", "goto_statement", "break_statement")
    jumps = node.type in kinds or (node.type == "return_statement" and not node.named_child_count)
    if jumps and not (node.type == "break_statement" and _in_switch(node)):
        # A loop around it would catch it, and so could an else that follows.
        yield node, NOTHING, ("if (", ") { } else ", ""), 4


def _in_switch(node: Node) -> bool:
    """Whether the innermost statement that a break leaves is a switch."""
    around = node.parent
    while around is not None and around.type not in ("for_statement", "while_statement", "do_statement"):
        if around.type in ("switch_statement", "case_statement"):
            return True
        around = around.parent
    return False


def _dropped(statement: Node, rank: int) -> _Made:
    return statement, NOTHING, ("do { if (!", ") ", " } while (0);"), rank


def _dropped_assignment(node: Node, scope: Scope) -> Iterator[_Made]:
    """Statements that assign, unless the variable would be left without any value."""
    if node.type == "expression_statement" and node.named_child_count == 1 and is_whole(node):
        inner = node.named_children[0]
        if inner.type in ("assignment_expression", "update_expression") and not _is_first(inner, scope):
            yield _dropped(node, 3 if inner.named_children[0].type == "identifier" else 1)


def _is_first(node: Node, scope: Scope) -> bool:
    """Whether an assignment gives a local variable its first value."""
    target = node.child_by_field_name("left")
    if target is None or target.type != "identifier" or _operator_of(node) != "=":
        return False
    return text_of(target) in scope.kinds and text_of(target) not in scope.valued


def _first_value(node: Node, scope: Scope) -> Iterator[_Made]:
    """The first values of variables, in their declarations or assigned later, and of members."""
    if node.type == "initializer_pair" and is_whole(node):
        yield from _member_value(node, scope)
        return
    if node.type == "init_declarator" and is_whole(node):
        name = node.child_by_field_name("declarator")
        while name is not None and name.type == "pointer_declarator":
            name = name.child_by_field_name("declarator")
        value = node.child_by_field_name("value")
    elif node.type == "assignment_expression" and is_whole(node) and _is_first(node, scope):
        name, value = node.child_by_field_name("left"), node.child_by_field_name("right")
    else:
        return
    if name is not None and value is not None and value.type != "initializer_list":
        yield from _other_value(value, scope.kinds.get(text_of(name), ""), 3)


def _argument(node: Node, scope: Scope) -> Iterator[_Made]:
    """Arguments: another variable of the same type, or 0, or the negation."""
    arguments = node.child_by_field_name("arguments") if node.type == "call_expression" else None
    for piece in arguments.named_children if arguments is not None else ():
        if piece.type == "identifier" and text_of(piece) in scope.kinds:
            name = text_of(piece)
            kind = scope.kinds[name]
            other = scope.another(name, piece.start_byte)
            if other:
                yield _instead(piece, other, 5)
            elif kind == "bool":
                yield _negated(piece, 5)
            elif is_bits(kind):
                yield _instead(piece, "0", 5)
        elif piece.type == "field_expression" and is_whole(piece) and may_be_number(piece):
            # With a pointer that does not compile.
            yield _instead(piece, f"{flat(piece)} & 0", UNSURE)


def _returned(node: Node, scope: Scope) -> Iterator[_Made]:
    """Returned values."""
    if node.type == "return_statement" and node.named_child_count == 1 and scope.returned != "void":
        value = node.named_children[0]
        if value.type not in ("initializer_list", "comment") and is_whole(value):
            yield from _other_value(value, scope.returned, 0)


def _member_value(node: Node, scope: Scope) -> Iterator[_Made]:
    """The value of a member in an initialiser; constants are _constant()'s."""
    value = node.child_by_field_name("value")
    if value is not None and value.type == "identifier" and text_of(value) in scope.kinds:
        yield from _other_value(value, scope.kinds[text_of(value)], 3)
    elif value is not None and value.type == "field_expression" and may_be_number(value):
        yield _instead(value, f"{flat(value)} & 0", UNSURE)


OPERATORS: dict[str, _Operator] = {
    "returned value changed": _returned,
    "condition negated": _condition,
    "comparison shifted": _comparison,
    "constant changed": _constant,
    "operator replaced": _operator,
    "call dropped": _dropped_call,
    "assignment dropped": _dropped_assignment,
    "jump dropped": _dropped_jump,
    "first value changed": _first_value,
    "argument replaced": _argument,
}
"""Every operator by its name in reports."""
