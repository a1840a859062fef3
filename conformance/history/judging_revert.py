# SPDX-License-Identifier: GPL-2.0-only
"""Judging one revert: the kernel without the fix against the model with it, and against the model without."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.differential.judging_kernel import Judge
from conformance.differential.properties import PROPERTIES
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.unjudged import unjudged
from conformance.differential.verdict import Result, Verdict
from conformance.errors import ConformanceError
from conformance.history.extra_stories import TOLD
from conformance.history.fix import Fix, Layer, Revert
from conformance.kernels import BuildError, Cache, Kernel, open_kernel
from conformance.kernels.substitutions import write_patch
from conformance.model.modes import MODES
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.lacking import Lacking
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.scenarios.comparing import play
from conformance.scenarios.judging_scenario import ENGINE, Facts, again, counterexample
from conformance.scenarios.sides import KvmArena
from conformance.scenarios.stories import STORIES

__all__ = ["NOTICED", "WITHOUT", "Missing", "counted", "judge", "layer_of"]

NOTICED, WITHOUT = "noticed", "without"
"""What a result is about: a missing fix is noticed; the model without it agrees again."""
_ENGINES = ("fuzz", "bulk", "exhaustive")


@dataclass(frozen=True)
class Missing:
    """What to judge: a fix, the revert that takes it out, and how long and from which seed to compare."""

    fix: Fix
    revert: Revert
    budget: float
    seed: int


@dataclass(frozen=True)
class _Side:
    """A kernel beside a profile: what their comparison by one property or story comes to."""

    kernel: Kernel
    profile: Profile
    patches: tuple[Path, ...]

    @property
    def arguments(self) -> tuple[str, ...]:
        """Those of the command line that choose this kernel."""
        patches = [word for patch in self.patches for word in ("--patch", str(patch))]
        return ("--kernel", self.kernel.selector, *patches, *self.kernel.compiler.arguments)


def counted(revert: Revert, number: int) -> str:
    """How much was compared: cases of a property, steps of a story."""
    return f"{number:,} {'cases' if layer_of(revert) is Layer.FUNCTION else 'steps'}"


def layer_of(revert: Revert) -> Layer:
    """What notices the revert: a property is of single functions, all else is a story."""
    return Layer.FUNCTION if revert.by in PROPERTIES else Layer.STORY


def judge(missing: Missing) -> list[Result]:
    """Whether the missing fix is noticed, and if the revert is exact, whether the model without it agrees.

    A kernel that cannot be patched or built any more is an ERROR.
    """
    fix, revert = missing.fix, missing.revert
    start = time.monotonic()
    try:
        kernel = open_kernel(revert.kernel)
        cache = Cache()
        path = cache.root / "history" / f"{kernel.series}-without-{fix.commit}-{revert.by}.patch"
        with cache.writing():
            patch = write_patch(kernel, revert.substitutions, path)
        reverted = _Side(open_kernel(revert.kernel, (patch,)), profile_of(kernel.release), (patch,))
        noticed = _noticed(missing, _compare(reverted, missing))
        if revert.exact:
            profile = reverted.profile.without(fix.change)
            second = _agrees(missing, _compare(_Side(reverted.kernel, profile, (patch,)), missing))
        else:
            second = _controlled(missing, _compare(_Side(kernel, reverted.profile, ()), missing))
    except Lacking as lacking:
        spent = time.monotonic() - start
        return [unjudged(_result(missing, NOTICED, Verdict.ERROR, 0, spent, ""), lacking)]
    except (BuildError, ConformanceError) as error:
        spent = time.monotonic() - start
        return [_result(missing, NOTICED, Verdict.ERROR, 0, spent, str(error))]
    return [noticed, *second]


def _noticed(missing: Missing, found: Result) -> Result:
    """What the comparison with the model that has the fix means: a difference is what is wanted."""
    by, compared = missing.revert.by, counted(missing.revert, found.cases)
    if found.verdict is Verdict.ERROR:
        return _retold(missing, NOTICED, found, Verdict.ERROR, found.reason)
    if found.verdict is Verdict.FAIL:
        return _retold(missing, NOTICED, found, Verdict.PASS, f"noticed by {by}, {found.reason}")
    return _retold(missing, NOTICED, found, Verdict.FAIL, f"nobody noticed: {by} agrees in {compared}")


def _agrees(missing: Missing, found: Result) -> list[Result]:
    """What the comparison with the model that lacks the fix, too, comes to."""
    if found.verdict is Verdict.PASS:
        reason = f"the model without the fix agrees in {counted(missing.revert, found.cases)}"
        return [_retold(missing, WITHOUT, found, Verdict.PASS, reason)]
    return [_retold(missing, WITHOUT, found, found.verdict, found.reason, told=True)]


def _controlled(missing: Missing, found: Result) -> list[Result]:
    """A difference proves nothing if it is there with the fix in place, too."""
    if found.verdict is Verdict.PASS:
        return []
    reason = f"{missing.revert.by} differs with the fix in place, too: {found.reason}"
    return [_retold(missing, NOTICED, found, Verdict.ERROR, reason)]


def _compare(side: _Side, missing: Missing) -> Result:
    """The first difference between the two by what must notice, or a PASS with the number of cases."""
    by_property = missing.revert.by in PROPERTIES
    return _by_property(side, missing) if by_property else _by_story(side, missing.revert)


def _by_property(side: _Side, missing: Missing) -> Result:
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
        for result in Judge(plan, side.profile, oracle, side.arguments, missing.seed).results():
            cases += result.cases
            if result.verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.MISS):
                return result
    spent = time.monotonic() - start
    if cases == 0:
        return Result(name, "shim", "-", mode, Verdict.ERROR, 0, spent, f"{name} compared nothing")
    return Result(name, "shim", "-", mode, Verdict.PASS, cases, spent)


def _by_story(side: _Side, revert: Revert) -> Result:
    script = TOLD[revert.by] if revert.by in TOLD else STORIES[revert.by].script
    library = build_kvm(side.kernel, Cache(), lambda line: None)
    arena = KvmArena(library, side.profile, MODES[revert.mode])
    start = time.monotonic()
    played = play(arena, script)
    spent, steps = time.monotonic() - start, len(played.kernel)
    if played.difference is None:
        return Result(revert.by, "kvm", ENGINE, revert.mode, Verdict.PASS, steps, spent)
    told = counterexample(arena, script, played, _again(side, revert))
    place = f"in step {played.difference.at + 1} of {len(script.steps)}"
    return Result(revert.by, "kvm", ENGINE, revert.mode, Verdict.FAIL, steps, spent, place, told)


def _again(side: _Side, revert: Revert) -> str:
    """The command that plays it again; a story of this room's is only told here."""
    if revert.by in TOLD:
        return f"conformance history --kernel {side.kernel.selector} --only {revert.by}"
    facts = Facts(side.kernel.series, side.kernel.version, side.arguments)
    return again(facts, ["scenario", "run", revert.by, "--mode", revert.mode])


def _retold(
    missing: Missing, what: str, found: Result, verdict: Verdict, reason: str, *, told: bool = False
) -> Result:
    """A comparison's result as one about the fix; ``told``: with the difference, where none was wanted."""
    made = _result(missing, what, verdict, found.cases, found.seconds, reason)
    return replace(made, counterexample=found.counterexample) if told else made


def _result(missing: Missing, what: str, verdict: Verdict, cases: int, seconds: float, reason: str) -> Result:
    oracle = "shim" if layer_of(missing.revert) is Layer.FUNCTION else "kvm"
    return Result(missing.fix.commit, oracle, what, missing.revert.mode, verdict, cases, seconds, reason)
