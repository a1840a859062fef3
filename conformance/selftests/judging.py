# SPDX-License-Identifier: GPL-2.0-only
"""What the end of a selftest means: a verdict, with the reason or with the last lines of its output.

A selftest ends with 0, or with 4 to be skipped; newer ones also write KTAP, see
Documentation/dev-tools/ktap.rst.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from conformance.differential.verdict import Counterexample, Result, Verdict
from conformance.oracles.lacking import signal_name
from conformance.oracles.live.deaths import LiveDied, warnings
from conformance.selftests.running import Ended

__all__ = ["Run", "died_in", "error", "judged", "missed", "skipped"]

ORACLE, ENGINE = "live", "selftest"

SHOWN = 24
"""Lines of the output, and of the console, that a report has at the most."""

_SIDES = ("kernel", "expected")

_SKIPPED = 4
"""KSFT_SKIP of tools/testing/selftests/kselftest.h."""

_SUBTEST = re.compile(r"\s*(?P<failed>not )?ok \d+\b(?P<rest>.*)")
_DIRECTIVE = re.compile(r"# SKIP\b[\s:-]*(?P<reason>.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Run:
    """A selftest in a mode, and the command that repeats it."""

    name: str
    mode: str
    again: str = ""


def judged(run: Run, ended: Ended) -> Result:
    """The result of a selftest that ended."""
    subtests = [match for line in ended.output if (match := _SUBTEST.fullmatch(line)) is not None]
    failed = [match for match in subtests if match["failed"]]
    warned = ", ".join(warnings("\n".join(ended.console)))
    seen, expected = {}, {}
    if ended.status not in (0, _SKIPPED):
        seen["selftest"], expected["selftest"] = _how(ended.status), _how(0)
    elif failed:
        seen["selftest"] = f"{len(failed)} of {len(subtests)} subtests failed"
        expected["selftest"] = "no subtest failed"
    if warned:
        seen["kernel's log"], expected["kernel's log"] = warned, "no warning"
    if seen:
        details = _details(ended.output, ended.console)
        found = Counterexample({}, {}, seen, expected, run.again, details=details, sides=_SIDES)
        return _result(run, Verdict.FAIL, ", ".join(seen.values()), 1, found)
    if ended.status:
        return skipped(run, _reason(ended.output))
    left = sum(_DIRECTIVE.search(match["rest"]) is not None for match in subtests)
    counted = f"{len(subtests)} subtests" + (f", {left} of them skipped" if left else "")
    return _result(run, Verdict.PASS, counted if subtests else "", 1)


def died_in(run: Run, died: LiveDied) -> Result:
    """The result of a selftest during which the machine ended or fell silent."""
    details = _details((), died.console)
    found = Counterexample({}, {}, {}, {}, run.again, crash=died.how, details=details, sides=_SIDES)
    return _result(run, Verdict.FAIL, died.how, 1, found)


def skipped(run: Run, reason: str) -> Result:
    """The result of a selftest that cannot be run here."""
    return _result(run, Verdict.SKIP, reason)


def missed(run: Run, reason: str) -> Result:
    """The result of a selftest that was to be run and was not."""
    return _result(run, Verdict.MISS, reason)


def error(run: Run) -> Result:
    """The result of a selftest that could not be judged."""
    return _result(run, Verdict.ERROR)


def _result(
    run: Run, verdict: Verdict, reason: str = "", cases: int = 0, found: Counterexample | None = None
) -> Result:
    return Result(run.name, ORACLE, ENGINE, run.mode, verdict, cases, 0.0, reason, found)


def _reason(output: Sequence[str]) -> str:
    """Why a selftest skipped itself, in its own words."""
    reasons = [match["reason"] for line in output if (match := _DIRECTIVE.search(line)) is not None]
    said = next(filter(None, [*reasons, *reversed(output)]), "it gives no reason")
    return f"the selftest skips itself: {said}"


def _how(status: int) -> str:
    return f"died of {signal_name(-status)}" if status < 0 else f"ended with status {status}"


def _details(output: Sequence[str], console: Sequence[str]) -> tuple[str, ...]:
    """The last lines of the output, then of the kernel's log."""
    return (*output[-SHOWN:], *(f"kernel: {line}" for line in console[-SHOWN:]))
