# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures of the tests of kernels."""

from pathlib import Path

import pytest
from kernel_samples import FILES, Said, git

from conformance.kernels import Cache


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the files of a kernel that are required, and a Makefile in place of Kbuild."""
    root = tmp_path / "linux"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def repository(tree: Path) -> Path:
    """The tree as a git repository with one commit, tagged one."""
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "one")
    git(tree, "tag", "one")
    return tree
