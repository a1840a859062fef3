# SPDX-License-Identifier: GPL-2.0-only
"""The functions of the model by name, in reading order, and each as it reads for one kernel."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from conformance.model.profiles import Profile
from conformance.model.spec.folding import folded
from conformance.model.spec.source import Source

__all__ = ["Function", "closest", "difference", "functions", "matching"]

_MODEL = Path(__file__).parents[1]

_ROOMS = (
    "layout.py",
    "modes.py",
    "spte",
    "vm",
    "page_fault",
    "tdp_mmu",
    "shadow_mmu",
    "kvm_main",
    "processor",
)
"""Where the specification is, in reading order."""


@dataclass(frozen=True)
class Function:
    """A function of the model, or a method as ``Class.method``."""

    name: str
    file: str
    """Its file below the package, with /."""
    source: Source
    node: ast.FunctionDef

    def __hash__(self) -> int:
        return hash((self.file, self.name))

    @property
    def docstring(self) -> str:
        """Its docstring, or ""."""
        return ast.get_docstring(self.node) or ""

    def text(self, profile: Profile) -> str:
        """The function as it reads for a kernel of this profile, without the newline at its end."""
        return folded(self.source, self.node, profile)


@lru_cache(maxsize=1)
def functions() -> tuple[Function, ...]:
    """Every function of the model's rooms."""
    found: list[Function] = []
    for room in _ROOMS:
        path = _MODEL / room
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            source = Source(file.read_text(encoding="utf-8"))
            name = file.relative_to(_MODEL.parents[1]).as_posix()
            found += (Function(where, name, source, node) for where, node in _defined(source.tree.body))
    return tuple(found)


def _defined(body: Iterable[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in body:
        if isinstance(node, ast.FunctionDef) and not _is_overload(node):
            yield f"{prefix}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _defined(node.body, f"{prefix}{node.name}.")


def _is_overload(node: ast.FunctionDef) -> bool:
    """Whether it is a signature for type checkers only."""
    return any(isinstance(one, ast.Name) and one.id == "overload" for one in node.decorator_list)


def matching(pattern: str) -> list[Function]:
    """The functions whose name matches ``pattern``, a name or a glob; a method matches without its class."""
    names = ((function, function.name.rpartition(".")[2]) for function in functions())
    return [
        function
        for function, last in names
        if fnmatchcase(function.name, pattern) or fnmatchcase(last, pattern)
    ]


def closest(name: str) -> list[str]:
    """Names of functions that may be meant by one that does not exist, at most three.

    Those whose docstring has it as the name of other kernels; without such, those of similar names.
    """
    mention = re.compile(rf"\b{re.escape(name)}\(\)")
    mentioned = [function.name for function in functions() if mention.search(function.docstring)]
    similar = difflib.get_close_matches(name, [function.name for function in functions()], 3, 0.6)
    return [*dict.fromkeys(mentioned or similar)][:3]


def difference(function: Function, before: tuple[str, str], after: tuple[str, str]) -> str:
    """A unified diff of a function between two kernels, each a title and the function's text; "" if equal.

    The text is "" for a kernel that does not have the function.
    """
    old, new = (f"{text}\n".splitlines(keepends=True) if text else [] for _, text in (before, after))
    lines = difflib.unified_diff(old, new, f"{function.file} ({before[0]})", f"{function.file} ({after[0]})")
    return "".join(f"{line.rstrip()} {function.name}\n" if line.startswith("@@ ") else line for line in lines)
