# SPDX-License-Identifier: GPL-2.0-only
"""Plant mutants into all functions of a file at once, each of which can be enabled alone at run time.

A mutant wraps a piece of the text: a returned value, a condition, a statement. Which one is enabled is
decided when the code runs (oracles/c/planted.c), so that a file is compiled once for all of them. These are
insertions by rule; mutants that are written down one by one are kernels/substitutions.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tree_sitter import Node

from conformance.kernels.parsing import name_of, outer, parse, text_of

__all__ = ["Plant", "plant"]

_DECLARED = """\
#ifdef CONFORMANCE_OURS
#define conformance_planted(number) 0
#else
extern _Bool conformance_planted(unsigned long number);
#endif
#line 1
"""
"""Put in front of a file, whose lines keep their numbers. Code that our own C includes has no mutants."""

_SAID = re.compile(
    r"(BUILD_BUG|WARN|KVM_BUG|KVM_MMU_WARN|BUG|lockdep|trace_|pr_|might_|cond_resched|static_assert|__?_?free"
    r"|cpu_relax|barrier|smp_|rcu_|srcu_|read_|write_|spin_|mutex_|_?raw_|kvfree|kfree|guard\(|scoped_|[A-Z0-9_]+\()"
)
"""Calls without effect on a function's result, calls that keep locks balanced, declaring macros."""

_NUMBER = re.compile(
    r"(enum \w+|bool|u8|u16|u32|u64|s8|s16|s32|s64|(unsigned |signed )?(char|short|int|long)( long)?|unsigned"
    r"|size_t|ssize_t|loff_t|uint64_t|gfn_t|gpa_t|gva_t|hpa_t|hva_t|hfn_t|kvm_pfn_t|vm_fault_t)"
)
"""Integer types, whose values are mutated by flipping bits."""


@dataclass(frozen=True)
class Plant:
    """A mutant that can be enabled: its number, the function, the first and last line that it wraps.

    ``rank`` is lower for those that are likelier to be detected.
    """

    number: int
    function: str
    first: int
    last: int
    what: str
    rank: int


def plant(content: bytes, without: Collection[int] = ()) -> tuple[bytes, list[Plant]]:
    """The text of a file with mutants in all its functions, except on the lines ``without``."""
    plants: list[Plant] = []
    added: list[tuple[int, int, str]] = []
    for node in outer(parse(content)):
        body = node.child_by_field_name("body")
        if node.type != "function_definition" or body is None or not name_of(node):
            continue
        for what, rank, target, before, after in _places(body, _returned(node)):
            lines = target.start_point.row + 1, target.end_point.row + 1
            if not any(line in without for line in range(lines[0], lines[1] + 1)):
                number = len(plants) + 1
                plants.append(Plant(number, name_of(node), *lines, what, rank))
                # Of two that begin or end at the same place the wider one is outside.
                width = target.end_byte - target.start_byte
                added.append((target.start_byte, -width, before.format(n=number)))
                added.append((target.end_byte, width - (1 << 40), after))
    text = bytearray(content)
    for at, _, words in sorted(added, key=lambda one: (one[0], one[1]), reverse=True):
        text[at:at] = words.encode()
    return _DECLARED.encode() + bytes(text), plants


def _returned(function: Node) -> str:
    """The return type of a function, as written."""
    kind = function.child_by_field_name("type")
    declarator = function.child_by_field_name("declarator")
    pointer = "*" if declarator is not None and declarator.type == "pointer_declarator" else ""
    return (text_of(kind) if kind is not None else "") + pointer


_Place = tuple[str, int, Node, str, str]


def _places(node: Node, returned: str) -> Iterator[_Place]:
    """The possible mutants below a node: description, rank, the node to wrap, text before and after."""
    for child in node.children:
        if child.type.startswith("preproc") or child.type == "gnu_asm_expression":
            continue
        yield from _place(child, returned)
        if child.type not in ("expression_statement", "declaration"):
            yield from _places(child, returned)


def _place(node: Node, returned: str) -> Iterator[_Place]:
    if node.type == "return_statement" and node.named_child_count == 1 and returned != "void":
        value = node.named_children[0]
        if value.type not in ("initializer_list", "comment"):
            yield from _changed("what it returns", 0, value, returned)
    elif node.type == "if_statement":
        condition = node.child_by_field_name("condition")
        if condition is not None and condition.named_child_count == 1:
            yield "a condition", 2, condition, "(conformance_planted({n}) != !!", ")"
    elif node.type == "expression_statement" and node.named_child_count == 1 and _whole(node):
        inner = node.named_children[0]
        around = "do {{ if (!conformance_planted({n})) ", " } while (0);"
        if inner.type in ("assignment_expression", "update_expression"):
            local = inner.named_children[0].type == "identifier"
            yield "an assignment", 3 if local else 1, node, *around
        elif inner.type == "call_expression" and not _SAID.match(text_of(inner)):
            yield "a call", 4, node, *around
    elif node.type == "declaration":
        kind = node.child_by_field_name("type")
        for part in node.named_children:
            name, first = part.child_by_field_name("declarator"), part.child_by_field_name("value")
            fixed = any(child.type == "storage_class_specifier" for child in node.children)
            if part.type != "init_declarator" or fixed or kind is None or name is None or first is None:
                continue
            if name.type == "identifier" and first.type != "initializer_list":
                yield from _changed("a first value", 3, first, text_of(kind))


def _whole(statement: Node) -> bool:
    """Whether it is a complete statement, not the head of a loop made by a macro."""
    return not statement.has_error and not statement.children[-1].is_missing


def _changed(what: str, rank: int, value: Node, kind: str) -> Iterator[_Place]:
    """A mutant that makes a value another one of its type."""
    kind = re.sub(r"\b(const|static|inline|__always_inline|noinline)\b", "", kind).strip()
    if kind.endswith("*"):
        yield what, rank, value, "conformance_planted({n}) ? (void *)0 : (", ")"
    elif kind == "bool":
        yield what, rank, value, "conformance_planted({n}) != !!(", ")"
    elif _NUMBER.fullmatch(kind):
        yield what, rank, value, "conformance_planted({n}) ^ (", ")"
