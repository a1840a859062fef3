# SPDX-License-Identifier: GPL-2.0-only
"""Commits of a git tree as patches: in their order, on what they were made on, whatever git is set to."""

import subprocess
from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.review.commits import find_commits
from conformance.review.series import read_series

FILE = "arch/x86/kvm/mmu/spte.h"
NFC = "No functional change intended."


def git(where: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", where, *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(where: Path, text: str, subject: str, file: str = FILE) -> str:
    place = where / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    git(where, "add", "-A")
    git(where, "commit", "-qm", f"{subject}\n\nWhy.\n\n{NFC}")
    return git(where, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A tree with tags zero to three, in the current directory."""
    place = tmp_path / "linux"
    place.mkdir()
    git(place, "init", "-q", "-b", "master")
    for number, tag in enumerate(("zero", "one", "two", "three")):
        commit(place, f"{number}\n", f"KVM: x86/mmu: {tag}")
        git(place, "tag", tag)
    monkeypatch.chdir(place)
    return place


def hash_of(tree: Path, name: str) -> str:
    return git(tree, "rev-parse", name)[:12]


def asked(*words: str, onto: str | None = None):
    found = find_commits(words, onto)
    assert found is not None
    return found, read_series(words, found)


def test_a_range_is_a_series_on_its_beginning(tree):
    found, series = asked("zero..three")
    assert [part.title for part in series.parts] == [
        "1/3 KVM: x86/mmu: one",
        "2/3 KVM: x86/mmu: two",
        "3/3 KVM: x86/mmu: three",
    ]
    assert [part.name for part in series.parts] == [
        f"commit {hash_of(tree, n)}" for n in ("one", "two", "three")
    ]
    assert found.onto == f"tree:.@{hash_of(tree, 'zero')}"
    assert (series.notes, series.incomplete) == ((), ())
    assert all(part.claim.sentence == NFC for part in series.parts)
    assert series.parts[1].paths == {FILE}


@pytest.mark.parametrize("words", [("two",), ("HEAD~1",), ("one..two",), ("HEAD~2..HEAD~1",)])
def test_one_commit_is_on_its_parent(tree, words):
    found, series = asked(*words)
    assert [part.title for part in series.parts] == ["KVM: x86/mmu: two"]
    assert found.onto == f"tree:.@{hash_of(tree, 'one')}"


@pytest.mark.parametrize("word", ["one..", "..two"])
def test_an_end_that_is_left_out_is_head(tree, word):
    git(tree, "checkout", "-q", "three" if word == "one.." else "zero")
    _, series = asked(word)
    assert len(series.parts) == 2


def test_a_file_of_that_name_wins(tree):
    (tree / "two").write_text("words\n")
    assert find_commits(["two"], None) is None
    assert find_commits(["-"], None) is None


def test_the_tree_that_onto_names(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, series = asked("one..three", onto=f"tree:{tree}")
    assert len(series.parts) == 2
    assert found.onto == f"tree:{tree}@{hash_of(tree, 'one')}"
    git(tree, "checkout", "-q", "zero")
    assert asked("one..three", onto=f"tree:{tree}")[0].onto == f"tree:{tree}"
    assert asked("one..three", onto=f"tree:{tree}@zero")[0].onto == f"tree:{tree}@zero"
    monkeypatch.chdir(tree)
    assert asked("one..three", onto="6.12")[0].onto == "6.12"


def test_merges_are_left_out_and_said_to_be(tree):
    git(tree, "checkout", "-q", "-b", "side", "one")
    commit(tree, "x\n", "KVM: other", "virt/kvm/x.c")
    git(tree, "checkout", "-q", "master")
    git(tree, "merge", "-q", "--no-edit", "side")
    _, series = asked("two..master")
    assert sorted(part.mail.subject for part in series.parts) == ["KVM: other", "KVM: x86/mmu: three"]
    assert series.notes == ("two..master: a merge is left out, and what was resolved in it",)
    with pytest.raises(ConformanceError, match="master is a merge"):
        asked("master")


def test_branches_that_have_parted_go_onto_where_they_did(tree):
    git(tree, "checkout", "-q", "-b", "side", "one")
    commit(tree, "x\n", "KVM: other", "virt/kvm/x.c")
    found, series = asked("three..side")
    assert [part.mail.subject for part in series.parts] == ["KVM: other"]
    assert found.onto == f"tree:.@{hash_of(tree, 'one')}"


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("nothing", "nothing is neither a file nor commits of .*linux"),
        ("one..nothing", "there is no commit nothing"),
        ("one...two", "Write A..B"),
        ("two..one", "holds no commit"),
        ("zero", "zero has no parent"),
        ("--help", "neither a file nor commits"),
        ("one..--all", "there is no commit --all"),
        ("x" * 5000, "neither a file nor commits"),
    ],
)
def test_what_is_no_commit_is_a_sentence(tree, word, complaint):
    with pytest.raises(ConformanceError, match=complaint):
        asked(word)


def test_where_there_is_no_kernel(tree, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    with pytest.raises(ConformanceError, match=r"no such file.* name its tree: --onto tree:PATH"):
        asked("one..two")
    git(other, "init", "-q")
    commit(other, "1\n", "one", "a.c")
    with pytest.raises(ConformanceError, match="HEAD is no commit of a kernel"):
        asked("HEAD")


def test_a_commit_that_changes_nothing(tree):
    git(tree, "commit", "-q", "--allow-empty", "-m", "empty")
    with pytest.raises(ConformanceError, match="HEAD changes no file"):
        asked("HEAD")
    _, series = asked("one..HEAD")
    assert [part.title[:3] for part in series.parts] == ["1/2", "2/2"]


def test_nothing_that_git_is_set_to_changes_the_patches_or_is_run(tree):
    _, before = asked("zero..three")
    ran = tree.parent / "ran"
    for name, value in {
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.external": f"touch {ran}",
        "core.fsmonitor": f"touch {ran}",
        "diff.x.textconv": f"touch {ran};cat",
        "diff.x.command": f"touch {ran}",
        "format.attach": "x",
        "format.coverLetter": "true",
        "format.numbered": "true",
        "format.outputDirectory": str(tree.parent),
        "format.signature": "x",
        "format.subjectPrefix": "PATCH 9/9",
        "log.showSignature": "true",
        "gpg.program": f"touch {ran}",
        "diff.context": "0",
        "color.ui": "always",
        "i18n.logOutputEncoding": "utf-16",
    }.items():
        git(tree, "config", name, value)
    (tree / ".git/info").mkdir(exist_ok=True)
    (tree / ".git/info/attributes").write_text("*.h diff=x\n")
    _, after = asked("zero..three")
    assert [part.mail.diff for part in after.parts] == [part.mail.diff for part in before.parts]
    assert [part.title for part in after.parts] == [part.title for part in before.parts]
    assert [part.claim for part in after.parts] == [part.claim for part in before.parts]
    assert not ran.exists()


def test_a_message_that_looks_like_a_mailbox(tree):
    git(tree, "commit", "-q", "--allow-empty", "-m", "x")
    place = tree / FILE
    place.write_text("9\n")
    body = "From 0123456789 Mon Sep 17 00:00:00 2001\nSubject: [PATCH 5/9] other\n\nmore"
    git(tree, "commit", "-qam", f"KVM: odd\n\n{body}")
    _, series = asked("three..HEAD")
    assert [part.title for part in series.parts] == ["KVM: odd"]


def test_a_kernel_below_the_top_of_the_repository(tmp_path, monkeypatch):
    place = tmp_path / "all"
    place.mkdir()
    git(place, "init", "-q")
    for number in range(2):
        commit(place, f"{number}\n", f"KVM: {number}", f"linux/{FILE}")
    found, series = asked("HEAD", onto=f"tree:{place}/linux")
    assert series.parts[0].paths == {FILE}
    assert found.onto.startswith(f"tree:{place}/linux@")
