# SPDX-License-Identifier: GPL-2.0-only
"""How a story is told: a function with a docstring that records steps and claims.

    @story(source="Documentation/virt/kvm/locking.rst")
    def change_pte_changes_nothing(vm: Telling) -> None:
        '''First line: what it is. The rest: why it is told.'''
        vm.mmap(page=0, npages=16)
        vm.access(gfn=0x10, kind=WRITE).claim("the page is mapped", lambda now: now.leaf(0x10))

A claim is about the VM after the step before it. It must hold on the kernel as on the model, so that no
story passes because nothing happened in it.
"""

from __future__ import annotations

import fnmatch
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

from conformance.errors import ConformanceError
from conformance.interface.options import check_options
from conformance.interface.steps import KINDS
from conformance.kernels.substitutions import Substitution
from conformance.model.changes import Change
from conformance.model.profiles import Profile
from conformance.scenarios.preconditions import Preconditions
from conformance.scenarios.steps import Step, step
from conformance.scenarios.view import View

__all__ = [
    "STORIES",
    "TDP_MODES",
    "Claim",
    "Mutant",
    "Script",
    "Story",
    "StoryBuilder",
    "introduced",
    "named",
    "stories",
    "story",
]

TDP_MODES = ("ept-ad", "ept-noad", "npt")
"""The modes of the TDP MMU in which stories are told."""


@dataclass(frozen=True)
class Claim:
    """What must be so after step number ``after`` (from 0), as a sentence and a test of it."""

    after: int
    sentence: str
    holds: Callable[[View], object]


@dataclass(frozen=True)
class Script:
    """What is played: the steps in order, how the VM is set up, and what must hold on the way."""

    steps: tuple[Step, ...]
    options: dict[str, int]
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Mutant:
    """A defect that a story must find: what is wrong, the substitution that plants it, and the mode."""

    wrong: str
    substitution: Substitution
    mode: str = "ept-ad"


class StoryBuilder:
    """A story while it is told: a method for every kind of step, by its name, and :meth:`claim`."""

    def __init__(self, options: dict[str, int]) -> None:
        self._order = Preconditions(options)
        self.steps: list[Step] = []
        self.claims: list[Claim] = []

    def __getattr__(self, kind: str) -> Callable[..., StoryBuilder]:
        if kind not in KINDS:
            raise AttributeError(f"there is no step {kind}; there are {', '.join(KINDS)}")
        return partial(self._take, kind)

    def _take(self, kind: str, /, **given: int) -> StoryBuilder:
        made = step(kind, **given)
        self._order.take(made)
        self.steps.append(made)
        return self

    def claim(self, sentence: str, holds: Callable[[View], object]) -> StoryBuilder:
        """Claim something about the VM after the last step."""
        self.claims.append(Claim(len(self.steps) - 1, sentence, holds))
        return self


@dataclass(frozen=True)
class Story:
    """A scenario: what it is, why, where it comes from, and where it makes sense.

    ``since`` and ``until`` are the change with which what it tells came, or went.
    """

    name: str
    theme: str
    description: str
    reason: str
    source: str
    options: dict[str, int]
    modes: tuple[str, ...]
    since: Change | None
    until: Change | None
    mutants: tuple[Mutant, ...]
    tell: Callable[[StoryBuilder], None]

    @cached_property
    def script(self) -> Script:
        """The steps and claims; destroying the VM ends every story."""
        telling = StoryBuilder(self.options)
        self.tell(telling)
        if not telling.claims:
            raise ValueError(f"{self.name} claims nothing, so it could pass without anything happening")
        if telling.steps[-1].kind != "destroy":
            telling.destroy().claim("nothing leaked", lambda now: now.leaks == (0, 0, 0))
        return Script(tuple(telling.steps), self.options, tuple(telling.claims))

    def absent(self, profile: Profile) -> str:
        """Why it cannot be told on a kernel with this profile; "" if it can."""
        if self.since is not None and not profile.has(self.since):
            return f"what it tells came with {self.since}"
        if self.until is not None and profile.has(self.until):
            return f"what it tells is gone with {self.until}"
        return ""


def introduced(tell: Callable[..., None], told: Mapping[str, object]) -> tuple[str, str, str]:
    """The name of a function that tells something, what it is, and why it is told: from its docstring.

    Raises ValueError if that says too little, or the name is among those ``told`` already.
    """
    name = getattr(tell, "__name__", "")
    description, _, reason = (inspect.getdoc(tell) or "").partition("\n\n")
    if name in told:
        raise ValueError(f"{name} is told twice")
    if not reason or "\n" in description:
        raise ValueError(f"{name}: the docstring needs a line that says what it is, then why")
    return name, description, re.sub(r"\s+", " ", reason)


STORIES: dict[str, Story] = {}
"""Every story by name, in the order in which they are told."""


def story(
    *,
    source: str,
    modes: Sequence[str] = TDP_MODES,
    since: Change | None = None,
    until: Change | None = None,
    mutants: Sequence[Mutant] = (),
    **options: int,
) -> Callable[[Callable[[StoryBuilder], None]], Story]:
    """Register a function as a story of its name. ``options`` are those of the VM."""

    def register(tell: Callable[[StoryBuilder], None]) -> Story:
        name, description, reason = introduced(tell, STORIES)
        told = Story(
            name=name,
            theme=tell.__module__.rpartition(".")[2].replace("_", " "),
            description=description,
            reason=reason,
            source=source,
            options=check_options(options),
            modes=tuple(modes),
            since=since,
            until=until,
            mutants=tuple(mutants),
            tell=tell,
        )
        STORIES[name] = told
        return told

    return register


def stories(names: Sequence[str]) -> list[Story]:
    """The stories of these names, in the order told; all if none is named.

    Raises ConformanceError about a name that there is not.
    """
    return named(
        STORIES,
        names,
        "no scenario is called {}; `conformance scenario list` names them all, * stands for any text, and a "
        "scenario file is named by its path.",
    )


T = TypeVar("T")


def named(told: Mapping[str, T], names: Sequence[str], refusal: str) -> list[T]:
    """Those that the globs ``names`` name, in their order; all if there are none.

    Raises ConformanceError with the ``refusal``, {} being the name, if there is none of a name.
    """
    for name in names:
        if not fnmatch.filter(told, name):
            raise ConformanceError(refusal.format(name))
    return [one for key, one in told.items() if not names or any(fnmatch.fnmatch(key, n) for n in names)]
