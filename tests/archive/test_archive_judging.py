# SPDX-License-Identifier: GPL-2.0-only
"""The sweep over the archive: the choice of versions, and the judgement of the commands' reports."""

import json
from types import SimpleNamespace

import archive
import pytest
from judging import EXPECTED, FINDING, UNJUDGED, Known, judged, offered

from conformance.errors import ConformanceError
from conformance.kernels.archive import Offer
from conformance.model.changes import CHANGES, MMIO_CACHE_OF_ADDRESS_SPACE, UNSYNC_SKIP_IFF_LEAF
from conformance.model.profiles import profile_of

PROFILE = profile_of((6, 12, 107))
MMIO, UNSYNC = "MMIO_CACHE_OF_ADDRESS_SPACE", "UNSYNC_SKIP_IFF_LEAF"


def results(**verdicts):
    rows = [
        {"property": name, "mode": mode, "verdict": verdict, "reason": f"because of {name}"}
        for name, modes in verdicts.items()
        for mode, verdict in modes.items()
    ]
    return {"kernels": [{"results": rows}]}


def change(name, there):
    return {"name": name, "commit": CHANGES[name].commit, "title": CHANGES[name].title, "there": there}


def identity(misfits=(), decided=(), untold=""):
    return {
        "fits": not misfits,
        "nearest": "6.12",
        "plus": [],
        "without": [],
        "decided": list(decided),
        "misfits": [{"property": name} for name in misfits],
        "untold": untold,
    }


GOOD = {
    "run": results(make_spte={"npt": "PASS", "shadow": "SKIP"}),
    "stories": results(first_read={"npt": "PASS"}),
    "identify": identity(decided=[change(MMIO, False), change(UNSYNC, True)]),
}


def outcome(known=(), version="6.12.107-1", **other):
    reports = GOOD | other
    said = dict.fromkeys(reports, "said at last")
    return judged(version, PROFILE, dict(CHANGES), reports, said, known, 1.23)


def test_a_conforming_kernel_is_as_expected() -> None:
    found = outcome()
    assert (found.verdict, found.run, found.stories, found.identity) == (EXPECTED, "1 PASS", "1 PASS", "6.12")
    assert archive.status([found]) == 0
    assert found.findings == (f"lacks {MMIO_CACHE_OF_ADDRESS_SPACE}, which came with 6.12.114",)


@pytest.mark.parametrize(
    ("part", "report", "name", "words"),
    [
        ("run", results(make_spte={"npt": "FAIL", "shadow": "PASS"}), "make_spte", "make_spte differs (npt)"),
        ("stories", results(first_read={"npt": "FAIL"}), "first_read", "stories: first_read differs (npt)"),
        ("identify", identity(misfits=["first_read"]), "first_read", "first_read fits no profile"),
        (
            "identify",
            identity(decided=[change(MMIO, True)]),
            MMIO,
            f"has {MMIO_CACHE_OF_ADDRESS_SPACE.commit}",
        ),
        (
            "identify",
            identity(decided=[change(UNSYNC, False)]),
            UNSYNC,
            f"lacks {UNSYNC_SKIP_IFF_LEAF.commit}",
        ),
    ],
)
def test_a_difference_is_a_finding_unless_it_is_known(part, report, name, words) -> None:
    found = outcome(**{part: report})
    assert found.verdict == FINDING
    assert len(found.unknown) == 1
    assert words in found.unknown[0]
    assert archive.status([found, outcome()]) == 1
    known = Known(("6.12.10?-*",), (name,), "0123456789ab", "is the cause")
    explained = outcome([known], **{part: report})
    assert explained.verdict == EXPECTED
    assert explained.findings[-1].endswith("0123456789ab is the cause")
    assert outcome([known], "6.12.118-1", **{part: report}).verdict == FINDING
    assert outcome([Known(known.versions, ("other",), "", "")], **{part: report}).verdict == FINDING


@pytest.mark.parametrize(
    ("part", "report", "words"),
    [
        ("run", None, "run: said at last"),
        ("run", results(make_spte={"npt": "SKIP"}), "run: because of make_spte"),
        ("run", results(make_spte={"npt": "PASS"}, other={"npt": "ERROR"}), "run: other: because of other"),
        ("stories", None, "stories: said at last"),
        ("stories", results(first_read={"npt": "SKIP"}), "stories: because of first_read"),
        ("identify", None, "identify: said at last"),
        (
            "identify",
            identity(untold="nothing stands in for x"),
            "no stories were played: nothing stands in for x",
        ),
    ],
)
def test_an_unjudged_kernel_is_never_as_expected(part, report, words) -> None:
    found = outcome(**{part: report})
    assert found.verdict == UNJUDGED
    assert words in found.unjudged[0]
    assert archive.status([found, outcome(run=results(make_spte={"npt": "FAIL"})), outcome()]) == 2


def test_identify_without_stories_is_expected_where_the_tdp_mmu_is_not_played() -> None:
    without = {"identify": identity(untold="no TDP MMU")}
    assert outcome(version="5.10.262-1", **without).verdict == EXPECTED
    assert outcome(version="6.1.192-2", **without).verdict == UNJUDGED


def test_versions_are_chosen_by_name_glob_and_series() -> None:
    there = ["6.1.9-1", "6.1.10-1", "6.12.1-1", "7.3~rc7-1~exp1", "7.3.4-1~bpo13+1", "6.1.9-1"]
    offers = [Offer("linux-source", version, "sid") for version in there]
    assert offered(offers, []) == ["7.3.4-1~bpo13+1", "7.3~rc7-1~exp1", "6.12.1-1", "6.1.10-1", "6.1.9-1"]
    assert offered(offers, ["6.1"]) == ["6.1.10-1", "6.1.9-1"]
    assert offered(offers, ["*~*"]) == ["7.3.4-1~bpo13+1", "7.3~rc7-1~exp1"]
    assert offered(offers, ["6.12.1-1", "7.4"]) == ["6.12.1-1"]


def test_the_known_findings_can_be_read() -> None:
    for known in archive.read_known():
        assert known.versions
        assert known.what
        assert known.sentence


@pytest.fixture
def fake_kernel(tmp_path, monkeypatch):
    """Every version is the same kernel, and every command reports GOOD; returns the commands."""
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path))
    asked: list[str] = []
    by_words = {words: part for part, words in archive.COMMANDS.items()}

    def ask(words, kernel):
        asked.append(by_words[words])
        return json.loads(json.dumps(GOOD[by_words[words]])), ""

    kernel = SimpleNamespace(fingerprint="f" * 64, release=(6, 12, 107), selector="debian:6.12.107-1")
    monkeypatch.setattr(archive, "ask", ask)
    monkeypatch.setattr(archive, "open_kernel", lambda selector, progress, cache: kernel)
    return asked


def test_equal_kernels_are_judged_once(fake_kernel) -> None:
    first = archive.judge("6.12.107-1", [], "suite")
    assert first.verdict == EXPECTED
    assert fake_kernel == ["run", "stories", "identify"]
    assert archive.judge("6.12.107-1~deb12u1", [], "suite").verdict == EXPECTED
    assert len(fake_kernel) == 3
    archive.judge("6.12.107-1", [], "another suite")
    assert len(fake_kernel) == 6


def test_unjudged_commands_are_repeated(fake_kernel, monkeypatch) -> None:
    good = archive.ask
    monkeypatch.setattr(archive, "ask", lambda words, kernel: (None, "broke off"))
    assert archive.judge("6.12.107-1", [], "suite").verdict == UNJUDGED
    monkeypatch.setattr(archive, "ask", good)
    assert archive.judge("6.12.107-1", [], "suite").verdict == EXPECTED


def test_commands_cut_short_by_a_busy_machine_are_repeated(fake_kernel, monkeypatch) -> None:
    missed = {**GOOD["run"], "summary": {"PASS": 1, "MISS": 1}}
    answers = iter([missed, GOOD["stories"], GOOD["identify"], GOOD["run"]])
    monkeypatch.setattr(archive, "ask", lambda words, kernel: (next(answers), ""))
    archive.judge("6.12.107-1", [], "suite")
    assert archive.judge("6.12.107-1", [], "suite").verdict == EXPECTED


def test_a_kernel_that_does_not_open_is_not_judged(monkeypatch, tmp_path) -> None:
    def refuse(selector, progress, cache):
        raise ConformanceError("does not compile")

    monkeypatch.setattr(archive, "open_kernel", refuse)
    found = archive.judge("6.6.1-1", [], "suite")
    assert found.verdict == UNJUDGED
    assert "does not compile" in found.unjudged[0]


def test_the_digest_follows_the_suite(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(archive, "ROOT", tmp_path)
    (tmp_path / "conformance").mkdir()
    (tmp_path / "conformance/one.py").write_text("1")
    before = archive.suite_digest()
    (tmp_path / "conformance/one.py").write_text("2")
    assert archive.suite_digest() != before
