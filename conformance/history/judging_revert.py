# SPDX-License-Identifier: GPL-2.0-only
"""Judging one revert: the kernel without the fix against the model with it, and against the model without."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.differential.judging_kernel import Judge
from conformance.differential.properties import PROPERTIES
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.sides import ModelSide, OracleSide
from conformance.differential.unjudged import unjudged
from conformance.differential.verdict import Result, Verdict
from conformance.errors import ConformanceError
from conformance.history.extra_stories import EXTRA_STORIES
from conformance.history.fix import Fix, Layer, Means, Revert
from conformance.kernels import BuildError, Cache, Kernel, open_kernel
from conformance.kernels.substitutions import write_patch
from conformance.model.modes import VM_MODES
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.lacking import Lacking
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.races.run_exploration import Exploration, explore_race
from conformance.races.stories import RACES
from conformance.scenarios.comparing import play
from conformance.scenarios.judging_scenario import ENGINE, Facts, again, counterexample
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.sides import KvmSides
from conformance.scenarios.stories import STORIES

__all__ = ["NOTICED", "WITHOUT", "Missing", "counted", "judge", "layer_of", "means_of"]

NOTICED, WITHOUT = "noticed", "without"
"""What a result states: the missing fix was noticed; the model without the fix agrees with the kernel."""
_ENGINES = ("fuzz", "bulk", "exhaustive")
_COUNTED = {Means.PROPERTY: "cases", Means.STORY: "steps", Means.RACE: "schedules"}
_SCHEDULES, _CONTROL = 20_000, 500
"""How many schedules may be run without a fix, and with it."""


@dataclass(frozen=True)
class Missing:
    """What to judge: a fix, the revert that takes it out, the seconds to compare for, and the seed."""

    fix: Fix
    revert: Revert
    budget: float
    seed: int


@dataclass(frozen=True)
class _Compared:
    """A kernel and the profile of the model that it is compared with."""

    kernel: Kernel
    profile: Profile
    patches: tuple[Path, ...]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command line arguments that select this kernel."""
        patches = [word for patch in self.patches for word in ("--patch", str(patch))]
        return ("--kernel", self.kernel.selector, *patches, *self.kernel.compiler.arguments)


def counted(revert: Revert, number: int) -> str:
    """How much was compared, for people: cases of a property, steps of a story, or schedules of a race."""
    return f"{number:,} {_COUNTED[means_of(revert)]}"


def means_of(revert: Revert) -> Means:
    """What must notice the revert."""
    if revert.by in PROPERTIES:
        return Means.PROPERTY
    return Means.RACE if revert.by in RACES else Means.STORY


def layer_of(revert: Revert) -> Layer:
    """The layer at which the revert must be noticed, by what ``by`` names."""
    if means_of(revert) is Means.PROPERTY:
        return Layer.FUNCTION
    if means_of(revert) is Means.RACE:
        return Layer.INTERLEAVING
    steps = {step.kind for step in STORIES[revert.by].script.steps} if revert.by in STORIES else set()
    return Layer.SHADOW if steps & {"set_sregs", "enter_l2"} else Layer.STORY


def judge(missing: Missing) -> list[Result]:
    """Whether the missing fix is noticed, and if the revert is exact, whether the model without it agrees.

    A kernel that can no longer be patched or built is an ERROR.
    """
    fix, revert = missing.fix, missing.revert
    start = time.monotonic()
    try:
        kernel = open_kernel(revert.kernel)
        cache = Cache()
        path = (
            cache.root / "history" / f"{kernel.series}-without-{fix.commit}-{fix.reverts.index(revert)}.patch"
        )
        with cache.writing():
            patch = write_patch(kernel, revert.substitutions, path)
        reverted = _Compared(open_kernel(revert.kernel, (patch,)), profile_of(kernel.release), (patch,))
        noticed = _noticed(missing, _compare(reverted, missing))
        if revert.exact:
            profile = reverted.profile.without(fix.change)
            second = _agrees(missing, _compare(_Compared(reverted.kernel, profile, (patch,)), missing))
        else:
            second = _controlled(missing, _compare(_Compared(kernel, reverted.profile, ()), missing))
    except Lacking as lacking:
        spent = time.monotonic() - start
        return [unjudged(_result(missing, NOTICED, Verdict.ERROR, 0, spent, ""), lacking)]
    except (BuildError, ConformanceError) as error:
        spent = time.monotonic() - start
        return [_result(missing, NOTICED, Verdict.ERROR, 0, spent, str(error))]
    return [noticed, *second]


def _noticed(missing: Missing, found: Result) -> Result:
    """The result of comparing with the model that has the fix: a difference is a PASS."""
    by, compared = missing.revert.by, counted(missing.revert, found.cases)
    if found.verdict is Verdict.ERROR:
        return _about_fix(missing, NOTICED, found, Verdict.ERROR, found.reason)
    if found.verdict is Verdict.FAIL:
        how = f"noticed by the {means_of(missing.revert)} {by}, {found.reason}"
        return _about_fix(missing, NOTICED, found, Verdict.PASS, how)
    return _about_fix(missing, NOTICED, found, Verdict.FAIL, f"not noticed: {by} agrees in {compared}")


def _agrees(missing: Missing, found: Result) -> list[Result]:
    """The result of comparing with the model that lacks the fix as well."""
    if found.verdict is Verdict.PASS:
        reason = f"the model without the fix agrees in {counted(missing.revert, found.cases)}"
        return [_about_fix(missing, WITHOUT, found, Verdict.PASS, reason)]
    return [_about_fix(missing, WITHOUT, found, found.verdict, found.reason, shown=True)]


def _controlled(missing: Missing, found: Result) -> list[Result]:
    """An ERROR if the kernel with the fix differs, too: then the difference is not due to the revert."""
    if found.verdict is Verdict.PASS:
        return []
    reason = f"{missing.revert.by} differs with the fix in place as well: {found.reason}"
    return [_about_fix(missing, NOTICED, found, Verdict.ERROR, reason)]


def _compare(side: _Compared, missing: Missing) -> Result:
    """A FAIL with the first difference found by what must notice, or a PASS with the number of cases."""
    means = means_of(missing.revert)
    if means is Means.PROPERTY:
        return _by_property(side, missing)
    return (_by_race if means is Means.RACE else _by_story)(side, missing.revert)


def _by_race(side: _Compared, revert: Revert) -> Result:
    """A FAIL if some schedule violates an invariant."""
    start = time.monotonic()
    library = build_kvm(side.kernel, Cache(), lambda line: None, racing=True)
    limit = _SCHEDULES if side.patches else _CONTROL
    outcome = explore_race(Exploration(revert.by, revert.mode, side.profile, library, limit=limit))
    violation, spent = outcome.violation, time.monotonic() - start
    place = revert.by, "kvm", "-", revert.mode
    if outcome.lacking is not None:
        raise outcome.lacking
    if outcome.trouble:
        return Result(*place, Verdict.ERROR, 0, spent, outcome.trouble)
    schedules = outcome.explored.schedules
    if violation is None:
        return Result(*place, Verdict.PASS, schedules, spent)
    how = f"which violates '{violation.invariant}': {violation.how}"
    return Result(*place, Verdict.FAIL, schedules, spent, how)


def _by_property(side: _Compared, missing: Missing) -> Result:
    name, mode = missing.revert.by, missing.revert.mode
    plan = PropertyPlan(
        kernels=(side.kernel.selector,),
        patches=side.patches,
        only=(name,),
        engines=_ENGINES,
        modes=(mode,),
        budget=missing.budget,
        seed=missing.seed,
        profile="ci",
    )
    library = build_shim(side.kernel, Cache(), lambda line: None)
    start, cases = time.monotonic(), 0
    with ShimOracle(library) as oracle:
        kernel, model = OracleSide(oracle, side.profile), ModelSide(side.profile)
        for result in Judge(plan, kernel, model, side.arguments, missing.seed).results():
            cases += result.cases
            if result.verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.MISS):
                return result
    spent = time.monotonic() - start
    if cases == 0:
        return Result(name, "shim", "-", mode, Verdict.ERROR, 0, spent, f"{name} compared nothing")
    return Result(name, "shim", "-", mode, Verdict.PASS, cases, spent)


def _by_story(side: _Compared, revert: Revert) -> Result:
    script = EXTRA_STORIES[revert.by] if revert.by in EXTRA_STORIES else STORIES[revert.by].script
    library = build_kvm(side.kernel, Cache(), lambda line: None, tdp_mmu=revert.mode in TDP_MODES)
    sides = KvmSides(library, side.profile, VM_MODES[revert.mode])
    start = time.monotonic()
    played = play(sides, script)
    spent, steps = time.monotonic() - start, len(played.kernel)
    if played.difference is None:
        return Result(revert.by, "kvm", ENGINE, revert.mode, Verdict.PASS, steps, spent)
    shown = counterexample(sides, script, played, _again(side, revert))
    place = f"in step {played.difference.at + 1} of {len(script.steps)}"
    return Result(revert.by, "kvm", ENGINE, revert.mode, Verdict.FAIL, steps, spent, place, shown)


def _again(side: _Compared, revert: Revert) -> str:
    """The command that plays the story again; a story for one fix is played by ``history`` only."""
    if revert.by in EXTRA_STORIES:
        return f"conformance history --kernel {side.kernel.selector} --only {revert.by}"
    facts = Facts(side.kernel.series, side.kernel.version, side.arguments)
    return again(facts, ["scenario", "run", revert.by, "--mode", revert.mode])


def _about_fix(
    missing: Missing, what: str, found: Result, verdict: Verdict, reason: str, *, shown: bool = False
) -> Result:
    """The result of a comparison as one about the fix; ``shown``: with the counterexample."""
    made = _result(missing, what, verdict, found.cases, found.seconds, reason)
    return replace(made, counterexample=found.counterexample) if shown else made


def _result(missing: Missing, what: str, verdict: Verdict, cases: int, seconds: float, reason: str) -> Result:
    oracle = "shim" if layer_of(missing.revert) is Layer.FUNCTION else "kvm"
    return Result(missing.fix.commit, oracle, what, missing.revert.mode, verdict, cases, seconds, reason)
