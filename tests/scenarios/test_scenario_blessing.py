# SPDX-License-Identifier: GPL-2.0-only
"""Blessing shows what would change, writes nothing by itself, and refuses what is not agreed on, or CI."""

from types import SimpleNamespace

import pytest
from model_sides import ModelSides, drop_flushes

from conformance.differential.verdict import KernelReport, Verdict
from conformance.errors import ConformanceError
from conformance.scenarios import blessing, goldens
from conformance.scenarios.blessing import propose_all
from conformance.scenarios.judging_scenario import Facts
from conformance.scenarios.modes import TDP_MODES


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """A kernel that is the model; what it says can be changed."""
    made = SimpleNamespace(
        kernel=SimpleNamespace(title="6.1"),
        profile=ModelSides().profile,
        facts=Facts("6.1", "6.1.1-1", ("--kernel", "6.1")),
        lie=None,
        absent=lambda mode: "",
    )
    made.sides = lambda mode: ModelSides(mode, lie=made.lie)
    monkeypatch.setattr(goldens, "GOLDEN", tmp_path)
    monkeypatch.setattr(blessing, "prepare", lambda *given: made)
    monkeypatch.delenv("CI", raising=False)
    return made


def propose(*names, modes=("npt",)):
    return propose_all(names, ["6.1"], (), modes, lambda line: None)


def test_what_is_new_is_proposed_and_written_only_when_told_to(ready, tmp_path):
    proposal = propose("unmap_one_page")
    ((golden, diff),) = proposal.changed
    assert not list(tmp_path.iterdir()) and diff[0] == "--- golden/6.1/unmap_one_page.npt.txt"
    golden.write()
    assert propose("unmap_one_page").unchanged == 1


def test_what_kernel_and_model_do_not_agree_on_is_refused(ready):
    ready.lie = drop_flushes
    proposal = propose("unmap_one_page", "first_read")
    assert [result.property for result in proposal.refused] == ["unmap_one_page"]
    assert proposal.refused[0].verdict is Verdict.FAIL
    assert [golden.scenario for golden, _ in proposal.changed] == ["first_read"]


def test_another_package_alone_is_worth_blessing(ready):
    ((golden, _),) = propose("first_read").changed
    golden.write()
    ready.facts = Facts("6.1", "6.1.2-1", ())
    ((_, diff),) = propose("first_read").changed
    assert [line for line in diff if line.startswith(("+", "-"))][2:] == [
        "-package   6.1.1-1",
        "+package   6.1.2-1",
    ]


def test_every_mode_of_a_story_is_blessed(ready):
    assert len(propose("first_read", modes=TDP_MODES).changed) == 3


@pytest.mark.parametrize("names", [("nonsense",), ("first_read", "nonsense")])
def test_a_story_that_there_is_not(ready, names):
    with pytest.raises(ConformanceError, match="no scenario is called nonsense"):
        propose(*names)


def test_a_kernel_without_a_series_has_no_transcripts(ready):
    ready.facts = Facts(None, "7.4 (tree)", ())
    with pytest.raises(ConformanceError, match="of no pinned series"):
        propose("first_read")


def test_a_kernel_that_cannot_be_reached_is_passed_over_and_one_that_does_not_build_is_not(
    ready, monkeypatch
):
    unreached = KernelReport("5.10", "5.10", "", unreached="too old")
    monkeypatch.setattr(blessing, "prepare", lambda *given: unreached)
    assert propose("first_read").changed == []
    broken = KernelReport("6.1", "6.1", "", error="does not compile.")
    monkeypatch.setattr(blessing, "prepare", lambda *given: broken)
    with pytest.raises(ConformanceError, match="does not compile"):
        propose("first_read")


def test_ci_is_refused_before_anything_is_played(ready, monkeypatch):
    monkeypatch.setenv("CI", "1")
    with pytest.raises(ConformanceError, match="bless does not run in CI"):
        propose("first_read")
