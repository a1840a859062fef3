# SPDX-License-Identifier: GPL-2.0-only
"""Known faults of kernels that stories show: on which kernels, since which step, and what mends them.

The model describes each kernel as it is, so that a story passes on a kernel with a known fault. The fault is
named with the result all the same, as a finding.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from conformance.differential.verdict import Finding
from conformance.model.changes import Change
from conformance.model.modes import Mode, kernel_in
from conformance.model.profiles import Profile
from conformance.model.semantics import Semantics
from conformance.scenarios.comparing import play
from conformance.scenarios.machines import Machine
from conformance.scenarios.sides import model_machine
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Fault, Story

__all__ = ["fatal", "known", "seen"]


@dataclass(frozen=True)
class _LackingAndMended:
    """The models of a kernel without a change, in place of the kernel, and with it."""

    lacking: Profile
    mended: Profile
    mode: Mode
    oracle: str = "model"
    unobserved: frozenset[str] = frozenset()

    @property
    def k(self) -> Semantics:
        return kernel_in(self.mode, self.lacking)

    def kernel(self, options: dict[str, int]) -> AbstractContextManager[Machine]:
        return nullcontext(model_machine(self.lacking, self.mode, options))

    def model(self, options: dict[str, int]) -> Machine:
        return model_machine(self.mended, self.mode, options)


def known(profile: Profile, modes: Collection[str]) -> tuple[Finding, ...]:
    """The faults that a kernel with this profile is known to have, if a story shows them in these modes."""
    return tuple(
        _finding(fault, story)
        for story in STORIES.values()
        if not story.foreign(profile) and not {*modes}.isdisjoint(story.modes)
        for fault in story.shows
        if fault.is_in(profile)
    )


def fatal(profile: Profile, story: Story) -> tuple[Finding, ...]:
    """The faults for which a story is not played on a kernel with this profile."""
    return tuple(_finding(fault, story) for fault in story.fatal(profile))


def seen(profile: Profile, mode: Mode, story: Story) -> list[Finding]:
    """The faults that a story has shown in a mode, on a kernel that agrees with the model of this profile."""
    return [
        _finding(fault, story, place)
        for fault in story.shows
        if fault.is_in(profile) and (place := _place(profile, mode, story, fault))
    ]


def _place(profile: Profile, mode: Mode, story: Story, fault: Fault) -> str:
    """Where the story shows a fault: the first step in which a kernel with the fix differs; "" if none."""
    steps = len(story.script.steps)
    if not isinstance(fault.mended, Change):
        return f"{mode.name}, {steps} steps"
    found = play(_LackingAndMended(profile, profile.plus(fault.mended), mode), story.script).difference
    if found is None:
        return ""
    if found.crash is not None:
        return f"{mode.name}, step {found.at + 1} of {steps}: {found.crash}"
    name, lacking, fixed = found.facts[0]
    return f"{mode.name}, step {found.at + 1} of {steps}: {name} {lacking}; with the fix {fixed}"


def _finding(fault: Fault, story: Story, *places: str) -> Finding:
    return Finding(story.name, fault.wrong, str(fault.mended), isinstance(fault.mended, Change), places)
