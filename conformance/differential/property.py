# SPDX-License-Identifier: GPL-2.0-only
"""Properties: one kernel function each (or a short sequence), with its inputs and outputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from conformance.differential.columns import Column
from conformance.differential.legality.needs import Callers
from conformance.differential.outputs import Output
from conformance.errors import ConformanceError
from conformance.kernels.substitutions import Substitution
from conformance.model.changes import Change
from conformance.model.modes import MODES
from conformance.model.profiles import Profile
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, word

__all__ = ["ANY_MODE", "PROPERTIES", "TDP_MODES", "Property", "declare"]

ANY_MODE = ("shadow", "npt-me", "ept-noad")
"""For functions that should read no mask: modes that differ enough to show one that does."""
TDP_MODES = tuple(name for name, mode in MODES.items() if mode.tdp)
"""For functions of the TDP MMU."""

_W = TypeVar("_W")


@dataclass(frozen=True)
class Property:
    """What is compared under one name.

    ``takes`` are the input columns, ``gives`` the outputs. ``answer`` is the model's side: it takes a
    Semantics and the columns in order, and returns one Word or Truth an output, a tuple if there are
    several. ``events`` are what may happen besides (``"WARN function"``, ``"BUG function"``,
    ``"call function"``), at most seven.

    ``callers`` are the preconditions that the kernel's own callers guarantee. Engines try other inputs, too,
    but a legal counterexample is shown before one that breaks a precondition.

    It exists in kernels that have the change ``since`` and lack ``until``. ``scalar`` says that the
    model's side runs over ints only.
    """

    name: str
    group: str
    summary: str
    takes: tuple[Column, ...]
    gives: tuple[Output, ...]
    answer: Callable[..., Any]
    events: tuple[str, ...]
    modes: tuple[str, ...]
    since: Change | None
    until: Change | None
    scalar: bool
    mutants: tuple[Substitution, ...]
    callers: Callers

    def absent(self, profile: Profile) -> str:
        """Why a kernel with this profile does not have the function; "" if it should."""
        if self.since is not None and not profile.has(self.since):
            return f"absent: came with {self.since}"
        if self.until is not None and profile.has(self.until):
            return f"absent: gone with {self.until}"
        return ""

    def legal(self, k: Semantics, columns: Sequence[Word]) -> Truth | bool:
        """Whether a caller of the kernel can give these inputs: ints, arrays or z3 terms, in column order."""
        return self.callers.hold(k, self._named(columns))

    def broken(self, k: Semantics, case: Sequence[int]) -> str:
        """The precondition that a case breaks, as text; "" if it breaks none."""
        return self.callers.broken(k, self._named(case))

    def mended(self, k: Semantics, columns: Sequence[Word]) -> list[Word]:
        """The inputs changed so that they are legal, as far as each precondition knows how."""
        return list(self.callers.mended(k, self._named(columns)).values())

    def _named(self, columns: Sequence[_W]) -> dict[str, _W]:
        return {column.name: word for column, word in zip(self.takes, columns, strict=True)}

    def observe(self, k: Semantics, columns: Sequence[Word]) -> list[Word]:
        """The model's observation of cases: the words that ``gives`` names, then the word of events.

        ``columns`` are ints, arrays or z3 terms alike; arrays may be answered with arrays of bools or, where
        all cases are, with one int. Events are counted in bytes, in the order of
        ``events``; one that is not listed there is a mistake in the model and raises ValueError.
        """
        k.events.clear()
        answer = self.answer(k, *columns)
        values = answer if isinstance(answer, tuple) else (answer,)
        if len(values) != len(self.gives):
            names = ", ".join(output.name for output in self.gives)
            raise ConformanceError(
                f"{self.name}: the model answers {_words(len(values))}, and the property gives "
                f"{_words(len(self.gives))} ({names}). Its declaration and the model must agree."
            )
        happened: Word = 0
        for event, truth in k.events:
            if event not in self.events:
                raise ValueError(f"{self.name}: the model has an event that is not declared: {event}")
            if truth is not False:
                happened = happened + (_as_word(truth) << (8 * self.events.index(event)))
        return [*(value if isinstance(value, np.ndarray) else _as_word(value) for value in values), happened]


def _words(count: int) -> str:
    return "1 word" if count == 1 else f"{count} words"


def _as_word(value: Any) -> Word:
    """A Truth as 0 or 1, a Word as it is."""
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, np.ndarray) and value.dtype == np.bool_:
        return value.astype(np.uint64)
    if isinstance(value, (int, np.ndarray)):
        return value
    import z3

    return word(value) if z3.is_bool(value) else value


PROPERTIES: dict[str, Property] = {}
"""Every property by name, in the order of declaration."""


def declare(
    function: Callable[..., Any],
    group: str,
    takes: Sequence[Column],
    *,
    gives: Sequence[Output],
    answer: Callable[..., Any] | None = None,
    events: Sequence[str] = (),
    modes: Sequence[str] = tuple(MODES),
    since: Change | None = None,
    until: Change | None = None,
    scalar: bool = False,
    callers: Callers,
    mutants: Sequence[Substitution] = (),
) -> Property:
    """Declare a property: name and summary come from the model's ``function`` and its docstring.

    ``answer`` adapts the function where its arguments or its result are not the columns and the outputs.
    """
    name = function.__name__
    if name in PROPERTIES:
        raise ValueError(f"{name} is declared twice")
    if not mutants:
        raise ValueError(f"{name}: a check that has never failed proves nothing; plant a mutant")
    doc = inspect.getdoc(function) or ""
    made = Property(
        name=name,
        group=group,
        summary=doc.split("\n\n")[0].replace("\n", " "),
        takes=tuple(takes),
        gives=tuple(gives),
        answer=answer or function,
        events=tuple(events),
        modes=tuple(modes),
        since=since,
        until=until,
        scalar=scalar,
        mutants=tuple(mutants),
        callers=callers,
    )
    PROPERTIES[name] = made
    return made
