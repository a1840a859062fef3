# SPDX-License-Identifier: GPL-2.0-only
"""Judge one scenario in one mode on one kernel: both sides, its claims, its golden transcript."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass

from conformance.differential.unjudged import unjudged
from conformance.differential.verdict import Counterexample, Result, Verdict
from conformance.errors import ConformanceError
from conformance.interface.options import unusual
from conformance.kernels.releases import release_numbers
from conformance.model.profiles import profile_of
from conformance.oracles.lacking import Lacking
from conformance.scenarios import goldens
from conformance.scenarios.comparing import Difference, Incomparable, Played, Sides, check_claims, play
from conformance.scenarios.goldens import Golden
from conformance.scenarios.shrinking import shorten
from conformance.scenarios.story import Claim, Script
from conformance.scenarios.transcript import transcript

__all__ = ["ENGINE", "Facts", "again", "counterexample", "golden_of", "judge"]

ENGINE = "story"
SHOWN = 40
"""Lines of a diff or of a transcript that a report shows at the most."""


@dataclass(frozen=True)
class Facts:
    """The series (None: it has no golden transcripts), version and command line arguments of a kernel."""

    series: str | None
    version: str
    arguments: tuple[str, ...]


def judge(sides: Sides, name: str, script: Script, facts: Facts, *, golden: bool) -> Result:
    """Play a scenario and judge it. ``golden``: its transcript must equal the golden one, too."""
    start = time.monotonic()
    try:
        played = play(sides, script)
    except ValueError as problem:
        spent = time.monotonic() - start
        reason = f"has an impossible step: {problem}"
        return Result(name, sides.oracle, ENGINE, sides.mode.name, Verdict.ERROR, 0, spent, reason)
    except Incomparable as why:
        spent = time.monotonic() - start
        return Result(name, sides.oracle, ENGINE, sides.mode.name, Verdict.SKIP, 0, spent, str(why))
    except Lacking as lacking:
        spent = time.monotonic() - start
        return unjudged(Result(name, sides.oracle, ENGINE, sides.mode.name, Verdict.ERROR, 0, spent), lacking)
    compared = len(played.kernel)

    def result(verdict: Verdict, reason: str, found: Counterexample | None = None) -> Result:
        spent = time.monotonic() - start
        return Result(name, sides.oracle, ENGINE, sides.mode.name, verdict, compared, spent, reason, found)

    command = again(facts, ["scenario", "run", name, "--mode", sides.mode.name])
    if played.difference is not None:
        short, shown = shorten(sides, script, played.difference)
        place = f"step {played.difference.at + 1} of {len(script.steps)}, shortened to {len(short.steps)}"
        return result(Verdict.FAIL, place, counterexample(sides, short, shown, command))
    claims = script.claims_of(sides.k.profile)
    found = check_claims(sides, claims, played.kernel)
    if found.broken is not None:
        place = f"a claim after step {found.broken.after + 1} of {len(script.steps)}"
        return result(Verdict.FAIL, place, _broken(script, found.broken, command))
    reason = f"{len(script.steps)} steps agree, {found.holding} claims hold"
    if found.unseen:
        reason += f", {found.unseen} could not be looked at"
    if golden and facts.series is not None:
        try:
            seen = golden_of(sides, name, script, played, facts)
            blessed, changed, drift = seen.blessed(), goldens.difference(seen), seen.drift()
        except ConformanceError as damaged:
            return result(Verdict.ERROR, str(damaged))
        if blessed is None:
            todo = f"conformance scenario bless {name}"
            return result(Verdict.ERROR, f"there is no golden transcript yet; `{todo}` writes it")
        if changed and drift and profile_of(release_numbers(drift)).changes != sides.k.profile.changes:
            unlike = f"not compared with its golden transcript: that is of {drift}, which has other changes"
            return result(Verdict.PASS, f"{reason}; {unlike}")
        if changed:
            place = "kernel and model agree, but no longer with the golden transcript"
            return result(Verdict.FAIL, place, _unlike_golden(script, changed, command))
        reason += f"; its golden transcript is of {drift}" if drift else ""
    return result(Verdict.PASS, reason)


def golden_of(sides: Sides, name: str, script: Script, played: Played, facts: Facts) -> Golden:
    """The transcript of a run that passed, as a golden file."""
    body = transcript(sides.k, script.steps, played.kernel)
    claims = script.claims_of(sides.k.profile)
    holding = [f"claim    step {claim.after + 1}: {claim.sentence}" for claim in claims]
    verdict = f"PASS     kernel and model agree in {len(script.steps)} steps, {len(holding)} claims hold"
    assert facts.series is not None
    return Golden(name, facts.series, sides.mode.name, facts.version, (*body, "", *holding, verdict))


def again(facts: Facts, command: Sequence[str]) -> str:
    """The command that reproduces it."""
    return shlex.join(["conformance", *command, *facts.arguments])


def counterexample(sides: Sides, script: Script, played: Played, command: str) -> Counterexample:
    """The counterexample of a difference: the steps that lead to it, and the facts that differ.

    If the kernel died or complained, it has the end of the transcript too.
    """
    found = played.difference or Difference(0, ())
    details: list[str] = []
    if found.crash is not None or any(name == "events" for name, *_ in found.facts):
        details = transcript(sides.k, script.steps, played.kernel)[-SHOWN:]
    details += found.console
    return Counterexample(
        inputs={},
        decoded={},
        kernel={name: kernel for name, kernel, _ in found.facts},
        model={name: model for name, _, model in found.facts},
        again=command,
        crash=found.crash,
        steps=(*unusual(script.options), *map(str, script.steps)),
        details=tuple(details),
    )


def _broken(script: Script, claim: Claim, command: str) -> Counterexample:
    steps = (*unusual(script.options), *map(str, script.steps[: claim.after + 1]))
    seen, claimed = {claim.sentence: "does not hold"}, {claim.sentence: "holds"}
    return Counterexample({}, {}, seen, claimed, command, steps=steps, sides=("kernel", "claim"))


def _unlike_golden(script: Script, changed: list[str], command: str) -> Counterexample:
    more = [f"... and {len(changed) - SHOWN} lines more"] if len(changed) > SHOWN else []
    sides = ({"transcript": "as it is now"}, {"transcript": "as it was blessed"})
    details = (*changed[:SHOWN], *more)
    return Counterexample({}, {}, *sides, command, details=details, sides=("now", "golden"))
