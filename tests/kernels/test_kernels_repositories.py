# SPDX-License-Identifier: GPL-2.0-only
"""A foreign repository runs no program, and a foreign tree reveals no file outside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from kernel_samples import git

from conformance.errors import ConformanceError
from conformance.kernels import Cache, open_kernel
from conformance.kernels.repositories import Repository


def opened(repository: Path, cache: Cache):
    return open_kernel(f"tree:{repository}@HEAD", cache=cache).root / "src"


@pytest.mark.parametrize("how", ["smudge", "process"])
def test_a_filter_is_not_run_as_the_user(how: str, repository: Path, cache: Cache, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (repository / ".gitattributes").write_text("*.h filter=x\n")
    git(repository, "add", ".gitattributes")
    git(repository, "commit", "-qm", "two")
    git(repository, "config", f"filter.x.{how}", f"touch {marker}; cat")
    try:
        opened(repository, cache)
    except ConformanceError as refused:
        assert "git cannot read" in str(refused)
    assert not marker.exists()


def test_what_is_missing_is_not_fetched(repository: Path, cache: Cache, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    blob = git(repository, "rev-parse", "HEAD:arch/x86/kvm/mmu/spte.h")
    git(repository, "config", "extensions.partialClone", "origin")
    git(repository, "config", "remote.origin.promisor", "true")
    git(repository, "config", "remote.origin.url", str(repository))
    git(repository, "config", "remote.origin.uploadpack", f"touch {marker}; false")
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ConformanceError, match="git cannot read"):
        opened(repository, cache)
    assert not marker.exists()


def test_other_places_of_a_repository(repository: Path, cache: Cache, tmp_path: Path) -> None:
    plain = opened(repository, cache)
    git(repository, "worktree", "add", "-q", str(tmp_path / "beside"))
    assert opened(tmp_path / "beside", cache) == plain
    subprocess.run(["git", "clone", "-q", "--shared", repository, tmp_path / "shared"], check=True)
    assert opened(tmp_path / "shared", cache) == plain
    subprocess.run(["git", "clone", "-q", "--shared", tmp_path / "shared", tmp_path / "again"], check=True)
    assert opened(tmp_path / "again", Cache(tmp_path / "other")).is_dir()
    subprocess.run(["git", "clone", "-q", "--bare", repository, tmp_path / "bare.git"], check=True)
    assert opened(tmp_path / "bare.git", cache) == plain


def test_a_folder_of_a_repository(repository: Path, cache: Cache, tmp_path: Path) -> None:
    plain = opened(repository, cache)
    outer = tmp_path / "outer"
    outer.mkdir()
    shutil.copytree(repository, outer / "linux", ignore=shutil.ignore_patterns(".git"))
    git(outer, "init", "-q")
    git(outer, "add", "-A")
    git(outer, "commit", "-qm", "one")
    assert Repository(outer / "linux").prefix == "linux/"
    assert opened(outer / "linux", cache) == plain


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_link_out_of_a_tree_is_not_followed(link: str, tree: Path, cache: Cache, tmp_path: Path) -> None:
    secret = tmp_path / "home"
    secret.mkdir()
    (secret / "more.h").write_text("/* the secret */\n")
    if link == "file":
        (tree / "arch/x86/kvm/mmu/more.h").symlink_to(secret / "more.h")
    else:
        (tree / "arch/x86/kvm/more").symlink_to(secret)
    open_kernel(f"tree:{tree}", cache=cache)
    files = [path for path in cache.root.rglob("*") if path.is_file()]
    assert not [path for path in files if b"the secret" in path.read_bytes()]
