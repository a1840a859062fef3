# SPDX-License-Identifier: GPL-2.0-only
"""What the suite lacks is no difference: status 2, and one sentence for all the stories that it stops."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from model_sides import ModelSides

from conformance.differential.unjudged import once, unjudged
from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.kernels import Kernel
from conformance.kernels.substitutions import TDP_C, Substitution, unified_diff, write_patch
from conformance.oracles.lacking import Lacking
from conformance.reports import json as json_report
from conformance.reports import junit, ktap
from conformance.scenarios import run_lockstep
from conformance.scenarios.judging_scenario import Facts, judge
from conformance.scenarios.lockstep import walk
from conformance.scenarios.run_scenarios import ScenarioPlan, run
from conformance.scenarios.stories import STORIES
from conformance.scenarios.walks import WALKS

FACTS = Facts(None, "6.1.1-1", ("--kernel", "6.1"))
TODO = "It is to be added."
SENTENCE = "nothing stands in for foo, which bar wants"


def lacks_in(step: str):
    def lie(name, seen) -> None:
        if name == step:
            raise Lacking("nothing stands in for foo", ", which bar wants", TODO)

    return lie


def test_a_story_that_ends_in_a_lack_is_not_judged() -> None:
    script = STORIES["unmap_one_page"].script
    result = judge(ModelSides(lie=lacks_in("madvise_dontneed")), "a_story", script, FACTS, golden=False)
    assert (result.verdict, result.counterexample) == (Verdict.ERROR, None)
    assert result.reason == f"{SENTENCE}. {TODO}"


def test_random_steps_end_in_a_lack_and_say_how_far_they_came() -> None:
    walked = walk(ModelSides(lie=lacks_in("madvise_dontneed")), WALKS["ept-ad"], seed=5, budget=20)
    assert walked.found is None and walked.lacking is not None and walked.steps.total() > 0


def test_a_lack_is_named_once_for_all_that_it_stops() -> None:
    def stopped(name: str, mode: str, where: str = "bar") -> Result:
        result = Result(name, "kvm", "story", mode, Verdict.ERROR, 3)
        return unjudged(result, Lacking("nothing stands in for foo", f", which {where} wants", TODO))

    passed = Result("fine", "kvm", "story", "npt", Verdict.PASS, 9)
    found = once([stopped("a", "npt"), passed, stopped("b", "npt"), stopped("a", "ept-ad", "baz")], "stories")
    assert found[0] == passed and len(found) == 2
    assert (found[1].property, found[1].mode, found[1].verdict, found[1].cases) == (
        "stories",
        "-",
        Verdict.ERROR,
        9,
    )
    assert found[1].reason == f"{SENTENCE}: 2 stories in npt, ept-ad could not be judged. {TODO}"
    (alone,) = once([stopped("a", "npt")], "stories")
    assert (alone.property, alone.mode) == ("a", "npt")
    assert alone.reason == f"{SENTENCE}: a in npt could not be judged. {TODO}"
    kernel = KernelReport("6.1", "6.1", "6.1.1-1", results=found)
    assert Report([kernel], None).status == 2


def planted(kernel: Kernel, directory: Path, call: str) -> Path:
    """A patch with which every fault calls something."""
    place = "\tkvm_mmu_hugepage_adjust(vcpu, fault);\n"
    with_call = Substitution(TDP_C, place, place + f"\t{call}\n")
    return write_patch(kernel, [with_call], directory / "planted.patch")


@pytest.mark.kernel
def test_a_missing_stand_in_is_status_2_in_every_report(kernel: Kernel, tmp_path: Path) -> None:
    patch = planted(kernel, tmp_path, "vm_munmap(0, 0);")
    modes = ("ept-ad", "ept-noad", "npt")
    plan = ScenarioPlan(kernels=(kernel.selector,), patches=(patch,), names=("first_*",), modes=modes)
    report = run(plan, progress=lambda line: None)
    if report.kernels[0].unreached:
        pytest.skip(report.kernels[0].unreached)
    assert report.status == 2 and report.summary["FAIL"] == 0
    (stopped,) = (result for result in report.kernels[0].results if result.verdict is Verdict.ERROR)
    sentence = (
        r"nothing stands in for vm_munmap, which kvm_tdp_mmu_map wants: 3 stories in ept-ad, ept-noad, npt"
        r" could not be judged\. It is to be added"
    )
    assert re.match(sentence, stopped.reason)
    results = {
        json_report.render: '"property": "stories"',
        junit.render: 'classname="conformance.kvm.stories"',
        ktap.render: "not ok 1 stories # ERROR nothing stands in for vm_munmap",
    }
    for render, words in results.items():
        assert render(report).count(words) == 1 and "first_" not in render(report), render(report)
    assert json.loads(json_report.render(report))["summary"]["FAIL"] == 0
    outcome = run_lockstep.run(
        run_lockstep.LockstepPlan(
            kernels=(kernel.selector,), patches=(patch,), modes=modes, budget=6, seed=1
        ),
        progress=lambda line: None,
    )
    assert outcome.report.status == 2
    (walked,) = outcome.report.kernels[0].results
    assert "vm_munmap" in walked.reason and "lockstep in ept-ad, ept-noad, npt could not be" in walked.reason


RENAMED = {
    "system_wq": "system_bikeshed_wq",
    "mod_node_page_state": "mod_bikeshed_page_state",
    "mmap_lock_start_locking": "mmap_lock_bikeshed_locking",
    "__percpu_counter_init": "__percpu_counter_init_bikeshed",
    "__srcu_read_lock": "__srcu_read_lock_bikeshed",
}
"""As another kernel might call a workqueue, a counter of pages, a tracepoint, a counter of CPUs, a reader."""


@pytest.mark.kernel
@pytest.mark.slow
def test_a_kernel_with_other_names_is_judged(tmp_path: Path) -> None:
    from conformance.kernels import Cache, open_kernel
    from conformance.oracles.kvm.build import build_kvm

    before = open_kernel("6.1")
    words = re.compile(rf"\b(trace_|__tracepoint_)?({'|'.join(RENAMED)})\b")
    texts = {}
    for path in sorted((before.root / "src").rglob("*.[ch]")):
        text = path.read_text(errors="surrogateescape")
        after = words.sub(lambda found: (found[1] or "") + RENAMED[found[2]], text)
        if after != text and "/lib/" not in str(path):
            texts[str(path.relative_to(before.root / "src"))] = text, after
    patch = tmp_path / "renamed.patch"
    patch.write_text(unified_diff(texts), errors="surrogateescape")
    library = build_kvm(open_kernel("6.1", [patch]), Cache(), lambda line: None)
    undefined = set(library.with_name("undefined").read_text().split())
    assert undefined >= {"system_bikeshed_wq", "mod_bikeshed_page_state", "__srcu_read_lock_bikeshed"}
    assert "__tracepoint_mmap_lock_bikeshed_locking" in undefined and not undefined & set(RENAMED)
    plan = ScenarioPlan(kernels=("6.1",), patches=(patch,), names=("first_write", "reader_across_tables"))
    report = run(plan, progress=lambda line: None)
    assert report.status == 0, [result.reason for result in report.kernels[0].results]
