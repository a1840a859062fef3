# SPDX-License-Identifier: GPL-2.0-only
"""Whether each story still executes the functions that it is about."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.coverage.data import Coverage
from conformance.kernels import Kernel
from conformance.model.profiles import profile_of
from conformance.scenarios.stories import STORIES

__all__ = ["astray"]


def astray(coverage: Coverage, kernel: Kernel) -> Iterator[str]:
    """A sentence for each story that does not execute a function that it is about.

    Functions that a kernel does not have are skipped: their names differ between kernels. A story that is
    about functions of which the kernel has none gets a sentence too. Nothing is said if the stories were not
    measured.
    """
    if "stories" not in coverage.layers:
        return
    profile = profile_of(kernel.release)
    layer = coverage.layers["stories"]
    known = {name for file in coverage.files.values() for name in file.functions}
    for story in STORIES.values():
        if not story.about or story.absent(profile):
            continue
        there = [name for name in story.about if name in known]
        executed = layer.runs[story.name].functions if story.name in layer.runs else frozenset()
        if not there:
            yield f"{story.name} is about {_listed(story.about)}, and the kernel has no such function."
        elif missed := [name for name in there if name not in executed]:
            yield f"{story.name} is about {_listed(missed)}, and does not execute it."


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"{name}()" for name in names)
