# SPDX-License-Identifier: GPL-2.0-only
"""Asks a kernel everything that shows which changes it has: its functions, and its whole KVM by stories."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from conformance.differential.inputs import inputs
from conformance.differential.properties import PROPERTIES
from conformance.differential.sides import OracleSide
from conformance.kernels import Cache, Kernel
from conformance.model.modes import MODES
from conformance.model.profiles import Profile
from conformance.oracles.child import FunctionOracle
from conformance.oracles.kvm.build import build_kvm
from conformance.review.questions import Behaviour, Presence, Question
from conformance.review.story_questions import story_questions

__all__ = ["ask_functions", "ask_stories"]

Progress = Callable[[str], None]


def ask_functions(oracle: FunctionOracle) -> list[Question]:
    """Questions: which functions exist, and what they answer to the published inputs."""
    questions: list[Question] = []
    for prop in PROPERTIES.values():
        there = prop.name in oracle.entries
        if prop.since is not None or prop.until is not None:
            questions.append(Presence(prop, there))
        if there:
            cases, kernel = inputs(prop), partial(OracleSide, oracle)
            questions += [Behaviour(prop, MODES[mode], cases, kernel) for mode in prop.modes]
    return questions


def ask_stories(kernel: Kernel, profile: Profile, progress: Progress) -> tuple[list[Question], str]:
    """The stories as questions, and why some could not be played. Raises CannotBuild if none can be."""
    library = build_kvm(kernel, Cache(), progress)
    progress(f"{kernel.title}: playing stories")
    all_of_them = list(story_questions(library, profile))
    stopped = [played.lacking for played in all_of_them if played.lacking is not None]
    how_many = f"{len(stopped)} of {len(all_of_them)} stories"
    return (
        [played for played in all_of_them if played.lacking is None],
        stopped[0].sentence(how_many) if stopped else "",
    )
