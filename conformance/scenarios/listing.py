# SPDX-License-Identifier: GPL-2.0-only
"""Stories as text: all of them in a line each, or one with its steps, claims and transcript."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.interface.options import unusual
from conformance.kernels import DEFAULT, expand, open_kernel
from conformance.model.profiles import profile_of
from conformance.scenarios.comparing import Death, play
from conformance.scenarios.goldens import Golden
from conformance.scenarios.live_ready import LivePlan, prepare_any
from conformance.scenarios.ready import Playable
from conformance.scenarios.run_scenarios import check_modes, scenarios
from conformance.scenarios.saved import Saved
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Script, Story
from conformance.scenarios.transcript import transcript

__all__ = ["blessed", "described", "listing", "transcripts"]

Progress = Callable[[str], None]


def listing(selector: str | None, progress: Progress) -> dict[str, list[tuple[str, str, str]]]:
    """Every story by theme: its name, its description, and why it does not apply to the selected kernel."""
    profile = None
    if selector is not None:
        profile = profile_of(open_kernel(_one([selector]), progress=progress).release)
    themes: dict[str, list[tuple[str, str, str]]] = {}
    for story in STORIES.values():
        absent = story.absent(profile) if profile is not None else ""
        themes.setdefault(story.theme, []).append((story.name, story.description, absent))
    return themes


def described(name: str) -> list[str]:
    """One story: its description, reason and source, then its steps with the claims after each."""
    found = _scenario(name)
    lines = [found.name]
    if isinstance(found, Story):
        lines += [found.description, "", *textwrap.wrap(found.reason, 100), "", f"source   {found.source}"]
        absent = [f"since    {found.since}"] if found.since else []
        absent += [f"until    {found.until}"] if found.until else []
        lines += absent
    lines += [f"modes    {', '.join(found.modes)}"]
    lines += [line.replace("option ", "option   ", 1) for line in unusual(found.script.options)]
    return [*lines, "", *_steps(found.script)]


def blessed(name: str, modes: Sequence[str]) -> list[str]:
    """A story's golden transcript of the default kernel, in the first of the selected modes."""
    check_modes(modes)
    found = _scenario(name)
    return Golden(found.name, DEFAULT, _modes(found, modes)[0], "", ()).blessed() or []


def transcripts(
    name: str,
    selectors: Sequence[str],
    patches: Sequence[Path],
    modes: Sequence[str],
    live: LivePlan | None,
    progress: Progress,
) -> list[str]:
    """A kernel's transcript of a scenario, in the first of the selected modes that the kernel has."""
    check_modes(modes)
    found = _scenario(name)
    usable = _modes(found, modes)
    ready = prepare_any(_one(list(selectors)), patches, usable, live, progress)
    if not isinstance(ready, Playable):
        raise ConformanceError(ready.error or ready.unreached or f"{ready.title}: cannot be used.")
    mode = next((mode for mode in usable if not ready.absent(mode)), usable[0])
    if absent := ready.why_not(found) or ready.absent(mode):
        raise ConformanceError(f"{name}: not on {ready.kernel.title}: {absent}.")
    lines = [f"{ready.kernel.title} ({ready.kernel.version}), {mode}", ""]
    try:
        with ready.playing(mode) as sides:
            played = play(sides, found.script)
            lines += transcript(sides.k, found.script.steps, played.kernel)
    except Death as death:
        raise ConformanceError(f"{name}: the kernel {death.how} before the first step.") from death
    if played.difference is not None:
        lines += ["", f"the model differs in step {played.difference.at + 1}; `scenario run` shows how"]
    return lines


def _steps(script: Script) -> list[str]:
    lines = []
    for at, step in enumerate(script.steps):
        lines.append(f"{at + 1:3} {step}")
        lines += [f"      claim: {claim.sentence}" for claim in script.claims if claim.after == at]
    return lines


def _scenario(name: str) -> Story | Saved:
    found = scenarios([name])
    if len(found) != 1:
        raise ConformanceError(f"{name} means {len(found)} scenarios; show takes one.")
    return found[0]


def _modes(found: Story | Saved, selected: Sequence[str]) -> list[str]:
    usable = [mode for mode in selected or found.modes if mode in found.modes]
    if not usable:
        raise ConformanceError(
            f"{found.name} does not apply to mode {selected[0]}, only to {', '.join(found.modes)}."
        )
    return usable


def _one(selectors: list[str]) -> str:
    expanded = expand(selectors)
    if len(expanded) != 1:
        raise ConformanceError("this shows one kernel at a time; select one.")
    return expanded[0]
