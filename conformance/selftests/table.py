# SPDX-License-Identifier: GPL-2.0-only
"""Reads selftests.toml: which selftests are run, with which arguments, and which are not and why."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from conformance.errors import ConformanceError
from conformance.kernels.releases import series_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Selftest", "programs", "selected", "table"]

_TABLE = Path(__file__).with_name("selftests.toml")


@dataclass(frozen=True)
class Selftest:
    """One run of a selftest.

    name: the name of the program, and after a dot which of its runs this is.
    renamed: the program's name in other kernels.
    settings: values that files of the machine's /proc and /sys have during the run.
    limit: seconds of processor time after which it counts as a hang.
    left_out: why it is not run; "" if it is.
    left_out_of: why it is not run in the kernels of some series.
    """

    name: str
    arguments: str = ""
    about: str = ""
    renamed: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    limit: float = 150
    left_out: str = ""
    left_out_of: dict[str, str] = field(default_factory=dict)

    def why_not(self, version: str) -> str:
        """Why it is not run in a kernel of this version; "" if it is."""
        return self.left_out or self.left_out_of.get(series_of(version), "")

    @property
    def programs(self) -> tuple[str, ...]:
        """The names that its program has in the kernels."""
        own = self.name.partition(".")[0]
        return (own, self.renamed) if self.renamed else (own,)


@cache
def table() -> tuple[Selftest, ...]:
    """All selftests, in the order in which they are run."""
    entries: list[dict[str, Any]] = tomllib.loads(_TABLE.read_text())["selftest"]
    return tuple(Selftest(**entry) for entry in entries)


def programs() -> list[str]:
    """The names of all programs that are run."""
    return sorted({name for one in table() if not one.left_out for name in one.programs})


def selected(globs: Sequence[str]) -> list[Selftest]:
    """The selftests whose name, or whose program, matches one of the globs; all without globs.

    Raises ConformanceError for a glob that matches none.
    """
    for glob in globs:
        if not any(_matches(one, glob) for one in table()):
            known = ", ".join(sorted({one.programs[0] for one in table()}))
            raise ConformanceError(f"No selftest of the MMU is named {glob!r}. There are: {known}.")
    return [one for one in table() if not globs or any(_matches(one, glob) for glob in globs)]


def _matches(one: Selftest, glob: str) -> bool:
    return any(fnmatchcase(name, glob) for name in (one.name, *one.programs))
