# SPDX-License-Identifier: GPL-2.0-only
"""Stories as questions: what fits a kernel that dies, and a model that says that it does."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest

from conformance.interface.observation import Observation
from conformance.model.modes import VM_MODES
from conformance.model.profiles import profile_of
from conformance.review.story_questions import StoryQuestion
from conformance.scenarios.comparing import Death
from conformance.scenarios.sides import KvmSides
from conformance.scenarios.stories import STORIES

STORY = next(one for one in STORIES.values() if len(one.script.steps) > 3)
MODE = VM_MODES[STORY.modes[0]]
PROFILE = profile_of((6, 1))


class Dying:
    """A machine that dies in a step, counted from 0; one of the model's otherwise."""

    def __init__(self, machine, at: int | None) -> None:
        self.machine, self.left = machine, at

    def step(self, name: str, /, **arguments: int) -> Observation:
        if self.left == 0:
            raise Death("BUG here")
        self.left = None if self.left is None else self.left - 1
        return self.machine.step(name, **arguments)


@pytest.fixture
def asked(monkeypatch):
    """A question to a kernel that dies in one step and a model that dies in another; None: in no step."""
    real = KvmSides.model

    def ask(kernel: int | None, model: int | None) -> StoryQuestion:
        @contextmanager
        def answers(self, options):
            yield Dying(real(self, options), kernel)

        monkeypatch.setattr(KvmSides, "kernel", answers)
        question = StoryQuestion(STORY.name, STORY.script, MODE, Path(), PROFILE)
        monkeypatch.setattr(KvmSides, "model", lambda self, options: Dying(real(self, options), model))
        return question

    return ask


@pytest.mark.parametrize(("kernel", "model"), [(None, None), (1, 1), (0, 0)])
def test_what_fits(asked, kernel, model):
    assert asked(kernel, model).answer(PROFILE).misfit is None


@pytest.mark.parametrize(
    ("kernel", "model", "reason"),
    [
        (1, None, "the kernel BUG here at step 2"),
        (None, 1, "step 2 of"),
        (2, 1, "the model says BUG here"),
        (1, 2, "the kernel BUG here at step 2"),
    ],
)
def test_what_does_not_fit(asked, kernel, model, reason):
    misfit = asked(kernel, model).answer(PROFILE).misfit
    assert misfit is not None and reason in misfit.reason
