# SPDX-License-Identifier: GPL-2.0-only
"""One race in one form, one mode, on one side: the model's here, the kernel's in a confined process.

Kernel code that ends its process, hangs, or breaks the conversation is a finding. The threads chosen up to
then are in memory that it shares with this process.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.model.changes import NO_PFN_DIRTY, Change
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import Profile
from conformance.model.spte.decode import describe
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.lacking import Lacking
from conformance.races.exploring import Breach, Explored
from conformance.races.invariants import NO_CRASH
from conformance.races.model.side import model_side
from conformance.races.schedule import Leg
from conformance.races.server import Server, borrow, give_back
from conformance.races.stories import RACES
from conformance.races.subject import Subject
from conformance.races.tasks import DRAW, EXPLORE, REPLAY, Outcome, Task, perform
from conformance.races.wire import Request, printable

__all__ = ["Exploration", "Outcome", "hold", "replay"]

PATIENCE = 60.0
"""How many seconds of processor time a schedule may take before kernel code counts as hanging."""


@dataclass(frozen=True)
class Exploration:
    """What to explore.

    ``library`` is that of a kernel whose KVM races, None on the model. ``without`` are changes that the
    model lacks. ``wanted`` names the one promise that counts, or any if it is empty. ``legs`` are to be
    followed, not explored.
    """

    race: str
    mode: str
    profile: Profile
    library: Path | None = None
    without: tuple[Change, ...] = ()
    wanted: str = ""
    limit: int = 20_000
    seed: int | None = None
    legs: tuple[Leg, ...] = ()

    def on_model(self) -> Subject:
        """The race, set up on the model."""
        return model_side(RACES[self.race], self.profile.without(*self.without), self.mode)

    def request(self, task: Task) -> Request:
        """A task on the kernel's side of the race."""
        return Request(
            form=RACES[self.race].form,
            host=MODES[self.mode].host(),
            tells_dirty=not self.profile.has(NO_PFN_DIRTY),
            patience=PATIENCE,
            task=task,
        )


def hold(contest: Exploration) -> Outcome:
    """Explore."""
    return _perform(contest, Task(EXPLORE, contest.wanted, limit=contest.limit, seed=contest.seed))


def replay(contest: Exploration) -> Outcome:
    """Follow the contest's legs."""
    return _perform(contest, Task(REPLAY, contest.wanted, legs=contest.legs))


def _perform(contest: Exploration, task: Task) -> Outcome:
    start = time.monotonic()
    try:
        if contest.library is None:
            outcome = _on_model(contest, task)
        else:
            outcome = _on_kernel(contest, contest.library, task)
    except Lacking as lacking:
        return Outcome(lacking=lacking)
    outcome.explored.seconds = time.monotonic() - start
    k = kernel_in(MODES[contest.mode], contest.profile)
    words = {moment.spte: describe(k, moment.spte) for moment in outcome.drawn if moment.spte is not None}
    return replace(outcome, sptes=tuple(words.items()))


def _on_model(contest: Exploration, task: Task) -> Outcome:
    try:
        return perform(task, contest.on_model())
    except Exception as trouble:
        return Outcome(trouble=f"{type(trouble).__name__}: {trouble}")
    finally:
        # Threads that were left in the middle of a step end here, and not while another race is explored.
        gc.collect()


def _on_kernel(contest: Exploration, library: Path, task: Task) -> Outcome:
    request = contest.request(task)
    server = borrow(library)
    try:
        return server.perform(request)
    except KernelDied as died:
        how, choices = printable(died.how), server.choices(len(request.threads))
    finally:
        give_back(server)
    if not choices:
        return Outcome(_crashed(f"{how}, before the race began", ()), request.threads)
    return _drawn(contest, library, how, choices)


def _crashed(how: str, choices: tuple[int, ...]) -> Explored:
    breach = Breach(NO_CRASH.name, how, choices)
    return Explored(differing=1, accesses=len(choices), breach=breach)


def _drawn(contest: Exploration, library: Path, how: str, choices: tuple[int, ...]) -> Outcome:
    """Kernel code broke off with the last of the choices: the schedule up to there, drawn if that works."""
    explored, request = _crashed(how, choices), contest.request(Task(DRAW, choices=choices[:-1]))
    server: Server | None = None
    try:
        server = borrow(library)
        told = server.perform(request)
    except (KernelDied, Lacking):
        told = Outcome(trouble="it breaks off earlier")
    finally:
        if server is not None:
            give_back(server)
    if told.trouble or told.lacking is not None:
        return Outcome(explored, request.threads)
    fatal = request.threads[choices[-1]]
    legs = [leg for leg in told.legs[-1:] if leg.thread != fatal or not leg.stop]
    return replace(told, explored=explored, legs=(*told.legs[:-1], *legs, Leg(fatal)))
