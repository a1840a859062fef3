# SPDX-License-Identifier: GPL-2.0-only
"""Known faults of kernels: stories show them on the kernels that lack the fix, and reports name them."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from conformance.differential.verdict import Finding, KernelReport, Report, Result, Verdict
from conformance.history import run_reverts
from conformance.model.changes import NESTED_ROOTS_KEPT, Change
from conformance.model.modes import VM_MODES
from conformance.model.profiles import profile_of
from conformance.reports import json as as_json
from conformance.reports.mail import render as as_mail
from conformance.reports.terminal import Screen, show
from conformance.scenarios import findings
from conformance.scenarios.comparing import Death, Match, play
from conformance.scenarios.ready import Ready, prepare
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Fault

PROFILE = profile_of((6, 12, 107))
STORY = STORIES["nested_root_is_also_a_child"]
FAULTS = [
    pytest.param(story, fault, id=f"{story.name}-{getattr(fault.mended, 'commit', 'not-mended')}")
    for story in STORIES.values()
    for fault in story.shows
]


def seen(story, profile=PROFILE, mode="npt") -> list[Finding]:
    return findings.seen(profile, VM_MODES[mode], story)


def test_the_kernel_that_lacks_a_fix_is_named_with_story_step_and_commit():
    (found,) = seen(STORY)
    assert found.story == STORY.name and found.upstream
    assert "7a2c70e777a0" in found.mended and "npt, step " in found.places[0]


def test_a_kernel_with_the_fix_shows_nothing():
    assert not seen(STORY, profile_of((7, 3, 4)))
    assert not any("7a2c70e777a0" in one.mended for one in findings.known(profile_of((7, 3, 4)), ["npt"]))


@pytest.mark.parametrize(("story", "fault"), FAULTS)
def test_every_fault_is_shown_where_its_fix_is_missing(story, fault):
    newest = profile_of((7, 3, 4))
    profile = newest.without(fault.mended) if isinstance(fault.mended, Change) else newest
    shown = [one for mode in story.modes for one in seen(story, profile, mode)]
    assert fault.wrong in {one.wrong for one in shown}


def test_a_fault_that_a_story_does_not_show_is_not_claimed():
    other = replace(STORIES["pdptes_change"], shows=(Fault("is wrong", NESTED_ROOTS_KEPT),))
    assert not seen(other, mode="shadow")


def report() -> Report:
    seen = Finding(
        "a_story", "is wrong", 'abc ("title") in v7.2', True, ("npt, step 3 of 7: x 1; with the fix 2",)
    )
    same = replace(seen, places=())
    other = Finding("another", "is worse", "no fix is known", False, ())
    results = [
        Result("a_story", "kvm", "story", "npt", Verdict.PASS, 7, findings=(seen,)),
        Result(
            "a_story",
            "kvm",
            "story",
            "ept-ad",
            Verdict.PASS,
            7,
            findings=(replace(seen, places=("ept-ad",)),),
        ),
    ]
    return Report([KernelReport("6.12", "6.12", "6.12.1", results=results, known=(same, other))], None)


def test_reports_name_each_fault_once():
    stream = io.StringIO()
    show(report(), Screen(stream))
    said = (
        "note: finding: is wrong; a_story shows it (npt, step 3 of 7: x 1; with the fix 2; and 1 more);"
        ' mended by abc ("title") in v7.2, which this kernel lacks'
    )
    assert said in stream.getvalue() and stream.getvalue().count("is wrong") == 1
    assert "note: finding: is worse; another shows it; no fix is known" in stream.getvalue()
    assert "finding: is wrong" in as_mail(report())
    first, second = json.loads(as_json.render(report()))["kernels"][0]["findings"]
    assert first == {
        "story": "a_story",
        "wrong": "is wrong",
        "mended": 'abc ("title") in v7.2',
        "upstream": True,
        "places": ["npt, step 3 of 7: x 1; with the fix 2", "ept-ad"],
    }
    assert second["places"] == [] and not second["upstream"]


def test_a_finding_alone_is_no_failure():
    assert report().status == 0


def test_history_names_what_a_kernel_lacks(monkeypatch):
    kernel = type("Kernel", (), {"release": (6, 12, 107)})
    monkeypatch.setattr(run_reverts, "open_kernel", lambda selector, progress: kernel)
    monkeypatch.setattr(KernelReport, "of", lambda kernel: KernelReport("6.12", "6.12", "6.12.107-1"))
    made = run_reverts._report("6.12", ["npt"], lambda line: None)
    assert any("7a2c70e777a0" in line and STORY.name in line for line in made.remarks)
    assert not run_reverts._report("6.12", ["ept-tme"], lambda line: None).remarks


FATAL = STORIES["root_gets_a_memslot"]


def test_a_story_is_not_played_where_it_crashes_the_kernel():
    assert "b6249c1d5665" in FATAL.absent(PROFILE) and not FATAL.absent(profile_of((7, 3, 4)))
    assert "b6249c1d5665" not in FATAL.absent(profile_of((6, 1, 192)))
    (found,) = findings.fatal(PROFILE, FATAL)
    assert "b6249c1d5665" in found.mended and found in findings.known(PROFILE, ["shadow"])
    assert not findings.fatal(profile_of((6, 1, 192)), FATAL)
    assert not findings.fatal(PROFILE, STORY)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("series", "mode", "name", "function"),
    [
        ("6.12", "shadow", "root_gets_a_memslot", "__kvm_mmu_invalidate_addr"),
        ("5.10", "legacy-npt", "nested_pdpte_written_while_l2_runs", "mmu_set_spte"),
    ],
)
def test_a_fatal_fault_crashes_the_kernel_as_its_model_says(series, mode, name, function):
    ready = prepare(series, (), lambda line: None)
    assert isinstance(ready, Ready) and STORIES[name].absent(ready.profile)
    difference = play(ready.sides(mode), STORIES[name].script).difference
    assert difference is not None and difference.crash is not None
    assert function in difference.crash and "as the model says" in difference.crash


def test_the_kernel_is_spared_a_step_in_which_its_model_dies():
    mended = profile_of((6, 12, 113))
    both, taken = findings._LackingAndMended(mended, PROFILE, VM_MODES["shadow"]), 0
    with Match(both, FATAL.script.options, spare=True) as match, pytest.raises(Death, match="BUG"):
        for step in FATAL.script.steps:
            assert match.take(step)
            taken += 1
    assert len(match.played.kernel) == taken and 0 < taken < len(FATAL.script.steps)
