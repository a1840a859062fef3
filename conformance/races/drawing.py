# SPDX-License-Identifier: GPL-2.0-only
"""Drawing programs of a mode: new ones, and variations of those that showed something new.

What a program shows is seen on the model, under a few random schedules: its edges, which lead from an access
to the next one of the same object, if that is another thread's and conflicts.
"""

from __future__ import annotations

import random
from itertools import islice

from conformance.model.profiles import Profile
from conformance.races.model.side import model_side
from conformance.races.pct import random_schedules
from conformance.races.programs import MOST_WORDS, DrawnProgram
from conformance.races.settings import SETTINGS, Setting
from conformance.races.subject import Op, conflict

__all__ = ["Drawing", "edges"]

Edge = tuple[str, str, int]
"""Two accesses as text, and the value of the SPTE in between; 0 for another object."""

SCHEDULES, LENGTH = 20, 60
"""The number of random schedules of each program, and the expected number of their accesses."""
NEW = 4
"""One of so many programs is a new one, the others are variations."""
THREADS = (2, 2, 3)
WORDS = (1, 1, 2, 2, 3)


class Drawing:
    """Programs of a mode, for kernels with a profile. Equal seeds give equal programs."""

    def __init__(self, mode: str, profile: Profile, seed: int) -> None:
        self._mode, self._profile = mode, profile
        self._dice = random.Random(seed)
        self._settings = [setting for setting in SETTINGS.values() if mode in setting.modes]
        self._drawn: set[DrawnProgram] = set()
        self.kept: list[DrawnProgram] = []
        """The programs that showed something new."""
        self.seen: set[Edge] = set()
        """What all of them showed."""

    @property
    def drawn(self) -> int:
        """The number of programs that were drawn."""
        return len(self._drawn)

    def next(self) -> tuple[DrawnProgram | None, bool]:
        """A program, and whether it shows something new; None if what was drawn is no new program."""
        program = self._another()
        if program in self._drawn or program.wrong or program.race.absent(self._profile):
            return None, False
        self._drawn.add(program)
        shown = edges(program, self._mode, self._profile, self._dice.getrandbits(64))
        if shown <= self.seen:
            return program, False
        self.seen |= shown
        self.kept.append(program)
        return program, True

    def _another(self) -> DrawnProgram:
        """A program that may have been drawn before, or be none."""
        if not self.kept or not self._dice.randrange(NEW):
            return self._new(self._dice.choice(self._settings))
        return self._varied(self._dice.choice(self.kept))

    def _new(self, setting: Setting) -> DrawnProgram:
        """Two or three threads, one of them a vCPU."""
        dice = self._dice
        others = dice.sample(setting.names[1:], dice.choice(THREADS) - 1)
        names = [name for name in setting.names if name == "vcpu0" or name in others]
        threads = tuple((name, tuple(self._words(setting, name, dice.choice(WORDS)))) for name in names)
        return DrawnProgram(setting.name, threads)

    def _words(self, setting: Setting, thread: str, count: int) -> list[str]:
        return self._dice.choices([*setting.words(thread)], k=count)

    def _varied(self, program: DrawnProgram) -> DrawnProgram:
        """The program with a word more, less, or another one in one thread, or with another thread."""
        dice, setting = self._dice, program.of
        threads = {name: [*words] for name, words in program.threads}
        name = dice.choice([*threads])
        words = threads[name]
        at = dice.randrange(len(words))
        how = dice.choice(("another", "more", "less", "thread"))
        if how == "another":
            words[at : at + 1] = self._words(setting, name, 1)
        elif how == "more" and len(words) < MOST_WORDS:
            words[at:at] = self._words(setting, name, 1)
        elif how == "less":
            del words[at]
        else:
            new = dice.choice(setting.names)
            if len(threads) == max(THREADS) and new not in threads:
                del threads[name]
            threads[new] = self._words(setting, new, dice.choice(WORDS))
        kept = tuple((one, tuple(threads[one])) for one in setting.names if threads.get(one))
        return DrawnProgram(program.setting, kept)


def edges(program: DrawnProgram, mode: str, profile: Profile, seed: int) -> set[Edge]:
    """The edges of a program on the model, under random schedules."""
    side = model_side(program.race.program, profile, mode)
    found: set[Edge] = set()
    last: dict[int, tuple[int, Op, str]] = {}
    advance = side.advance

    def noting(thread: int) -> None:
        op = side.pending(thread)
        name = side.name(thread)
        before = last.get(op[1])
        if before is not None and before[0] != thread and conflict(before[1], op):
            found.add((before[2], name, side.peek(op[1])))
        last[op[1]] = thread, op, name
        advance(thread)

    side.advance = noting
    for _ in islice(random_schedules(side, seed, LENGTH), SCHEDULES):
        last.clear()
    return found
