# SPDX-License-Identifier: GPL-2.0-only
"""WARNs and BUGs of the MMU in a log: where they are, and which checks of the table they may be.

The line of a WARN names a file, a line and a function. The compiler inlines: the function may be a caller of
the one that checks, but the file is that of the check. Where several checks remain, all are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from conformance.traces.checks import CHECKS, SERIES, Check, plain
from conformance.traces.checks.callers import callers

__all__ = ["CHECKS", "Check", "Splat", "Splats"]

_NEAR = 2
"""Over how many calls a check is explained; others are named by their functions."""
_SPOKEN = tuple({check.says for check in CHECKS if check.says})


@dataclass
class Splat:
    """A WARN or BUG in a log. ``release`` is the kernel, "" if the log does not name it.

    ``said`` are the lines around it that may hold its message, ``whole`` is whether those before it were all
    in the log. ``condition`` is printed by some kernels since v6.19.
    """

    function: str
    file: str
    line: int
    bug: bool
    said: list[str] = field(default_factory=list)
    release: str = ""
    condition: str = ""
    whole: bool = False

    def checks(self) -> list[Check]:
        """The checks that it may be: by what was printed with it, else those of its function.

        If the function has none, they are those of the functions that may be inlined into it; if there are no
        such in its file, those of its function in another file, since code moves.
        """
        possible = self._possible(PurePosixPath(self.file).name)
        own = [check for check in possible if self._has(check)]
        near = [check for check in possible if check not in own and self._distance(check)]
        if self.condition:
            exact = [check for check in (*own, *near) if check.names and check.tests(self.condition)]
            if exact:
                return exact
        text = "\n".join(self.said)
        spoken = [check for check in possible if check.says and check.says in text]
        return spoken or self._silent(own) or self._nearest(near) or self._silent(self._elsewhere())

    def inlined(self) -> list[str]:
        """Further functions that may be inlined into this one and have a check that it could be."""
        checks = self.checks()
        text = "\n".join(self.said)
        if not checks or self.condition or any(check.says and check.says in text for check in checks):
            return []
        possible = self._possible(PurePosixPath(self.file).name)
        near = self._silent(check for check in possible if self._distance(check))
        return sorted({check.function for check in near} - {check.function for check in checks})

    @property
    def _names(self) -> set[str]:
        """The function as the log and as the source names it: paging64_fetch() is FNAME(fetch)."""
        return {self.function, re.sub(r"^(?:paging32|paging64|ept)_(\w+)$", r"FNAME(\1)", self.function)}

    def _possible(self, file: str = "") -> list[Check]:
        """The checks of its kind, of its kernel if the table has it, and of a file if it is given."""
        series = ".".join(re.findall(r"\d+", self.release)[:2])
        return [
            check
            for check in CHECKS
            if file in ("", check.file)
            and (check.bug or not self.bug)
            and (series not in SERIES or series in check.kernels)
        ]

    def _elsewhere(self) -> Iterator[Check]:
        return (check for check in self._possible() if self._has(check))

    def _has(self, check: Check) -> bool:
        return not self._names.isdisjoint(check.functions)

    def _distance(self, check: Check) -> int:
        """Over how many calls the check may be inlined here; 0 if it cannot be."""
        every = [callers(function) for function in check.functions]
        return min((found[name] for found in every for name in self._names & found.keys()), default=0)

    def _nearest(self, near: Sequence[Check]) -> list[Check]:
        """Those over few calls; if there are none, those over the fewest."""
        known = self._silent(near)
        limit = max(_NEAR, min(map(self._distance, known), default=0))
        return [check for check in known if self._distance(check) <= limit]

    def _silent(self, checks: Iterable[Check]) -> list[Check]:
        """Those that print nothing, if it is known that nothing was printed."""
        known = [*checks]
        return ([check for check in known if not check.says] if self.whole else []) or known


_PLACE = r"(?P<file>\S*\bkvm/\S*?\w\.[ch]):(?P<line>\d+)"
_WARN = re.compile(rf"WARNING: (?:CPU: \d+ PID: \d+ )?at {_PLACE} (?P<function>[\w.]+)(?:\+0x|/)")
_NEW_WARN = re.compile(rf"WARNING: (?:\[(?P<condition>.*)\] )?{_PLACE} at (?P<function>[\w.]+)(?:\+0x|/)")
_BUG = re.compile(rf"kernel BUG at {_PLACE}!")
_BEGINS = re.compile(r"WARNING: |kernel BUG at ")
_QUOTED = re.compile(r"^[>|\s]*(?:\[\s*\d+\.\d+\]\s*(?:\[\s*[TC]\d+\]\s*)?)?")
"""What mails and the console put before a line."""
_RIP = re.compile(r"\bRIP: (?:\w+:)?(?P<function>[A-Za-z_][\w.]*)\+0x")
_RELEASE = re.compile(r"(?:Not tainted|Tainted: [A-Z ]+(?:\[[^]]*\],? ?)*)\s*(?P<release>\d+\.\d+[\w.+~-]*)")
_KEPT = 12
"""How many lines before a WARN may hold its message."""
_FOLDS = 2
"""How often a mail may fold the line of a WARN."""


class Splats:
    """Finds the WARNs and BUGs of KVM in a log, line by line."""

    def __init__(self) -> None:
        self._before: list[str] = []
        self._cut = False
        self._folded: list[str] = []
        self._open: Splat | None = None
        self.found: list[Splat] = []

    def line(self, text: str) -> None:
        """Read the next line."""
        if "cut here" in text:
            self._cut = True
            self._open = None
        if not self._begin(self._unfolded(text)) and self._open is not None:
            self._add(self._open, text)
        self._before = [*self._before, text][-_KEPT:]

    def _unfolded(self, text: str) -> str:
        """The line, with those before it that begin a WARN and do not have all of it."""
        if _BEGINS.search(text):
            self._folded = []
        elif not self._folded:
            return text
        self._folded.append(_QUOTED.sub("", text.rstrip()) if self._folded else text.rstrip())
        whole = " ".join(self._folded)
        if len(self._folded) > _FOLDS or _match(whole):
            self._folded = []
        return whole

    def _begin(self, text: str) -> bool:
        """Whether the line is that of a WARN or BUG of KVM."""
        match = _match(text)
        if match is None:
            return False
        parts = match.groupdict()
        self._open = Splat(
            plain(parts.get("function") or ""), match["file"], int(match["line"]), match.re is _BUG,
            [*self._before], condition=parts.get("condition") or "", whole=self._cut,
        )  # fmt: skip
        self.found.append(self._open)
        self._before.clear()
        self._cut = False
        return True

    def _add(self, splat: Splat, text: str) -> None:
        """Take from a line after that of a WARN what it says of it."""
        if not splat.function and (rip := _RIP.search(text)):
            splat.function = plain(rip["function"])
        if not splat.release and (release := _RELEASE.search(text)):
            splat.release = release["release"]
        if any(message in text for message in _SPOKEN):
            splat.said.append(text)

    def __iter__(self) -> Iterator[Splat]:
        return iter(self.found)


def _match(text: str) -> re.Match[str] | None:
    return _WARN.search(text) or _NEW_WARN.search(text) or _BUG.search(text)
