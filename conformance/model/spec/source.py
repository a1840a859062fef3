# SPDX-License-Identifier: GPL-2.0-only
"""Text of Python source: positions as ``ast`` gives them, indentation, and statements in one line."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from itertools import accumulate

__all__ = ["MARK", "WIDTH", "Source", "dedented", "is_grouped", "joined", "without_double_blanks"]

WIDTH = 110
"""The longest line that is written."""

MARK = re.compile("\ue000([0-9]+)\ue001")
"""Stands in the text where a decision was taken, with the number of its reasons, until comments are added."""


class Source:
    """A module's text, by the positions that ``ast`` gives."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self._bytes = text.encode()
        lines = self._bytes.splitlines(keepends=True)
        self._starts = [0, *accumulate(map(len, lines))]
        self._lines = [line.decode().rstrip("\n") for line in lines]

    def at(self, line: int, column: int) -> int:
        """The offset of a position."""
        return self._starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """The offsets of a node's start and end."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)

    def between(self, start: int, end: int) -> str:
        """The text between two offsets."""
        return self._bytes[start:end].decode()

    def lines(self, first: int, last: int) -> list[str]:
        """Lines by number, both included."""
        return self._lines[first - 1 : last]


def dedented(lines: Iterable[str], columns: int) -> list[str]:
    """The lines moved to the left, or to the right if ``columns`` is negative."""
    if columns < 0:
        return [" " * -columns + line if line.strip() else "" for line in lines]
    return [line[columns:] if not line[:columns].strip() else line for line in lines]


def is_grouped(before: str, after: str) -> bool:
    """Whether the text between these stands alone in parentheses that are not a call's."""
    before = before.rstrip()
    if not before.endswith("(") or not after.lstrip().startswith(")"):
        return False
    word = re.search(r"([\w\])]*)$", before[:-1].rstrip())
    return word is None or word[1] in ("", "return", "and", "or", "not", "in", "if", "else", "is")


def joined(lines: list[str], indent: int) -> list[str]:
    """A statement in one line, if it is short enough and nothing keeps its lines apart."""
    plain = [MARK.sub("", line) for line in lines]
    text = "\n".join(plain)
    if len(plain) == 1 or "#" in text or re.search(r",\n\s*[)\]}]", text):
        return lines
    marks = "".join(match[0] for line in lines for match in MARK.finditer(line))
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO("\n".join(dedented(plain, indent))).readline)
        if token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER)
    ]
    joined = ""
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None:
            if before.end[0] == token.start[0]:
                joined += " " * (token.start[1] - before.end[1])
            elif before.string not in "([{" and token.string not in ")]}":
                joined += " "
        joined += token.string
    if indent + len(joined) > WIDTH:
        return lines
    return [" " * indent + joined + marks]


def without_double_blanks(lines: Iterable[str]) -> Iterator[str]:
    """The lines with one blank line where there are several."""
    blank = False
    for line in lines:
        if line.strip() or not blank:
            yield line
        blank = not line.strip()
