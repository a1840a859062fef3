# SPDX-License-Identifier: GPL-2.0-only
"""One budget for everything that compares, and a time limit after which what is known is reported."""

from __future__ import annotations

import math
import threading
import time
from types import SimpleNamespace

import pytest
from model_side import KernelLike

from conformance import deadline
from conformance.deadline import Deadline, TimeLimitReached, threads, time_limit
from conformance.differential import run_properties
from conformance.differential.engines import fuzz
from conformance.differential.judging_kernel import Judge
from conformance.differential.properties import PROPERTIES
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.sides import ModelSide
from conformance.differential.verdict import PROVE, KernelReport, Report, Result, Verdict
from conformance.model.changes import WRITABLE_NOT_VOLATILE
from conformance.model.profiles import profile_of
from conformance.review.series_review import UNCONCERNED, Judged, cut_short

SIX_ONE = profile_of((6, 1))


@pytest.fixture
def clock(monkeypatch):
    """The clock of deadlines: it goes on by ``step`` seconds whenever it is read."""
    fake = SimpleNamespace(now=1000.0, step=0.0)

    def monotonic():
        fake.now += fake.step
        return fake.now

    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=monotonic))
    return fake


def judge(budget, oracle_profile=SIX_ONE, only=(), engines=("fuzz", "bulk", "exhaustive")):
    plan = PropertyPlan(only=only, engines=engines, budget=budget, seed=1, profile="ci", modes=("ept-ad",))
    return Judge(plan, KernelLike(SIX_ONE, oracle_profile), ModelSide(SIX_ONE), [], 1)


def status(results):
    return Report([KernelReport("6.1", "6.1", "", results=list(results))], 1).status


def test_what_the_budget_does_not_reach_is_missing_and_no_pass(clock):
    clock.step = 1.0
    results = list(judge(10.0, only=("is_*",)).results())
    missed = {result.property for result in results if result.verdict is Verdict.MISS}
    passed = {result.property for result in results if result.verdict is Verdict.PASS}
    assert passed and missed and not passed & missed
    assert all("the budget of 10 s ended" in r.reason for r in results if r.verdict is Verdict.MISS)
    assert status(results) == 2


def test_an_engine_without_its_turn_is_skipped_where_another_has_compared(clock):
    made = judge(10.0, only=("is_large_pte", "is_writable_pte"))
    results = []
    for result in made.results():
        results.append(result)
        clock.now += 100.0
    assert {result.verdict for result in results} == {Verdict.PASS, Verdict.SKIP}
    assert all("budget" in result.reason for result in results if result.verdict is Verdict.SKIP)


def test_a_budget_that_suffices_leaves_nothing_out(clock):
    made = judge(10.0, only=("is_large_pte",))
    results = []
    for result in made.results():
        results.append(result)
        if result.engine == "exhaustive":
            clock.now += 100.0  # or the bulk engine would go on for ever
    assert {(result.engine, result.verdict) for result in results} == {
        (engine, Verdict.PASS) for engine in ("fuzz", "bulk", "exhaustive")
    }


def test_a_difference_is_reported_though_the_budget_is_over(clock):
    clock.step = 1.0
    other = SIX_ONE.without(WRITABLE_NOT_VOLATILE)
    results = list(judge(6.0, other, ("spte_has_volatile_bits",)).results())
    found = [result for result in results if result.verdict is Verdict.FAIL]
    assert found and found[0].counterexample is not None
    assert status(results) == 1


def test_proofs_end_before_the_budget_does(clock):
    seen = []

    def prove(names, until):
        seen.append((names, until.left))
        clock.now += 1000.0
        yield Result(names[0], "shim", PROVE, "-", Verdict.SKIP, reason="unproved: the budget ended before")

    made = judge(100.0, only=("is_large_pte",), engines=("fuzz", "bulk", PROVE))
    results = list(made.results(prove))
    ((names, left),) = seen
    assert names == ["is_large_pte"] and 0 < left < 100.0
    assert {result.engine for result in results} == {"fuzz", "bulk", PROVE}


def test_fuzz_keeps_what_it_found_when_there_is_no_more_time():
    other = SIX_ONE.without(WRITABLE_NOT_VOLATILE)
    (compared,) = judge(10.0, other)._comparisons(PROPERTIES["spte_has_volatile_bits"])
    left = iter([True] * 200)
    found = fuzz([compared], seed=1, examples=300, more_time=lambda: next(left, False))
    assert found is not None and found[1].left != found[1].right


def test_a_deadline_that_never_comes():
    never = Deadline()
    assert never.left == math.inf and never.more_time() and never.part(0.5) is never


def test_parts_of_what_is_left(clock):
    until = Deadline(100.0)
    clock.now += 20.0
    assert until.part(0.25).left == 20.0
    clock.now += 1000.0
    assert until.left == 0.0 and until.part(0.5).left == 0.0 and not until.more_time()


def test_the_time_limit_ends_whatever_is_under_way():
    with pytest.raises(TimeLimitReached, match=r"the time limit of 0\.05 s ended"), time_limit(0.05):
        time.sleep(60)
    with time_limit(None):
        pass


def test_what_is_known_at_the_time_limit_is_reported(monkeypatch):
    def opens(selector, patches, progress):
        raise TimeLimitReached(3)

    monkeypatch.setattr(run_properties, "open_kernel", opens)
    report = run(PropertyPlan(kernels=("6.1", "6.12"), jobs=1), progress=lambda message: None)
    assert [kernel.error for kernel in report.kernels] == [
        f"{name}: not reached: the time limit of 3 s ended." for name in ("6.1", "6.12")
    ]
    assert report.status == 2


@pytest.mark.parametrize(("verdict", "expected"), [(Verdict.PASS, 2), (Verdict.FAIL, 1)])
def test_results_before_the_time_limit_are_kept(monkeypatch, verdict, expected):
    def judged(selector, plan, seed, progress, advance):
        advance(Result("is_large_pte", "shim", "fuzz", "npt", verdict, 10))
        raise TimeLimitReached(3)

    monkeypatch.setattr(run_properties, "_judge", judged)
    plan = PropertyPlan(kernels=("6.1",), only=("is_large_pte", "is_writable_pte"))
    report = run(plan, progress=lambda message: None)
    told = {result.property: (result.verdict, result.reason) for result in report.kernels[0].results}
    assert told["is_large_pte"][0] is verdict
    assert told["is_writable_pte"] == (Verdict.MISS, "not reached: the time limit of 3 s ended")
    assert report.status == expected


def test_threads_are_not_waited_for_at_the_time_limit():
    stop = threading.Event()
    try:
        with pytest.raises(TimeLimitReached), threads(1) as pool:
            pool.submit(stop.wait, 60)
            raise TimeLimitReached(1)
        assert not stop.is_set()
    finally:
        stop.set()


def test_a_patch_that_the_time_limit_cut_off_could_not_be_judged():
    mail = SimpleNamespace(diff=b"", message_id="")
    parts = [SimpleNamespace(title=f"patch {n}", claim=None, mail=mail) for n in range(3)]
    series = SimpleNamespace(parts=parts, notes=("a note",), incomplete=())
    first = Judged("patch 0", reason=UNCONCERNED)
    told = cut_short(series, "6.1", [first], "not reached: the time limit of 3 s ended")
    assert [one.title for one in told.parts] == ["patch 0", "patch 1", "patch 2"]
    assert told.parts[0] is first and told.parts[2].reason.startswith("not reached")
    assert told.status() == 2
