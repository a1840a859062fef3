# SPDX-License-Identifier: GPL-2.0-only
"""Races: a setup, threads whose steps run concurrently, and the changes that make them safe.

    @race(source="seed 5", historic=[missing(TDP_XCHG, DIRTY_FRAMES_ARE_REPORTED)])
    def dirty_lost_in_a_zap(at: RaceBuilder) -> None:
        '''First line: what races. The rest: why it matters.'''
        memory(at, flags=LOG)
        at.thread("vcpu0").access(gfn=GFN, kind=WRITE)
        at.thread("host").madvise_dontneed(page=PAGE)

The steps are those of scenarios. The current variant of a race must violate no invariant under any schedule.
Each historic variant lacks one change, and must violate the invariant that is named with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.interface.options import check_options
from conformance.interface.steps import KINDS
from conformance.kernels import Cache, Kernel, open_kernel
from conformance.kernels.cache import temporary
from conformance.kernels.substitutions import Substitution, write_patch
from conformance.model.changes import RACES as CHANGES
from conformance.model.changes import Change
from conformance.model.profiles import Profile
from conformance.oracles.kvm.build import build_kvm
from conformance.races.invariants import Invariant
from conformance.races.program import Program
from conformance.races.program import Step as StepValues
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.steps import Step, step
from conformance.scenarios.story import introduced

__all__ = [
    "RACES",
    "SIDES",
    "Historic",
    "Race",
    "RaceBuilder",
    "label_of",
    "library_without",
    "missing",
    "race",
]

SIDES = ("model", "kvm")
"""The sides that a race runs on."""


@dataclass(frozen=True)
class Historic:
    """A historic variant of a race: without ``change`` some schedule violates ``invariant``.

    ``reverts`` are the substitutions that take the change out of a kernel's source. A series without any has
    the variant on the model only, and ``model_only`` may say why. With the change ``until`` the kernel no
    longer guarantees the invariant. ``sides``: on the other side, another invariant is violated.
    """

    change: Change
    invariant: Invariant
    reverts: tuple[Substitution, ...] = ()
    modes: tuple[str, ...] = ()
    model_only: str = ""
    until: Change | None = None
    sides: tuple[str, ...] = SIDES

    def inapplicable(self, profile: Profile, series: str | None) -> str:
        """Why the variant cannot run, on a kernel of ``series`` or (None) on the model; "" if it can."""
        if self.until is not None and profile.has(self.until):
            return f"the invariant is not guaranteed since {self.until}"
        if not profile.has(self.change):
            return f"this kernel lacks the change: {self.change}"
        if series is None or self.reverts_of(series):
            return ""
        return self.model_only or "no revert is known for this kernel"

    def reverts_of(self, series: str | None) -> tuple[Substitution, ...]:
        """The substitutions that take the change out of a kernel of ``series``; empty if none is known."""
        return tuple(one for one in self.reverts if one.kernel == series)

    @property
    def label(self) -> str:
        """The name in reports: the commit of the change, or the name of a precaution."""
        return label_of(self.change)


def missing(
    change: Change,
    invariant: Invariant,
    *reverts: Substitution,
    modes: Sequence[str] = (),
    model_only: str = "",
    until: Change | None = None,
    on: Sequence[str] = SIDES,
) -> Historic:
    """The variant without ``change``, which ``reverts`` take out of a kernel, each of one series."""
    return Historic(change, invariant, reverts, tuple(modes), model_only, until, tuple(on))


class Steps:
    """A list of steps that grows: each kind of step is a method that appends one."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __getattr__(self, kind: str) -> Callable[..., Steps]:
        if kind not in KINDS:
            raise AttributeError(f"there is no step {kind}; there are {', '.join(KINDS)}")
        return partial(self._append, kind)

    def _append(self, name: str, /, **given: int) -> Steps:
        self.steps.append(step(name, **given))
        return self


class RaceBuilder:
    """A race under construction: the steps of the setup (``first``), of threads, and the closing ``last``."""

    def __init__(self) -> None:
        self.first, self.last = Steps(), Steps()
        self.threads: dict[str, Steps] = {}

    def thread(self, name: str) -> Steps:
        """The steps of a thread, such as vcpu0, vcpu1, host, user, worker or rcu."""
        return self.threads.setdefault(name, Steps())


@dataclass(frozen=True)
class Race:
    """A race: what it is, why it matters, its source, its steps, and its historic variants."""

    name: str
    description: str
    reason: str
    source: str
    options: dict[str, int]
    modes: tuple[str, ...]
    historic: tuple[Historic, ...]
    setup: tuple[Step, ...]
    threads: dict[str, tuple[Step, ...]]
    closing: tuple[Step, ...]
    until: Change | None = None
    sides: tuple[str, ...] = SIDES

    def absent(self, profile: Profile) -> str:
        """Why the race does not apply to a kernel with this profile; "" if it does."""
        if self.until is not None and profile.has(self.until):
            return f"the code that races was removed by {self.until}"
        return ""

    @property
    def program(self) -> Program:
        """The options and steps as plain values."""
        return Program(
            options=dict(self.options),
            setup=_as_values(self.setup),
            threads={name: _as_values(steps) for name, steps in self.threads.items()},
            closing=_as_values(self.closing),
        )


def _as_values(steps: Sequence[Step]) -> tuple[StepValues, ...]:
    return tuple((one.kind, dict(one.arguments)) for one in steps)


def label_of(change: Change) -> str:
    """The name of a change in reports and on the command line: its commit, or the precaution's name."""
    return change.commit or next(name for name, one in CHANGES.items() if one == change)


RACES: dict[str, Race] = {}
"""Every race by name, in the order of registration."""


def race(
    *,
    source: str,
    historic: Sequence[Historic] = (),
    modes: Sequence[str] = TDP_MODES,
    until: Change | None = None,
    on: Sequence[str] = SIDES,
    **options: int,
) -> Callable[[Callable[[RaceBuilder], None]], Race]:
    """Register a function as a race with its name, ``on`` these sides. ``options`` are those of the VM."""

    def register(function: Callable[[RaceBuilder], None]) -> Race:
        name, description, reason = introduced(function, RACES)
        builder = RaceBuilder()
        function(builder)
        if len(builder.threads) < 2:
            raise ValueError(f"{name}: a race needs two threads")
        RACES[name] = Race(
            name=name,
            description=description,
            reason=reason,
            source=source,
            options=check_options(options),
            modes=tuple(modes),
            historic=tuple(historic),
            setup=tuple(builder.first.steps),
            threads={name: tuple(thread.steps) for name, thread in builder.threads.items()},
            closing=tuple(builder.last.steps),
            until=until,
            sides=tuple(on),
        )
        return RACES[name]

    return register


def library_without(kernel: Kernel, of: Race, change: Change, progress: Callable[[str], None]) -> Path:
    """Build the kernel's racing KVM without ``change``, by the revert in a historic variant of the race.

    Raises ConformanceError if there is no revert for this kernel.
    """
    for historic in of.historic:
        reverts = historic.reverts_of(kernel.series)
        if historic.change == change and reverts:
            name = f"without-{re.sub('[^0-9a-zA-Z]+', '-', historic.label)}.patch"
            with temporary("race") as place:
                patch = write_patch(kernel, reverts, place / name)
                lacking = open_kernel(kernel.selector, [patch], progress=progress)
            return build_kvm(lacking, Cache(), progress, racing=True)
    raise ConformanceError(f"no revert of {change} is known for {kernel.title}.")
