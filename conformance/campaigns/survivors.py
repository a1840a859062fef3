# SPDX-License-Identifier: GPL-2.0-only
"""Survivors that have been looked through: the tables in survivors/ say of each why nothing detects it.

A table is about one file of the kernel. An entry holds for every kernel in which it matches a survivor.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from conformance.errors import ConformanceError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Explained", "Survivor", "explained", "survivors"]

_TABLES = Path(__file__).with_name("survivors")


class Explained(str, Enum):
    """Why nothing detects a survivor; the value is the word that reports use."""

    EQUIVALENT = "equivalent by reasoning"
    """No input can make a difference that the kernel's users could see."""
    OUT_OF_REACH = "out of reach"
    """It makes a difference, in something that the suite does not do or does not observe."""


@dataclass(frozen=True)
class Survivor:
    """An entry of the table.

    functions: the names of the functions that the mutants are in. before, after: texts that the changed line
    must contain, without and with the mutant. operators: the names of the mutants' operators; any if empty.
    """

    functions: tuple[str, ...]
    kind: Explained
    reason: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()

    def matches(self, function: str, mutant: Mapping[str, Any]) -> bool:
        """Whether it is about a mutant, as the rows of a campaign describe it."""
        return (
            function in self.functions
            and (not self.operators or mutant["operator"] in self.operators)
            and all(text in mutant["before"] for text in self.before)
            and all(text in mutant["after"] for text in self.after)
        )


@cache
def survivors() -> tuple[Survivor, ...]:
    """The entries of all tables. Raises ConformanceError if one is malformed."""
    return tuple(entry for path in sorted(_TABLES.glob("*.toml")) for entry in _read(path))


def _read(path: Path) -> Iterator[Survivor]:
    try:
        for one in tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", []):
            yield _entry(**one)
    except (TypeError, ValueError) as problem:
        raise ConformanceError(f"survivors/{path.name}: {problem}") from None


def _entry(
    functions: Sequence[str],
    kind: str,
    reason: str,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    operators: Sequence[str] = (),
) -> Survivor:
    texts = before, after, operators
    return Survivor(tuple(functions), Explained(kind), reason, *map(tuple, texts))


def explained(function: str, mutant: Mapping[str, Any], table: Iterable[Survivor]) -> Survivor | None:
    """The first entry that is about a mutant."""
    return next((one for one in table if one.matches(function, mutant)), None)
