# SPDX-License-Identifier: GPL-2.0-only
"""Parses C with tree-sitter: what stands outside functions, the names of functions and their places."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import tree_sitter_c
from tree_sitter import Language, Node, Parser

__all__ = ["definitions", "enclosing", "extents", "name_of", "outer", "parse", "text_of"]

_CONDITIONAL = ("preproc_if", "preproc_ifdef", "preproc_else", "preproc_elif", "preproc_elifdef")


def parse(content: bytes) -> Node:
    """The root of a file's syntax tree."""
    return Parser(Language(tree_sitter_c.language())).parse(content).root_node


def outer(node: Node) -> Iterator[Node]:
    """The top-level nodes, including those inside preprocessor conditionals."""
    for child in node.children:
        if child.type in _CONDITIONAL:
            yield from outer(child)
        else:
            yield child


def name_of(function: Node) -> str:
    """The name of a function definition; "" if it cannot be determined."""
    declarator = function.child_by_field_name("declarator")
    while declarator is not None and declarator.type != "function_declarator":
        declarator = declarator.child_by_field_name("declarator")
    if declarator is None:
        return ""
    inner = declarator.child_by_field_name("declarator")
    text = "" if inner is None else text_of(inner)
    # To C's grammar, FNAME(walk_addr)(...) is a function that returns a function.
    return text.replace(" ", "").replace("\n", "").replace("\t", "")


def text_of(node: Node) -> str:
    """The source text of a node."""
    return (node.text or b"").decode(errors="replace")


def definitions(root: Path, files: Iterable[str]) -> dict[str, tuple[str, int]]:
    """File and line of the first definition of each function in ``files`` below ``root``."""
    found: dict[str, tuple[str, int]] = {}
    for file in files:
        path = root / file
        for node in outer(parse(path.read_bytes())) if path.is_file() else ():
            if node.type == "function_definition":
                found.setdefault(name_of(node), (file, node.start_point[0] + 1))
    return found


def extents(path: Path) -> list[tuple[int, int, str]]:
    """First and last line and name of each function that a file defines, in order; none without a file."""
    if not path.is_file():
        return []
    found = (node for node in outer(parse(path.read_bytes())) if node.type == "function_definition")
    return sorted((one.start_point[0] + 1, one.end_point[0] + 1, name_of(one)) for one in found)


def enclosing(root: Path) -> Callable[[str, int], str]:
    """The name of the function that contains a line of a file below ``root``; "" outside functions."""

    @cache
    def functions(file: str) -> list[tuple[int, int, str]]:
        return extents(root / file)

    def name(file: str, line: int) -> str:
        lines = functions(file)
        index = bisect_right(lines, (line, 1 << 32, "")) - 1
        return lines[index][2] if index >= 0 and line <= lines[index][1] else ""

    return name
