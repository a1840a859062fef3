# SPDX-License-Identifier: GPL-2.0-only
"""Stories: a story is a function with a docstring that records steps and claims.

    @story(source="Documentation/virt/kvm/locking.rst")
    def change_pte_changes_nothing(vm: StoryBuilder) -> None:
        '''First line: what happens. The rest: why it matters.'''
        vm.mmap(page=0, npages=16)
        vm.access(gfn=0x10, kind=WRITE).claim("the page is mapped", lambda now: now.leaf(0x10))

A claim is about the VM after the preceding step. It must hold on the kernel and on the model, so that no
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
from conformance.scenarios.modes import DIRECT_MODES, TDP_MODES
from conformance.scenarios.preconditions import Preconditions
from conformance.scenarios.steps import Step, step
from conformance.scenarios.view import View

__all__ = [
    "STORIES",
    "Claim",
    "Fault",
    "Mutant",
    "Script",
    "Story",
    "StoryBuilder",
    "introduced",
    "named",
    "stories",
    "story",
]


@dataclass(frozen=True)
class Claim:
    """An assertion about the VM after step number ``after`` (from 0): a sentence, and its test.

    It is made of kernels that have ``since``, a change without which it would not hold.
    """

    after: int
    sentence: str
    holds: Callable[[View], object]
    since: Change | None = None


@dataclass(frozen=True)
class Script:
    """The steps in order, the options of the VM, and the claims."""

    steps: tuple[Step, ...]
    options: dict[str, int]
    claims: tuple[Claim, ...] = ()

    def claims_of(self, profile: Profile) -> list[Claim]:
        """The claims that are made of a kernel with this profile."""
        return [claim for claim in self.claims if claim.since is None or profile.has(claim.since)]


@dataclass(frozen=True)
class Mutant:
    """A defect that a story must find: what is wrong, the substitution that plants it, and the mode."""

    wrong: str
    substitution: Substitution
    mode: str = "ept-ad"


@dataclass(frozen=True)
class Fault:
    """A fault of kernels that a story shows: what is wrong, and the upstream change that mends it.

    Where no kernel has a fix, ``mended`` is a sentence on what is known about one. ``since`` is the change
    that brought the fault, if kernels without it are known not to have it. A ``fatal`` one crashes the
    kernel, so the story is not played there.
    """

    wrong: str
    mended: Change | str
    since: Change | None = None
    fatal: bool = False

    def is_in(self, profile: Profile) -> bool:
        """Whether a kernel with this profile has the fault."""
        brought = self.since is None or profile.has(self.since)
        return brought and not (isinstance(self.mended, Change) and profile.has(self.mended))


class StoryBuilder:
    """Records a story: a method for every kind of step, by its name, and :meth:`claim`."""

    def __init__(self, options: dict[str, int], modes: Sequence[str] = TDP_MODES) -> None:
        self._preconditions = Preconditions(options, modes)
        self.steps: list[Step] = []
        self.claims: list[Claim] = []

    def __getattr__(self, kind: str) -> Callable[..., StoryBuilder]:
        if kind not in KINDS:
            raise AttributeError(f"there is no step {kind}; there are {', '.join(KINDS)}")
        return partial(self._take, kind)

    def _take(self, kind: str, /, **given: int) -> StoryBuilder:
        made = step(kind, **given)
        self._preconditions.take(made)
        self.steps.append(made)
        return self

    def claim(
        self, sentence: str, holds: Callable[[View], object], *, since: Change | None = None
    ) -> StoryBuilder:
        """Claim something about the VM after the last step, if the kernel has ``since``."""
        self.claims.append(Claim(len(self.steps) - 1, sentence, holds, since))
        return self


@dataclass(frozen=True)
class Story:
    """A scenario: what happens, why it matters, its source, and the kernels and modes that it applies to.

    ``since`` and ``until`` are the changes that introduced, or removed, the behaviour. ``about`` are the
    kernel functions for whose sake the story exists, under each name that they have in any kernel.
    ``shows`` are the faults that a kernel without their fixes shows in it.
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
    about: tuple[str, ...]
    shows: tuple[Fault, ...]
    record: Callable[[StoryBuilder], None]

    @cached_property
    def script(self) -> Script:
        """The steps and claims; destroying the VM ends every story."""
        builder = StoryBuilder(self.options, self.modes)
        self.record(builder)
        if not builder.claims:
            raise ValueError(f"{self.name} claims nothing, so it could pass without anything happening")
        if builder.steps[-1].kind != "destroy":
            builder.destroy().claim("nothing leaked", lambda now: now.leaks == (0, 0, 0))
        return Script(tuple(builder.steps), self.options, tuple(builder.claims))

    def absent(self, profile: Profile) -> str:
        """Why it is not played on a kernel with this profile; "" if it is."""
        for fault in self.fatal(profile):
            return f"its steps crash a kernel without {fault.mended}"
        return self.foreign(profile)

    def fatal(self, profile: Profile) -> list[Fault]:
        """The faults for which it is not played on a kernel with this profile, to which it would apply."""
        if self.foreign(profile):
            return []
        return [fault for fault in self.shows if fault.fatal and fault.is_in(profile)]

    def foreign(self, profile: Profile) -> str:
        """Why it does not apply to a kernel with this profile; "" if it does."""
        if self.since is not None and not profile.has(self.since):
            return f"its behaviour came with {self.since}"
        if self.until is not None and profile.has(self.until):
            return f"its behaviour ended with {self.until}"
        return ""


def introduced(record: Callable[..., None], known: Mapping[str, object]) -> tuple[str, str, str]:
    """The name of a story's function, and from its docstring what happens and why it matters.

    Raises ValueError if the docstring has no reason, or if the name is among those ``known``.
    """
    name = getattr(record, "__name__", "")
    description, _, reason = (inspect.getdoc(record) or "").partition("\n\n")
    if name in known:
        raise ValueError(f"there are two stories {name}")
    if not reason or "\n" in description:
        raise ValueError(f"{name}: the docstring needs a line that says what happens, then why it matters")
    return name, description, re.sub(r"\s+", " ", reason)


STORIES: dict[str, Story] = {}
"""Every story by name, in the order of registration."""


def story(
    *,
    source: str,
    modes: Sequence[str] = DIRECT_MODES,
    since: Change | None = None,
    until: Change | None = None,
    mutants: Sequence[Mutant] = (),
    about: Sequence[str] = (),
    shows: Sequence[Fault] = (),
    **options: int,
) -> Callable[[Callable[[StoryBuilder], None]], Story]:
    """Register a function as a story of its name. ``options`` are those of the VM.

    `conformance coverage` reports a story that does not execute the functions that it is ``about``.
    """

    def register(record: Callable[[StoryBuilder], None]) -> Story:
        name, description, reason = introduced(record, STORIES)
        made = Story(
            name=name,
            theme=record.__module__.rpartition(".")[2].replace("_", " "),
            description=description,
            reason=reason,
            source=source,
            options=check_options(options),
            modes=tuple(modes),
            since=since,
            until=until,
            mutants=tuple(mutants),
            about=tuple(about),
            shows=tuple(shows),
            record=record,
        )
        STORIES[name] = made
        return made

    return register


def stories(names: Sequence[str]) -> list[Story]:
    """The stories of these names, in order; all if no name is given.

    Raises ConformanceError for an unknown name.
    """
    return named(
        STORIES,
        names,
        "no scenario is called {}; `conformance scenario list` names them all, * stands for any text, and a "
        "scenario file is named by its path.",
    )


T = TypeVar("T")


def named(known: Mapping[str, T], names: Sequence[str], refusal: str) -> list[T]:
    """The values whose keys match the globs ``names``, in their order; all if there are no globs.

    Raises ConformanceError with the ``refusal``, in which {} is the glob, if one matches nothing.
    """
    for name in names:
        if not fnmatch.filter(known, name):
            raise ConformanceError(refusal.format(name))
    return [one for key, one in known.items() if not names or any(fnmatch.fnmatch(key, n) for n in names)]
