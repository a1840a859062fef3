# SPDX-License-Identifier: GPL-2.0-only
"""Write golden transcripts: changes are shown first, and only where kernel and model agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conformance.differential.verdict import KernelReport, Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels import expand
from conformance.scenarios import goldens
from conformance.scenarios.comparing import play
from conformance.scenarios.goldens import Golden
from conformance.scenarios.judging_scenario import golden_of, judge
from conformance.scenarios.ready import Ready, prepare
from conformance.scenarios.run_scenarios import check_modes
from conformance.scenarios.story import Story, stories

__all__ = ["Proposal", "check_allowed", "propose_all"]


@dataclass
class Proposal:
    """The transcripts that blessing would write, each with its diff, and the results that forbid one."""

    changed: list[tuple[Golden, list[str]]] = field(default_factory=list)
    unchanged: int = 0
    refused: list[Result] = field(default_factory=list)


def check_allowed() -> None:
    """Raise ConformanceError in CI, where no person reads the diff."""
    if goldens.in_ci():
        raise ConformanceError(
            "bless does not run in CI: today's behaviour would become the expected one without review. "
            "Run it by hand and commit the diff."
        )


def propose_all(
    names: Sequence[str],
    selectors: Sequence[str],
    patches: Sequence[Path],
    modes: Sequence[str],
    progress: Callable[[str], None],
) -> Proposal:
    """Play stories on kernels and collect the changes; nothing is written.

    Raises ConformanceError for an unknown name, or if a kernel cannot be used.
    """
    check_allowed()
    check_modes(modes)
    chosen = stories(names)
    proposal = Proposal()
    for selector in expand(list(selectors)):
        ready = prepare(selector, patches, progress, modes)
        if isinstance(ready, KernelReport):
            if ready.unreached is None:
                raise ConformanceError(ready.error or f"{ready.title}: cannot be used.")
            progress(f"{ready.title}: {ready.unreached}")
            continue
        if ready.facts.series is None:
            raise ConformanceError(f"{ready.kernel.title} is of no pinned series: it has no transcripts.")
        progress(f"{ready.kernel.title}: playing {len(chosen)} stories")
        for story in chosen:
            if not story.absent(ready.profile):
                wanted = [mode for mode in story.modes if not modes or mode in modes]
                _propose(proposal, ready, story, [mode for mode in wanted if not ready.absent(mode)])
    return proposal


def _propose(proposal: Proposal, ready: Ready, story: Story, modes: Sequence[str]) -> None:
    """Add the changes of one story."""
    for mode in modes:
        sides = ready.sides(mode)
        result = judge(sides, story.name, story.script, ready.facts, golden=False)
        if result.verdict is not Verdict.PASS:
            proposal.refused.append(result)
            continue
        seen = golden_of(sides, story.name, story.script, play(sides, story.script), ready.facts)
        diff = goldens.difference(seen, package=True)
        if diff:
            proposal.changed.append((seen, diff))
        else:
            proposal.unchanged += 1
