# SPDX-License-Identifier: GPL-2.0-only
"""``git bisect run conformance run --bisect`` finds the commit that broke something in a real history.

The history is Debian's successive packages of 6.1, each a commit, with a harmless commit and a harmful one
between them. Only what preparing reads of a tree is put into the repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.kernels.archive import Archive, newest
from conformance.kernels.pins import pins
from conformance.kernels.staging import stage_package

PROPERTY = "spte_has_volatile_bits"
SPTE_C = "arch/x86/kvm/mmu/spte.c"
HARMLESS = ("#include <linux/kvm_host.h>", "#include <linux/kvm_host.h>\n/* harmless */")
HARMFUL = ("if (is_access_track_spte(spte))\n\t\treturn true;", "if (0)\n\t\treturn true;")
MOST = 4
"""Packages in the history; those in between are left out if there are more."""


def git(tree: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", tree, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(tree: Path, message: str) -> str:
    # Debian's own .gitignore excludes everything at the top.
    git(tree, "add", "--all", "--force")
    git(tree, "commit", "--quiet", "--message", message)
    return git(tree, "rev-parse", "HEAD")


def substitute(tree: Path, old: str, new: str) -> None:
    source = (tree / SPTE_C).read_text()
    assert source.count(old) == 1
    (tree / SPTE_C).write_text(source.replace(old, new))


def in_order(versions: list[str]) -> list[str]:
    """Oldest first, and only some of them if there are many."""
    left, ordered = list(versions), []
    while left:
        ordered.insert(0, newest(left))
        left.remove(ordered[0])
    step = max(1, -(-(len(ordered) - 1) // (MOST - 1)))
    return [*ordered[:-1:step], ordered[-1]]


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> tuple[Path, list[str], str]:
    """The repository, its commits oldest first, and the harmful one among them."""
    place = tmp_path_factory.mktemp("history")
    tree, pin = place / "linux", pins()["6.1"]
    archive = Archive(place / "apt", print)
    offers = archive.sources((*pin.suites, "bullseye-security"))
    versions = in_order({offer.version for offer in offers if offer.package == pin.package})
    assert len(versions) > 2, "the archive serves too few versions to bisect"
    tree.mkdir()
    git(tree, "init", "--quiet")
    commits, harmful, planted = [], "", []
    for number, version in enumerate(versions):
        folder = place / version
        folder.mkdir()
        for entry in tree.iterdir():
            if entry.name != ".git":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        stage_package(archive.download(pin.package, version, folder), tree)
        shutil.rmtree(folder)
        for change in planted:
            substitute(tree, *change)
        commits.append(commit(tree, f"Debian {version}"))
        if number == len(versions) // 2 - 1:
            for change in (HARMLESS, HARMFUL):
                planted.append(change)
                substitute(tree, *change)
                commits.append(commit(tree, "A change"))
            harmful = commits[-1]
    return tree, commits, harmful


@pytest.mark.kernel
@pytest.mark.network
@pytest.mark.slow
def test_bisect_ends_at_the_planted_commit(history, tmp_path):
    tree, commits, harmful = history
    assert commits.index(harmful) not in (0, len(commits) - 1)
    command = [sys.executable, "-m", "conformance", "run", "--kernel", "tree:.", "--bisect"]
    command += ["--only", PROPERTY, "--mode", "ept-noad", "--budget", "1", "--seed", "1"]
    # A cache of its own: so many kernels would drive others out of the user's.
    environment = {**os.environ, "CONFORMANCE_CACHE": str(tmp_path / "cache")}
    git(tree, "bisect", "start", commits[-1], commits[0])
    done = subprocess.run(
        ["git", "-C", tree, "bisect", "run", *command], capture_output=True, text=True, env=environment
    )
    assert f"{harmful} is the first bad commit" in done.stdout, done.stdout + done.stderr
    assert "FAIL" in done.stdout
    assert not git(tree, "status", "--porcelain"), "the tree was written to"
