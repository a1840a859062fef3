# SPDX-License-Identifier: GPL-2.0-only
"""Play a script on the kernel and on the model, step by step, up to the first difference."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from conformance.interface.observation import Observation
from conformance.model.modes import Mode
from conformance.model.semantics import Semantics
from conformance.scenarios.machines import Machine, OwnProcess, take
from conformance.scenarios.observation_text import facts
from conformance.scenarios.pairing import Pairing
from conformance.scenarios.steps import Step
from conformance.scenarios.story import Claim, Script
from conformance.scenarios.view import Unobserved, View

__all__ = [
    "Claims",
    "Death",
    "Difference",
    "Incomparable",
    "Match",
    "Played",
    "Sides",
    "check_claims",
    "differing",
    "play",
    "views",
]


_T = TypeVar("_T")


class Death(Exception):
    """A side ended instead of answering: it crashed, hung, or called a symbol without a stand-in.

    ``console`` are the last lines that the kernel wrote, if it has a console.
    """

    def __init__(self, how: str, *, hung: bool = False, console: Sequence[str] = ()) -> None:
        super().__init__(how)
        self.how = how
        self.hung = hung
        self.console = tuple(console)


class Incomparable(Exception):
    """The host of the kernel's side did not do what the model's host did; the text says in which step.

    What follows is no difference of KVM, so the story ends. Everything before was compared.
    """


class Sides(Protocol):
    """A kernel and its model in one mode; each makes machines for any options."""

    @property
    def oracle(self) -> str:
        """The name of the kernel's oracle."""

    @property
    def unobserved(self) -> Collection[str]:
        """The properties of a View that the kernel's side does not show."""

    @property
    def mode(self) -> Mode:
        """The mode."""

    @property
    def k(self) -> Semantics:
        """The masks of this kernel in this mode, for reading SPTEs."""

    def kernel(self, options: dict[str, int]) -> AbstractContextManager[Machine]:
        """The kernel's side. Its steps raise Death and Incomparable."""

    def model(self, options: dict[str, int]) -> Machine:
        """The model's side. Its steps raise ValueError if they are impossible, Death if KVM would die."""


@dataclass(frozen=True)
class Difference:
    """Step number ``at`` (from 0) on which the sides differ: each fact's name, the kernel's, the model's.

    ``crash`` says how the kernel's side died instead of answering, ``console`` are its last lines.
    """

    at: int
    facts: tuple[tuple[str, str, str], ...]
    crash: str | None = None
    hung: bool = False
    console: tuple[str, ...] = ()


@dataclass
class Played:
    """The steps taken, the observations of both sides, and the first difference."""

    steps: list[Step] = field(default_factory=list)
    kernel: list[Observation] = field(default_factory=list)
    model: list[Observation] = field(default_factory=list)
    difference: Difference | None = None


@dataclass(frozen=True)
class Foreseen:
    """A step that the model has taken, with its observation, or the death of KVM that it predicts."""

    step: Step
    seen: Observation | None
    death: Death | None


class Match:
    """A VM on the kernel and the same VM on the model, stepped together. A context manager.

    take() takes a step on both. foresee(), begin() and finish() do the same in parts: between begin() and
    finish() the model may foresee the next step, while the kernel takes this one.

    ``spare``: a step in which KVM would die, as the model says, is not taken on the kernel.
    """

    def __init__(self, sides: Sides, options: dict[str, int], *, spare: bool = False) -> None:
        self.played = Played()
        self._sides = sides
        self._pairing = Pairing()
        self._model = sides.model(options)
        self._options = options
        self._spare = spare
        self._kernel: Machine | None = None
        self._beside: OwnProcess | None = None
        """The kernel's side, if it has a process of its own."""
        self._begun: tuple[Foreseen, Callable[[], Observation] | None, Death | None] | None = None
        """The step that the kernel takes now, and what waits for its observation, or its death."""
        self._stack = ExitStack()

    def __enter__(self) -> Match:
        return self

    def __exit__(self, *exc: object) -> None:
        # The step in which a child died has already raised its death.
        with suppress(Death):
            self._stack.close()

    def take(self, step: Step) -> bool:
        """Take a step on both sides; return whether they agree. No step may follow a difference.

        Raises ValueError if the model refuses the step as impossible, and Death if the kernel is spared from
        it; then the kernel's side did not take it. Raises Incomparable, after which no step may follow.
        """
        # The model goes first, since an impossible step might crash the kernel's side.
        self.begin(self.foresee(step))
        return self.finish()

    def foresee(self, step: Step) -> Foreseen:
        """Take a step on the model alone. Raises ValueError and Death as take() does."""
        seen, death = _survived(lambda: take(self._model, step))
        if death is not None and self._spare:
            raise death
        return Foreseen(step, seen, death)

    def begin(self, foreseen: Foreseen) -> None:
        """Begin the step on the kernel. One that has no process of its own takes it now."""
        observed, death = _survived(lambda: self._beginning(foreseen.step))
        self._begun = foreseen, observed, death

    def _beginning(self, step: Step) -> Callable[[], Observation]:
        """Begin a step on the kernel; the function that waits for its observation."""
        machine = self._opened()
        if self._beside is not None:
            self._beside.begin(step.kind, **step.arguments)
            return self._beside.finish
        seen = take(machine, step)
        return lambda: seen

    def finish(self) -> bool:
        """Wait for the kernel; return whether both sides agree."""
        assert self._begun is not None
        foreseen, observed, death = self._begun
        model = foreseen.seen
        kernel = None
        if observed is not None:
            kernel, death = _survived(observed)
        played = self.played
        played.steps.append(foreseen.step)
        at = len(played.steps) - 1
        if model is not None:
            played.model.append(model)
        if kernel is not None:
            played.kernel.append(kernel)
        if death is not None:
            # A finding even if the model predicts it: no story may end so.
            how = f"{death.how}, as the model says" if foreseen.death else death.how
            played.difference = Difference(at, (), how, death.hung, death.console)
        elif kernel is None or model is None:
            predicted = foreseen.death.how if foreseen.death else ""
            played.difference = Difference(at, (("end", "goes on", predicted),))
        elif not self._pairing.same(kernel, model):
            played.difference = Difference(at, tuple(differing(self._sides.k, foreseen.step, kernel, model)))
        return played.difference is None

    def _opened(self) -> Machine:
        """The kernel's side, from the first step on."""
        if self._kernel is None:
            self._kernel = self._stack.enter_context(self._sides.kernel(self._options))
            self._beside = self._kernel if isinstance(self._kernel, OwnProcess) else None
        return self._kernel


def _survived(step: Callable[[], _T]) -> tuple[_T | None, Death | None]:
    """What a side answers, or its death."""
    try:
        return step(), None
    except Death as death:
        return None, death


def play(sides: Sides, script: Script) -> Played:
    """Play a script until it ends or the sides differ.

    Raises ValueError for an impossible step, and Incomparable.
    """
    with Match(sides, script.options) as match:
        for step in script.steps:
            if not match.take(step):
                break
        return match.played


def differing(
    k: Semantics, step: Step, kernel: Observation, model: Observation, other: Semantics | None = None
) -> list[tuple[str, str, str]]:
    """The facts on which two observations differ: the name, the kernel's value, the model's.

    ``other`` has the masks for the second one's SPTEs, if they differ from the first one's.
    """
    ours, theirs = dict(facts(k, step, kernel)), dict(facts(other or k, step, model))
    names = list(dict.fromkeys([*ours, *theirs]))
    found = [(name, ours.get(name, _NOTHING), theirs.get(name, _NOTHING)) for name in names]
    found = [fact for fact in found if fact[1] != fact[2]]
    if kernel.kept is not None and model.kept is not None:
        found += kernel.kept.facts(model.kept)
    # All values are equal: one side reused a table that the other replaced.
    return found or [("tables", "not the same ones as before", "the same ones, or the other way round")]


_NOTHING = "nothing"


def views(sides: Sides, observations: Sequence[Observation]) -> list[View]:
    """The observations of one side as claims see them."""
    found: list[View] = []
    for observation in observations:
        found.append(View(sides.k, observation, found[-1] if found else None, sides.unobserved))
    return found


@dataclass(frozen=True)
class Claims:
    """How many claims hold, how many are about what the side does not show, and the first broken one."""

    holding: int
    unseen: int
    broken: Claim | None = None


def check_claims(sides: Sides, claims: Sequence[Claim], observations: Sequence[Observation]) -> Claims:
    """Evaluate claims on one side, up to the first that does not hold.

    One that cannot be evaluated does not hold.
    """
    seen = views(sides, observations)
    holding = unseen = 0
    for claim in claims:
        try:
            if not claim.holds(seen[claim.after]):
                return Claims(holding, unseen, claim)
            holding += 1
        except Unobserved:
            unseen += 1
        except (ValueError, IndexError, TypeError):
            return Claims(holding, unseen, claim)
    return Claims(holding, unseen)
