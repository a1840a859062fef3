# SPDX-License-Identifier: GPL-2.0-only
"""Stories as questions: the observations on a kernel's whole KVM, which the model must reproduce."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from conformance.history.extra_stories import EXTRA_STORIES
from conformance.interface.observation import Observation
from conformance.model.modes import VM_MODES, Mode
from conformance.model.profiles import Profile
from conformance.oracles.lacking import Lacking
from conformance.review.questions import Misfit, Question
from conformance.scenarios.comparing import Death
from conformance.scenarios.machines import take
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.pairing import Pairing
from conformance.scenarios.sides import KvmSides
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Script

__all__ = ["StoryQuestion", "story_questions"]


class StoryQuestion(Question):
    """The observations of a story on a kernel in a mode."""

    kind = "story"

    def __init__(self, name: str, script: Script, mode: Mode, library: Path, profile: Profile) -> None:
        super().__init__(name, mode.name)
        self._script = script
        self.steps = len(script.steps)
        self._mode = mode
        self._library = library
        self._seen: list[Observation] = []
        self._died = ""
        self.lacking: Lacking | None = None
        """Why it could not be played to its end, and so is no evidence; None if it was."""
        try:
            # Sides have a profile, but the kernel's side does not use it.
            with self._sides(profile).kernel(script.options) as machine:
                for step in script.steps:
                    self._seen.append(take(machine, step))
        except Lacking as lacking:
            self.lacking = lacking
        except Death as death:
            self._died = f"the kernel {death.how} at step {len(self._seen) + 1}"

    def _sides(self, profile: Profile) -> KvmSides:
        """The kernel beside the machine with a profile."""
        return KvmSides(self._library, profile, self._mode)

    def misfit(self, profile: Profile) -> Misfit | None:
        """The first step on which the model with this profile differs; the share is that of later steps.

        A kernel that dies in the step in which the model says that it does fits.
        """
        steps = self._script.steps
        machine, pairing = self._sides(profile).model(self._script.options), Pairing()
        for at, step in enumerate(steps[: len(self._seen) + bool(self._died)]):
            try:
                expected = take(machine, step)
            except Death as death:
                if self._died and at == len(self._seen):
                    return None
                return Misfit(
                    f"step {at + 1} of {len(steps)}: the model says {death.how}", 1 - at / len(steps)
                )
            if at < len(self._seen) and not pairing.same(self._seen[at], expected):
                return Misfit(f"step {at + 1} of {len(steps)}: {step}", 1 - at / len(steps))
        return Misfit(self._died) if self._died else None


def story_questions(library: Path, profile: Profile) -> Iterator[StoryQuestion]:
    """Every story in every mode that it has, the stories for single fixes included.

    Stories about changes that the kernel may lack are played as well.
    """
    for story in STORIES.values():
        for mode in story.modes:
            yield StoryQuestion(story.name, story.script, VM_MODES[mode], library, profile)
    for name, script in EXTRA_STORIES.items():
        for mode in TDP_MODES:
            yield StoryQuestion(name, script, VM_MODES[mode], library, profile)
