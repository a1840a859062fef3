# SPDX-License-Identifier: GPL-2.0-only
"""One race in one form, one mode, on one side: explored in a process of its own, which kernel code may end.

A process can race only one KVM, and a crash in it is a finding: the threads chosen up to then are in memory
that the process has left behind.
"""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from conformance.model.changes import Change
from conformance.model.decode import describe
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import Profile
from conformance.oracles.kvm.race_interface import new_exchange
from conformance.oracles.kvm.racing import what_happened
from conformance.oracles.lacking import Lacking, no_process
from conformance.races.exploring import Breach, Explored, explore
from conformance.races.picture import Moment, moments
from conformance.races.promises import NO_CRASH, PROMISES, broken
from conformance.races.schedule import Leg, legs_of, run_legs
from conformance.races.shortening import fewest_switches
from conformance.races.sides import kvm_side, model_side
from conformance.races.stories import RACES
from conformance.races.subject import Ending, Subject

__all__ = ["Contest", "Outcome", "hold", "replay"]

SHORTENING = 4000
"""How many schedules may be tried to find a shorter one."""


@dataclass(frozen=True)
class Contest:
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

    def subject(self, exchange: mmap.mmap) -> Subject:
        """The race, set up."""
        race = RACES[self.race]
        if self.library is None:
            return model_side(race, self.profile.without(*self.without), self.mode)
        return kvm_side(race, self.library, self.profile, self.mode, exchange)


@dataclass(frozen=True)
class Outcome:
    """What came of it. If a promise was broken: the schedule, its picture, and its SPTEs in words.

    ``trouble`` says why there is no outcome; ``lacking`` does if the suite or the system lacks something.
    """

    explored: Explored
    threads: tuple[str, ...] = ()
    legs: tuple[Leg, ...] = ()
    drawn: tuple[Moment, ...] = ()
    sptes: tuple[tuple[int, str], ...] = ()
    trouble: str = ""
    lacking: Lacking | None = None

    @property
    def breach(self) -> Breach | None:
        """The promise that was broken."""
        return self.explored.breach


Task = Callable[[Contest, Subject], Outcome]


def hold(contest: Contest) -> Outcome:
    """Explore in a child process."""
    return _apart(contest, _explored)


def replay(contest: Contest) -> Outcome:
    """Follow the contest's legs in a child process."""
    return _apart(contest, _replayed)


def _explored(contest: Contest, subject: Subject) -> Outcome:
    wanted = PROMISES.get(contest.wanted)
    explored = explore(subject, contest.limit, contest.seed, wanted)
    breach = explored.breach
    if breach is None:
        return Outcome(explored)

    def breaks(ending: Ending) -> bool:
        return any(promise.name == breach.promise for promise, _ in broken(ending))

    choices = fewest_switches(subject, breach.choices, breaks, SHORTENING)
    legs = legs_of(subject, choices)
    _, ending = run_legs(subject, legs)
    how = [how for promise, how in broken(ending) if promise.name == breach.promise]
    explored.breach = replace(breach, how=how[0] if how else breach.how, choices=tuple(choices))
    return _told(contest, subject, explored, choices)


def _replayed(contest: Contest, subject: Subject) -> Outcome:
    choices, ending = run_legs(subject, contest.legs)
    explored = Explored(differing=1, accesses=len(choices))
    found = {promise.name: how for promise, how in broken(ending)}
    for name in [contest.wanted, *found]:
        if name in found:
            explored.breach = Breach(name, found[name], tuple(choices))
            break
    return _told(contest, subject, explored, choices)


def _told(contest: Contest, subject: Subject, explored: Explored, choices: Sequence[int]) -> Outcome:
    """The outcome with its schedule drawn, as far as ``choices`` go."""
    legs, drawn = legs_of(subject, choices), moments(subject, choices)
    k = kernel_in(MODES[contest.mode], contest.profile)
    words = {moment.spte: describe(k, moment.spte) for moment in drawn if moment.spte is not None}
    return Outcome(explored, tuple(subject.threads), tuple(legs), tuple(drawn), tuple(words.items()))


def _apart(contest: Contest, task: Task) -> Outcome:
    """Do it in a child process; if kernel code ended that, up to the access with which it did."""
    exchange = new_exchange()
    answer, code = _in_child(contest, task, exchange)
    if answer is not None:
        return answer
    if contest.library is None:
        return Outcome(Explored(), trouble="the model's process ended without a word")
    death, choices = what_happened(exchange, contest.library, code)
    if isinstance(death, Lacking):
        return Outcome(Explored(), lacking=death)
    how = death.how
    if not choices:
        return Outcome(Explored(), trouble=f"the kernel {how} before the race began")
    explored = Explored(differing=1, accesses=len(choices))
    explored.breach = Breach(NO_CRASH.name, how, tuple(choices))
    survived = choices[:-1]
    told, _ = _in_child(
        contest, lambda contest, subject: _told(contest, subject, explored, survived), new_exchange()
    )
    if told is None:
        return Outcome(explored, tuple(RACES[contest.race].threads))
    fatal = told.threads[choices[-1]]
    legs = [leg for leg in told.legs[-1:] if leg.thread != fatal or not leg.stop]
    return replace(told, legs=(*told.legs[:-1], *legs, Leg(fatal)))


def _in_child(contest: Contest, task: Task, exchange: mmap.mmap) -> tuple[Outcome | None, int]:
    """What a child process answers, None if it ended without an answer, and its exit code."""
    read_end, write_end = os.pipe()
    try:
        child = os.fork()
    except OSError as problem:
        return Outcome(Explored(), lacking=no_process(problem)), 0
    if not child:
        os.close(read_end)
        _work(contest, task, exchange, write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return pickle.loads(answer) if answer else None, code


def _work(contest: Contest, task: Task, exchange: mmap.mmap, write_end: int) -> NoReturn:
    """The child's life."""
    try:
        outcome = task(contest, contest.subject(exchange))
    except Lacking as lacking:
        outcome = Outcome(Explored(), lacking=lacking)
    except Exception as trouble:
        outcome = Outcome(Explored(), trouble=f"{type(trouble).__name__}: {trouble}")
    with os.fdopen(write_end, "wb") as pipe:
        pickle.dump(outcome, pipe)
    os._exit(0)
