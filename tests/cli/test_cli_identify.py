# SPDX-License-Identifier: GPL-2.0-only
"""``conformance identify`` and ``fingerprint``, with stand-ins for kernels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.differential import blessing, fingerprints
from conformance.differential.blessing import Proposal
from conformance.differential.fingerprints import Fingerprints, Mark
from conformance.differential.verdict import Result, Verdict
from conformance.review import identify
from conformance.review.identity import Identity

ODD = Result("a_story", "kvm", "identify", "npt", Verdict.FAIL, reason="step 3 of 9")


@pytest.fixture
def looked(monkeypatch):
    """What identify was asked for; ``looked.found`` is what it finds."""

    class Looked(list):
        found = Identity("6.1", "6.1.192-2", "6.1", [], [], [])

    seen = Looked()

    def look(selector, patches, progress, *, with_stories):
        seen.append((selector, patches, with_stories))
        return seen.found

    monkeypatch.setattr(identify, "identify", look)
    return seen


@pytest.fixture
def proposed(monkeypatch, tmp_path):
    """One proposal for 6.1, to be written below ``tmp_path``."""
    monkeypatch.setattr(fingerprints, "GOLDEN", tmp_path)
    mark = Mark("is_large_pte", "npt", 4, "asked", "answered")
    proposal = Proposal(Fingerprints("6.1", "6.1.192-2", {mark.place: mark}))
    monkeypatch.setattr(blessing, "propose", lambda selectors, progress: [proposal])
    monkeypatch.delenv("CI", raising=False)
    return proposal


def test_a_kernel_with_patches_is_looked_at(cli, looked):
    done = cli("identify", "6.1", "--patch", "a.mbox", "--no-stories")
    assert done.exit_code == 0 and looked == [("6.1", [Path("a.mbox")], False)]
    assert "is 6.1, in all changes that could be decided" in done.stdout


def test_no_fitting_profile_is_status_1(cli, looked):
    looked.found = Identity("6.1", "6.1.192-2", "6.1", [], [], [], [ODD])
    done = cli("identify", "6.1")
    assert done.exit_code == 1 and "fits no profile" in done.stdout and looked[0][2] is True


def test_json_goes_to_stdout_alone_or_to_a_file(cli, looked, tmp_path):
    assert json.loads(cli("identify", "6.1", "--json", "-").stdout)["nearest"] == "6.1"
    done = cli("identify", "6.1", "--json", tmp_path / "found.json")
    assert "is 6.1" in done.stdout
    assert json.loads((tmp_path / "found.json").read_text())["fits"] is True


def test_an_unwritable_file_is_reported_before_the_run(cli, looked, tmp_path):
    done = cli("identify", "6.1", "--json", tmp_path / "nowhere" / "found.json")
    assert done.exit_code == 2 and looked == []


def test_bless_shows_the_difference_and_writes_it(cli, proposed):
    done = cli("fingerprint", "bless", "--yes")
    assert done.exit_code == 0 and "+is_large_pte npt 4 asked answered" in done.stdout
    assert "is_large_pte npt 4 asked answered" in proposed.fingerprints.path.read_text()
    again = cli("fingerprint", "bless", "--yes")
    assert "unchanged" in again.stdout


def test_a_disagreement_of_kernel_and_model_is_refused(cli, proposed):
    proposed.refused.append("make_spte npt")
    done = cli("fingerprint", "bless", "--yes")
    assert done.exit_code == 2 and "not written: make_spte npt" in done.stdout


def test_bless_refuses_in_ci(cli, proposed, monkeypatch):
    monkeypatch.setenv("CI", "1")
    done = cli("fingerprint", "bless", "--yes")
    assert done.exit_code == 2 and "does not run in CI" in done.stderr
    assert not proposed.fingerprints.path.exists()


def test_show_prints_the_lines(cli, proposed):
    assert "is_large_pte npt 4 asked answered" in cli("fingerprint", "show").stdout
