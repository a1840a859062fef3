# SPDX-License-Identifier: GPL-2.0-only
"""Finds the WARNs and BUGs in a kernel's source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conformance.kernels.parsing import extents

_CALL = re.compile(
    r"\b(?P<macro>WARN(?:_ON)?(?:_ONCE)?|BUG(?:_ON)?|KVM_BUG(?:_ON(?:_DATA_CORRUPTION)?)?|(?:KVM_)?MMU_WARN_ON"
    r"|VM_(?:BUG|WARN)_ON(?:_ONCE)?)\s*\("
)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_DEFINE = re.compile(r"#define (\w+)\(")
_HEAD = re.compile(r"^[a-z][^;=]*?\b(\w+)\((?!.*;$)", re.MULTILINE)
_PRINTED = re.compile(r'pr_err\((".*?")', re.DOTALL)


@dataclass(frozen=True)
class Warn:
    """A WARN or BUG in a source: its file, function, macro and condition, and its line."""

    file: str
    function: str
    macro: str
    condition: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}() {self.macro}({self.condition[:80]})"


def warns_of(path: Path) -> Iterator[Warn]:
    """Each WARN and BUG of a file, in order; those of a macro are named by the macro."""
    text = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), path.read_text(errors="replace"))
    functions = extents(path)
    for match in _CALL.finditer(text):
        start = text.rfind("\n", 0, match.start()) + 1
        if text.startswith("#define", start):
            continue
        line = text.count("\n", 0, match.start()) + 1
        names = [name for first, last, name in functions if first <= line <= last and name]
        before = text[: match.start()]
        if names:
            name = names[-1]
        elif before[:start].endswith("\\\n"):
            name = _DEFINE.findall(before)[-1]
        else:
            name = _HEAD.findall(before)[-1]
        condition = _argument(text, match.end())
        if not condition and (printed := _PRINTED.findall(before[-600:])):
            condition = " ".join(printed[-1].split())
        yield Warn(path.name, name, match["macro"], condition, line)


def _argument(text: str, start: int) -> str:
    """The text up to the parenthesis that closes, on one line."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return " ".join(text[start:place].split())
    return ""
