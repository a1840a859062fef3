# SPDX-License-Identifier: GPL-2.0-only
"""Writing golden transcripts: what would change is shown first, and only what kernel and model agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from conformance.differential.verdict import Result, Verdict
from conformance.errors import ConformanceError
from conformance.scenarios import goldens
from conformance.scenarios.comparing import play
from conformance.scenarios.goldens import Golden
from conformance.scenarios.judging import golden_of, judge
from conformance.scenarios.running import Ready
from conformance.scenarios.story import Story

__all__ = ["Proposal", "check_allowed", "propose"]


@dataclass
class Proposal:
    """What blessing would write, each with its diff, and the results because of which something is not."""

    changed: list[tuple[Golden, list[str]]] = field(default_factory=list)
    unchanged: int = 0
    refused: list[Result] = field(default_factory=list)


def check_allowed() -> None:
    """Raise ConformanceError where no person is there to read the diff."""
    if goldens.in_ci():
        raise ConformanceError(
            "bless does not run in CI: what the kernel does now would become what is right without anybody "
            "having read it. Run it by hand and commit the diff."
        )


def propose(
    ready: Ready, chosen: Sequence[Story], modes: Sequence[str], told: Callable[[str], None]
) -> Proposal:
    """Play stories and gather what would change; nothing is written."""
    check_allowed()
    if ready.facts.series is None:
        raise ConformanceError(f"{ready.kernel.title} is of no pinned series: it has no transcripts.")
    proposal = Proposal()
    for story in chosen:
        if story.absent(ready.profile):
            continue
        told(f"{ready.kernel.title}: playing {story.name}")
        for mode in story.modes:
            if modes and mode not in modes:
                continue
            arena = ready.arena(mode)
            result = judge(arena, story.name, story.script, ready.facts, golden=False)
            if result.verdict is not Verdict.PASS:
                proposal.refused.append(result)
                continue
            seen = golden_of(arena, story.name, story.script, play(arena, story.script), ready.facts)
            diff = goldens.difference(seen, package=True)
            if diff:
                proposal.changed.append((seen, diff))
            else:
                proposal.unchanged += 1
    return proposal
