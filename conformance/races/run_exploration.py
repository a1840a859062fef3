# SPDX-License-Identifier: GPL-2.0-only
"""Carries out one exploration: of one race, in one mode, on one side.

The model runs in this process, a kernel in a confined worker process. Kernel code that crashes, hangs or
breaks the conversation is a finding; the threads chosen up to then are in memory shared with the worker.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.model.changes import NO_PFN_DIRTY, Change
from conformance.model.modes import VM_MODES, kernel_in
from conformance.model.profiles import Profile
from conformance.model.spte.decode.text import describe
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.lacking import Lacking
from conformance.races.catalogue import race_called
from conformance.races.explorer import Explored, Violation
from conformance.races.invariants import NO_CRASH
from conformance.races.model.side import model_side
from conformance.races.schedule import Segment
from conformance.races.server import Server, borrow, give_back
from conformance.races.subject import Subject
from conformance.races.tasks import EXPLORE, REPLAY, TRACE, Outcome, Task, perform
from conformance.races.wire_format import Request, printable

__all__ = ["Exploration", "Outcome", "explore_race", "replay_race"]

PATIENCE = 60.0
"""Seconds of processor time that a schedule may take before kernel code counts as hanging, unless given."""


@dataclass(frozen=True)
class Exploration:
    """What to explore.

    ``library`` is a kernel's racing KVM, None for the model. ``without`` are changes that the model lacks.
    Only ``invariant`` is checked, or all if it is empty; ``limit``, ``seed`` and ``seconds`` are those of
    explore(). ``segments`` are a schedule for replay_race().
    ``patience`` is in seconds of processor time for a schedule. ``plant`` is the number of the planted
    difference that is active in the library; 0 for none. A schedule that is found is ``minimised``.
    """

    race: str
    mode: str
    profile: Profile
    library: Path | None = None
    without: tuple[Change, ...] = ()
    invariant: str = ""
    limit: int = 20_000
    seed: int | None = None
    seconds: float | None = None
    segments: tuple[Segment, ...] = ()
    patience: float = PATIENCE
    plant: int = 0
    minimised: bool = True

    def on_model(self) -> Subject:
        """The race on the model."""
        return model_side(race_called(self.race).program, self.profile.without(*self.without), self.mode)

    def request(self, task: Task) -> Request:
        """A task on the kernel's side of the race."""
        return Request(
            program=race_called(self.race).program,
            host=VM_MODES[self.mode].host(),
            reports_dirty=not self.profile.has(NO_PFN_DIRTY),
            patience=self.patience,
            plant=self.plant,
            task=task,
        )


def explore_race(exploration: Exploration) -> Outcome:
    """Run schedules until one violates an invariant, or the limit is reached."""
    given = exploration
    task = Task(EXPLORE, given.invariant, given.limit, given.seed, given.seconds, minimised=given.minimised)
    return _perform(given, task)


def replay_race(exploration: Exploration) -> Outcome:
    """Run the schedule in ``segments``."""
    return _perform(exploration, Task(REPLAY, exploration.invariant, segments=exploration.segments))


def _perform(exploration: Exploration, task: Task) -> Outcome:
    start = time.monotonic()
    try:
        if exploration.library is None:
            outcome = _on_model(exploration, task)
        else:
            outcome = _on_kernel(exploration, exploration.library, task)
    except Lacking as lacking:
        return Outcome(lacking=lacking)
    outcome.explored.seconds = time.monotonic() - start
    k = kernel_in(VM_MODES[exploration.mode], exploration.profile)
    words = {one.spte: describe(k, one.spte) for one in outcome.interactions if one.spte is not None}
    return replace(outcome, sptes=tuple(words.items()))


def _on_model(exploration: Exploration, task: Task) -> Outcome:
    try:
        return perform(task, exploration.on_model())
    except Exception as trouble:
        return Outcome(trouble=f"{type(trouble).__name__}: {trouble}")
    finally:
        # Generators of threads that did not end are closed here, not while another race runs.
        gc.collect()


def _on_kernel(exploration: Exploration, library: Path, task: Task) -> Outcome:
    request = exploration.request(task)
    server = borrow(library)
    try:
        return server.perform(request)
    except KernelDied as died:
        how, choices = printable(died.how), server.choices(len(request.threads))
    finally:
        give_back(server)
    if not choices:
        return Outcome(_crashed(f"{how}, before the race began", ()), request.threads)
    return _traced_to_crash(exploration, library, how, choices)


def _crashed(how: str, choices: tuple[int, ...]) -> Explored:
    violation = Violation(NO_CRASH.name, how, choices)
    return Explored(differing=1, accesses=len(choices), violation=violation)


def _traced_to_crash(exploration: Exploration, library: Path, how: str, choices: tuple[int, ...]) -> Outcome:
    """The outcome for kernel code that crashed in the last of ``choices``, with the interactions up to it.

    Without interactions if kernel code crashes earlier when the schedule is run again.
    """
    explored, request = _crashed(how, choices), exploration.request(Task(TRACE, choices=choices[:-1]))
    server: Server | None = None
    try:
        server = borrow(library)
        traced = server.perform(request)
    except (KernelDied, Lacking):
        traced = Outcome(trouble="kernel code crashes earlier")
    finally:
        if server is not None:
            give_back(server)
    if traced.trouble or traced.lacking is not None:
        return Outcome(explored, request.threads)
    fatal = request.threads[choices[-1]]
    segments = [one for one in traced.segments[-1:] if one.thread != fatal or not one.stop]
    return replace(traced, explored=explored, segments=(*traced.segments[:-1], *segments, Segment(fatal)))
