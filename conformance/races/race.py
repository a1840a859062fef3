# SPDX-License-Identifier: GPL-2.0-only
"""What a race is: a setup, threads that take steps side by side, and what keeps them from doing harm.

    @race(source="seed 5", historic=[missing(TDP_XCHG, DIRTY_FRAMES_ARE_TOLD)])
    def dirty_lost_in_a_zap(at: Course) -> None:
        '''First line: what races. The rest: why it matters.'''
        memory(at.first, flags=LOG)
        at.thread("vcpu0").access(gfn=GFN, kind=WRITE)
        at.thread("host").madvise_dontneed(page=PAGE)

Steps are those of scenarios. Today's form of a race must break no promise under any schedule; each of its
historic forms lacks one thing, and must break the promise that is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, open_kernel
from conformance.kernels.cache import temporary
from conformance.kernels.substitutions import Substitution, write_patch
from conformance.model.changes import RACES as CHANGES
from conformance.model.changes import Change
from conformance.model.profiles import Profile
from conformance.model.shadow_mmu.steps import STEPS
from conformance.oracles.kvm.build import build_kvm
from conformance.races.form import Form
from conformance.races.form import Step as Packed
from conformance.races.invariants import Invariant
from conformance.scenarios.steps import KINDS, check_options, step
from conformance.scenarios.story import TDP_MODES, introduced, named

__all__ = [
    "RACES",
    "SHADOW",
    "SIDES",
    "Historic",
    "Race",
    "RaceBuilder",
    "Taken",
    "label_of",
    "library_without",
    "missing",
    "race",
    "races",
]

SIDES = ("model", "kvm")
"""What can race."""
SHADOW = "shadow"
"""The mode of races that are told of shadow paging, and so of the model only."""


@dataclass(frozen=True)
class Historic:
    """A race without ``change``, which then can break ``promise``.

    ``reverts`` are the substitutions that take the change out of a kernel. Where there are none for a series
    the historic form is the model's only, and ``coming`` says why. ``until`` is the change since which
    nobody is promised any more what is broken.
    """

    change: Change
    promise: Invariant
    reverts: tuple[Substitution, ...] = ()
    modes: tuple[str, ...] = ()
    coming: str = ""
    until: Change | None = None

    def unseen(self, profile: Profile, series: str | None) -> str:
        """Why it cannot be shown, on the kernel of a ``series`` or (None) on the model; "" if it can."""
        if self.until is not None and profile.has(self.until):
            return f"what it breaks is promised no more since {self.until}"
        if not profile.has(self.change):
            return f"this kernel is without it anyway: {self.change}"
        if series is None or self.reverts_of(series):
            return ""
        return self.coming or "how to take it out of this kernel is not written down"

    def reverts_of(self, series: str | None) -> tuple[Substitution, ...]:
        """The substitutions that take the change out of a kernel of ``series``; none if that is not known."""
        return tuple(one for one in self.reverts if one.kernel == series)

    @property
    def label(self) -> str:
        """What reports call it by: its commit, or the name of the precaution."""
        return label_of(self.change)


def missing(
    change: Change,
    promise: Invariant,
    *reverts: Substitution,
    modes: Sequence[str] = (),
    coming: str = "",
    until: Change | None = None,
) -> Historic:
    """A race without ``change``, which ``reverts`` take out of the kernels that they were written for."""
    return Historic(change, promise, reverts, tuple(modes), coming, until)


class Taken(Protocol):
    """A step that a thread takes, by its name and its arguments; str() is how people write it."""

    @property
    def kind(self) -> str:
        """Its name."""

    @property
    def arguments(self) -> dict[str, int]:
        """What it takes."""


@dataclass(frozen=True)
class ShadowStep:
    """A step of shadow paging; model/shadow_mmu/steps.py says what there is."""

    kind: str
    arguments: dict[str, int]

    def __str__(self) -> str:
        return " ".join([self.kind, *(f"{name}={value:#x}" for name, value in self.arguments.items())])


class Steps:
    """Steps while they are told: a method for each kind of step, by its name."""

    def __init__(self, shadow: bool) -> None:
        self.steps: list[Taken] = []
        self._shadow = shadow

    def __getattr__(self, kind: str) -> Callable[..., Steps]:
        known = STEPS if self._shadow else KINDS
        if kind not in known:
            raise AttributeError(f"there is no step {kind}; there are {', '.join(known)}")
        return partial(self._take, kind)

    def _take(self, name: str, /, **given: int) -> Steps:
        self.steps.append(ShadowStep(name, given) if self._shadow else step(name, **given))
        return self


class RaceBuilder:
    """A race while it is told: what comes ``first``, the threads, and what comes ``last``."""

    def __init__(self, shadow: bool = False) -> None:
        self.first, self.last = Steps(shadow), Steps(shadow)
        self.threads: dict[str, Steps] = {}
        self._shadow = shadow

    def thread(self, name: str) -> Steps:
        """The steps of a thread: vcpu0, vcpu1, host, user, rcu."""
        return self.threads.setdefault(name, Steps(self._shadow))


@dataclass(frozen=True)
class Race:
    """A race: what it is, why it matters, where it comes from, and all that is done in it."""

    name: str
    description: str
    reason: str
    source: str
    options: dict[str, int]
    modes: tuple[str, ...]
    historic: tuple[Historic, ...]
    setup: tuple[Taken, ...]
    threads: dict[str, tuple[Taken, ...]]
    closing: tuple[Taken, ...]
    until: Change | None = None
    direct: bool = True
    """Of shadow paging: whether each SPTE stands for one gfn, whatever the guest does."""

    def absent(self, profile: Profile) -> str:
        """Why a kernel with this profile cannot have the race; "" if it can."""
        if self.until is not None and profile.has(self.until):
            return f"what races is gone with {self.until}"
        return ""

    @property
    def shadow(self) -> bool:
        """Whether it is a race of shadow paging."""
        return self.modes == (SHADOW,)

    @property
    def form(self) -> Form:
        """What is done in it, by value."""
        return Form(
            options=dict(self.options),
            setup=_packed(self.setup),
            threads={name: _packed(steps) for name, steps in self.threads.items()},
            closing=_packed(self.closing),
        )


def _packed(steps: Sequence[Taken]) -> tuple[Packed, ...]:
    return tuple((one.kind, dict(one.arguments)) for one in steps)


def label_of(change: Change) -> str:
    """What a change is called in reports and on the command line."""
    return change.commit or next(name for name, one in CHANGES.items() if one == change)


RACES: dict[str, Race] = {}
"""Every race by name, in the order in which they are told."""


def race(
    *,
    source: str,
    historic: Sequence[Historic] = (),
    modes: Sequence[str] = TDP_MODES,
    until: Change | None = None,
    direct: bool = True,
    **options: int,
) -> Callable[[Callable[[RaceBuilder], None]], Race]:
    """Register a function as a race of its name. ``options`` are those of the VM."""

    def register(tell: Callable[[RaceBuilder], None]) -> Race:
        name, description, reason = introduced(tell, RACES)
        course = RaceBuilder(shadow=tuple(modes) == (SHADOW,))
        tell(course)
        if len(course.threads) < 2:
            raise ValueError(f"{name}: it takes two to race")
        told = Race(
            name=name,
            description=description,
            reason=reason,
            source=source,
            options=check_options(options),
            modes=tuple(modes),
            historic=tuple(historic),
            setup=tuple(course.first.steps),
            threads={name: tuple(thread.steps) for name, thread in course.threads.items()},
            closing=tuple(course.last.steps),
            until=until,
            direct=direct,
        )
        RACES[name] = told
        return told

    return register


def races(names: Sequence[str]) -> list[Race]:
    """The races of these names, in the order told; all if none is named.

    Raises ConformanceError about a name that there is not.
    """
    refusal = "no race is called {}; `conformance explore list` names them all, * stands for any text."
    return named(RACES, names, refusal)


def library_without(kernel: Kernel, told: Race, change: Change, progress: Callable[[str], None]) -> Path:
    """A racing KVM of the kernel without a change, as a historic form of the race has it.

    Raises ConformanceError if nobody wrote down how to take it out of this kernel.
    """
    for historic in told.historic:
        reverts = historic.reverts_of(kernel.series)
        if historic.change == change and reverts:
            name = f"without-{re.sub('[^0-9a-zA-Z]+', '-', historic.label)}.patch"
            with temporary("race") as place:
                patch = write_patch(kernel, reverts, place / name)
                lacking = open_kernel(kernel.selector, [patch], progress=progress)
            return build_kvm(lacking, Cache(), progress, racing=True)
    raise ConformanceError(f"how to take {change} out of {kernel.title} is not written down.")
