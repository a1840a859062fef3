# SPDX-License-Identifier: GPL-2.0-only
"""A run through history without kernels: what is selected, how it is scored, how it is shown."""

from __future__ import annotations

import io
from concurrent.futures import Future
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from conformance.differential.verdict import Result, Verdict
from conformance.errors import ConformanceError
from conformance.history import FIXES, UNDETECTED, Layer, run_reverts
from conformance.history.fix import Means
from conformance.history.judging_revert import NOTICED, WITHOUT, layer_of, means_of
from conformance.history.run_reverts import HistoryPlan, run
from conformance.kernels import BuildError
from conformance.reports.history import show
from conformance.reports.terminal import Screen

XCHG = "ba3a6120a4e7"


@pytest.fixture
def judged(monkeypatch):
    """Replaces building and comparing: every fix is noticed unless it is among ``judged.quiet``."""
    made = SimpleNamespace(asked=[], quiet=set(), unbuilt=set(), disagreeing=set())

    def judge(missing):
        made.asked.append((missing.fix.commit, missing.revert.kernel, missing.revert.by))
        commit, mode = missing.fix.commit, missing.revert.mode
        verdict = Verdict.FAIL if commit in made.quiet else Verdict.PASS
        results = [Result(commit, "shim", NOTICED, mode, verdict, 10, reason="a reason")]
        if missing.revert.exact:
            verdict = Verdict.FAIL if commit in made.disagreeing else Verdict.PASS
            results.append(Result(commit, "shim", WITHOUT, mode, verdict, 10))
        return results

    def submit(function, missing):
        future = Future()
        future.set_result(judge(missing))
        return future

    def open_kernel(selector, *, progress):
        if selector in made.unbuilt:
            raise BuildError(f"{selector} is not to be had.")
        compiler = SimpleNamespace(text="gcc 12.2.0")
        return SimpleNamespace(
            selector=selector,
            title=selector,
            version=f"{selector}.1-1",
            release=tuple(map(int, selector.split("."))),
            drift=None,
            notes=(),
            compiler=compiler,
            commit="",
            patches=(),
            fingerprint=selector,
        )

    monkeypatch.setattr(run_reverts, "open_kernel", open_kernel)
    monkeypatch.setattr(run_reverts, "workers", lambda jobs: nullcontext(SimpleNamespace(submit=submit)))
    return made


def go(**plan):
    return run(HistoryPlan(**plan), progress=lambda line: None)


def shown(history) -> str:
    stream = io.StringIO()
    console = Screen(stream)
    console.width = 120
    show(history, console)
    return stream.getvalue()


def test_everything_is_taken_out_once(judged):
    history = go()
    taken_out = [(fix.commit, revert.kernel, revert.by) for fix in FIXES for revert in fix.reverts]
    assert sorted(judged.asked) == sorted(taken_out)
    assert history.report.status == 0
    assert history.undetected == UNDETECTED


def test_the_score_counts_reverts_per_layer_and_undetected_fixes(judged):
    judged.quiet.add(XCHG)
    scores = go().scores
    planted = [revert for fix in FIXES for revert in fix.reverts if layer_of(revert) is Layer.FUNCTION]
    unnoticed = sum(len(fix.reverts) for fix in FIXES if fix.commit == XCHG)
    assert scores[Layer.FUNCTION].planted == len(planted)
    assert scores[Layer.FUNCTION].noticed == len(planted) - unnoticed
    raced = [revert for fix in FIXES for revert in fix.reverts if layer_of(revert) is Layer.INTERLEAVING]
    assert scores[Layer.INTERLEAVING].planted == len(raced)
    assert scores[Layer.INTERLEAVING].undetected == sum(fix.layer is Layer.INTERLEAVING for fix in UNDETECTED)


def test_the_score_lists_by_what_reverts_were_noticed(judged):
    judged.quiet.add(XCHG)
    history = go()
    reverts = [revert for fix in FIXES if fix.commit != XCHG for revert in fix.reverts]
    assert history.means == {means: sum(means_of(one) is means for one in reverts) for means in Means}
    assert min(history.means.values()) > 0
    text = shown(history)
    for means, number in history.means.items():
        assert f"{number} by a {means}" in text
    assert "story linked_again" in text and "race two_tables_unsync_at_once" in text


def test_one_that_was_not_noticed_is_status_1(judged):
    judged.quiet.add(XCHG)
    history = go()
    assert history.report.status == 1
    text = shown(history)
    assert "FAIL" in text and "nothing" in text
    assert "Use atomic XCHG to write TDP MMU SPTEs with volatile bits" in text


def test_a_model_that_does_not_agree_without_the_fix_is_status_1(judged):
    judged.disagreeing.add(XCHG)
    history = go(only=(XCHG,))
    assert history.report.status == 1 and "differs" in shown(history)
    assert history.scores[Layer.FUNCTION].noticed == history.scores[Layer.FUNCTION].planted


def test_a_kernel_that_is_not_to_be_had_is_status_2(judged):
    judged.unbuilt.add("6.12")
    history = go()
    assert history.report.status == 2 and not any(kernel == "6.12" for _, kernel, _ in judged.asked)
    assert "6.12 is not to be had" in shown(history)


@pytest.mark.parametrize(
    ("given", "commits"),
    [
        ({"only": (XCHG,)}, {XCHG}),
        ({"only": ("kvm_tdp_mmu_write_*",)}, {XCHG}),
        ({"only": ("zap_while_yielding",)}, {"3a0f64de479c"}),
        ({"only": ("kvm_tdp_mmu_write_spte",), "kernels": ("6.12",)}, set()),
    ],
)
def test_only_and_kernel_restrict(judged, given, commits):
    if not commits:
        with pytest.raises(ConformanceError, match="no fix"):
            go(**given)
        return
    history = go(**given)
    assert {fix for fix, _, _ in judged.asked} == commits
    assert {outcome.fix.commit for outcome in history.outcomes} == commits


def test_undetected_fixes_are_shown_with_their_reason_and_are_no_failure(judged):
    history = go(kernels=("6.1",))
    text = shown(history)
    for fix in UNDETECTED:
        assert str(fix.change) in text and fix.reason in text
    skipped = [row for kernel in history.report.kernels for row in kernel.results if row.mode == "-"]
    assert {row.verdict for row in skipped} == {Verdict.SKIP}
    undetected = sum(fix.layer is Layer.INTERLEAVING for fix in UNDETECTED)
    assert f"detected, {undetected} cannot be detected" in text


def test_an_undetected_fix_can_be_selected_alone(judged):
    history = go(only=(UNDETECTED[0].change.commit,))
    assert not history.outcomes and UNDETECTED[0].reason in shown(history)


def test_unknown_names_are_a_sentence(judged):
    with pytest.raises(ConformanceError, match="no fix is called nonsense"):
        go(only=("nonsense",))
    with pytest.raises(ConformanceError, match=r"no fix can be taken out of 9\.9"):
        go(kernels=("9.9",))
