# SPDX-License-Identifier: GPL-2.0-only
"""The properties and modes that options name, checked."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from conformance.differential.properties import PROPERTIES
from conformance.differential.property import Property
from conformance.errors import ConformanceError
from conformance.model.modes import MODES

__all__ = ["check_names", "check_selection", "chosen"]


def check_selection(only: Sequence[str], modes: Sequence[str], case: Sequence[int]) -> None:
    """Raise ConformanceError unless there are such properties and modes, and the case fits one."""
    check_names(modes, MODES, "mode")
    for glob in only:
        if not fnmatch.filter(PROPERTIES, glob):
            raise ConformanceError(
                f"no property is called {glob}; `conformance list` names them all, and * stands for any text."
            )
    if case:
        # Without --only the case belongs to no property.
        named = chosen(only) if only else []
        if len(named) != 1:
            raise ConformanceError(f"--case needs --only with one property, not {len(named)}.")
        takes = named[0].takes
        if len(case) != len(takes):
            columns = ", ".join(column.name for column in takes)
            raise ConformanceError(
                f"{named[0].name} takes {len(takes)} words ({columns}), and the case has {len(case)}."
            )


def chosen(only: Sequence[str]) -> list[Property]:
    """The properties whose names match one of the globs; without globs all."""
    globs = only or ("*",)
    return [prop for name, prop in PROPERTIES.items() if any(fnmatch.fnmatch(name, glob) for glob in globs)]


def check_names(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise ConformanceError about the first of the names that is not known."""
    for name in names:
        if name not in known:
            raise ConformanceError(f"there is no {what} {name}; there are {', '.join(known)}.")
