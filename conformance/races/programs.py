# SPDX-License-Identifier: GPL-2.0-only
"""Drawn programs: a setting, and for each thread the words of its steps. The name of a program says it all.

logged/vcpu0.write.read/host.discard/user.log
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from conformance.errors import ConformanceError
from conformance.races.race import Race, RaceBuilder
from conformance.races.settings import SETTINGS, VCPUS, Setting, Word

__all__ = ["MOST_WORDS", "DrawnProgram"]

MOST_WORDS = 4
"""How many words a thread has at most."""

Threads = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class DrawnProgram:
    """A program: the name of its setting, and the words of each thread, in the setting's order of threads."""

    setting: str
    threads: Threads

    def __str__(self) -> str:
        return "/".join([self.setting, *(".".join([name, *words]) for name, words in self.threads)])

    @classmethod
    def parse(cls, name: str) -> DrawnProgram:
        """The program of this name. Raises ConformanceError, which says what can stand there instead."""
        setting, *threads = name.split("/")
        if setting not in SETTINGS:
            raise ConformanceError(f"no drawn program begins with {setting[:40]!r}; {_one_of(SETTINGS)}.")
        program = cls(
            setting, tuple((thread, tuple(words)) for thread, *words in (t.split(".") for t in threads))
        )
        wrong = program.wrong
        if wrong:
            raise ConformanceError(f"{name[:200]!r} is no program: {wrong}.")
        return program

    @property
    def of(self) -> Setting:
        """The setting."""
        return SETTINGS[self.setting]

    @property
    def wrong(self) -> str:
        """Why there can be no such program; "" if there can."""
        known = self.of.names
        names = [name for name, _ in self.threads]
        if len(names) < 2:
            return "it needs two threads"
        for name, words in self.threads:
            if name not in known:
                return f"there is no thread {name[:40]!r}; {_one_of(known)}"
            if not 1 <= len(words) <= MOST_WORDS:
                return f"{name} has {len(words)} words, and not 1 to {MOST_WORDS}"
            for word in words:
                if word not in self.of.words(name):
                    return f"{name} has no word {word[:40]!r}; {_one_of(self.of.words(name))}"
            if early := [word for word in words[:-1] if self.of.words(name)[word].last]:
                return f"{early[0]} must be the last word of {name}"
        if names != [name for name in known if name in names]:
            return f"its threads must differ and come in the order {', '.join(known)}"
        once = [word for name, words in self.threads for word in words if self.of.words(name)[word].once]
        if len(once) > len({*once}):
            return f"{once[0]} can come once only"
        return ""

    @property
    def length(self) -> int:
        """The number of words."""
        return sum(len(words) for _, words in self.threads)

    @property
    def simpler(self) -> Iterator[DrawnProgram]:
        """The programs without one of the threads, then those without one of the words."""
        for at in range(len(self.threads)) if len(self.threads) > 2 else ():
            yield self._with(at)
        for at, (name, words) in enumerate(self.threads):
            for gone in range(len(words)) if len(words) > 1 else ():
                yield self._with(at, (name, words[:gone] + words[gone + 1 :]))

    def _with(self, at: int, *threads: tuple[str, tuple[str, ...]]) -> DrawnProgram:
        """The program with these threads in place of one."""
        return DrawnProgram(self.setting, (*self.threads[:at], *threads, *self.threads[at + 1 :]))

    @cached_property
    def race(self) -> Race:
        """The program as a race."""
        return _race(self)

    @property
    def every_word(self) -> Iterator[Word]:
        """The words of all threads."""
        for name, words in self.threads:
            known = self.of.words(name)
            yield from (known[word] for word in words)


@lru_cache(maxsize=64)
def _race(program: DrawnProgram) -> Race:
    builder = RaceBuilder()
    program.of.first(builder)
    for name, words in program.threads:
        thread = builder.thread(name)
        for word in words:
            vcpu = VCPUS.index(name) if name in VCPUS else None
            program.of.words(name)[word].append_to(thread, vcpu)
    return Race(
        name=str(program),
        description=f"A drawn program: {program.of.description}.",
        reason="",
        source="conformance/races/settings.py",
        options=program.of.every_option,
        modes=program.of.modes,
        historic=(),
        setup=tuple(builder.first.steps),
        threads={name: tuple(thread.steps) for name, thread in builder.threads.items()},
        closing=tuple(builder.last.steps),
        until=next((word.until for word in program.every_word if word.until is not None), None),
    )


def _one_of(names: object) -> str:
    return f"there are {', '.join(map(str, names))}"  # type: ignore[call-overload]
