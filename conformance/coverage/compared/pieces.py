# SPDX-License-Identifier: GPL-2.0-only
"""Changes of a file as pieces of its text, each with what replaces it and with what is planted around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tree_sitter import Node

__all__ = ["NOTHING", "UNSURE", "Change", "Gate", "Piece"]

UNSURE = 6
"""The rank of changes that may not compile."""

NOTHING = "do { } while (0);"
"""A statement in place of one that is dropped."""

Gate = tuple[str, str, str]
"""Code around a piece that takes effect if a mutant is enabled: before the condition, between the condition
and the piece, and after the piece."""


class Piece(NamedTuple):
    """A piece of a file: its offsets in bytes, its lines, the text that replaces it, and its gate."""

    start: int
    end: int
    first: int
    last: int
    text: str
    gate: Gate

    @classmethod
    def of(cls, node: Node, text: str, gate: Gate) -> Piece:
        """The piece that a node is."""
        first, last = node.start_point.row + 1, node.end_point.row + 1
        return cls(node.start_byte, node.end_byte, first, last, text, gate)

    @classmethod
    def expression(cls, node: Node, text: str) -> Piece:
        """An expression instead of another one."""
        return cls.of(node, text, ("(", f" ? ({text}) : (", "))"))

    @classmethod
    def statement(cls, node: Node, text: str) -> Piece:
        """A statement instead of another one, or nothing if ``text`` is NOTHING."""
        if text == NOTHING:
            return cls.of(node, text, ("{ if (!", ") ", " }"))
        return cls.of(node, text, ("{ if (", f") {text} else ", " }"))

    @classmethod
    def behind(cls, node: Node, text: str) -> Piece:
        """A statement that is planted behind another one, whose replacement contains it."""
        last = node.end_point.row + 1
        return cls(node.end_byte, node.end_byte, last, last, "", (" if (", f") {text}", ""))


@dataclass(frozen=True)
class Change:
    """A change of a function's text.

    operator: its name in reports. start, end: the offsets in bytes of the piece. first, last: its lines;
    statement: the first line of the statement that it is part of.
    text: what replaces it. gate: the code around it with which it is planted.
    rank: lower for those that are likelier to be detected.
    rest: further pieces that are replaced with it.
    """

    operator: str
    function: str
    start: int
    end: int
    first: int
    last: int
    statement: int
    text: str
    gate: Gate
    rank: int
    rest: tuple[Piece, ...] = ()

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All its pieces."""
        return Piece(self.start, self.end, self.first, self.last, self.text, self.gate), *self.rest
