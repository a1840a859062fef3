# SPDX-License-Identifier: GPL-2.0-only
"""What the end of a selftest means: a verdict, with the reason or with the last lines of its output.

A selftest ends with 0, or with 4 to be skipped; newer ones also write KTAP, see
Documentation/dev-tools/ktap.rst.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from conformance.differential.verdict import Counterexample, Result, Verdict
from conformance.oracles.lacking import signal_name
from conformance.oracles.live.deaths import LiveDied, warnings
from conformance.selftests.running import Ended

__all__ = ["ENGINE", "MODE", "ORACLE", "died_in", "judged", "skipped"]

ORACLE, ENGINE, MODE = "live", "selftest", "npt"

SHOWN = 24
"""Lines of the output, and of the console, that a report has at the most."""

_SKIPPED = 4
"""KSFT_SKIP of tools/testing/selftests/kselftest.h."""

_SUBTEST = re.compile(r"\s*(?P<failed>not )?ok \d+\b(?P<rest>.*)")
_DIRECTIVE = re.compile(r"# SKIP\b[\s:-]*(?P<reason>.*)", re.IGNORECASE)


def judged(name: str, ended: Ended, seconds: float, again: str) -> Result:
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
        reason = ", ".join(seen.values())
        return _failed(name, reason, seconds, seen, expected, _details(ended.output, ended.console), again)
    if ended.status:
        return skipped(name, _reason(ended.output), seconds)
    left = sum(_DIRECTIVE.search(match["rest"]) is not None for match in subtests)
    counted = f"{len(subtests)} subtests" + (f", {left} of them skipped" if left else "")
    return Result(name, ORACLE, ENGINE, MODE, Verdict.PASS, 1, seconds, counted if subtests else "")


def died_in(name: str, died: LiveDied, seconds: float, again: str) -> Result:
    """The result of a selftest during which the machine ended or fell silent."""
    return _failed(name, died.how, seconds, {}, {}, _details((), died.console), again, crash=died.how)


def skipped(name: str, reason: str, seconds: float = 0.0) -> Result:
    """The result of a selftest that cannot be run here."""
    return Result(name, ORACLE, ENGINE, MODE, Verdict.SKIP, 0, seconds, reason)


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


def _failed(
    name: str,
    reason: str,
    seconds: float,
    seen: dict[str, str],
    expected: dict[str, str],
    details: tuple[str, ...],
    again: str,
    crash: str | None = None,
) -> Result:
    found = Counterexample(
        {}, {}, seen, expected, again, crash=crash, details=details, sides=("kernel", "expected")
    )
    return Result(name, ORACLE, ENGINE, MODE, Verdict.FAIL, 1, seconds, reason, found)
