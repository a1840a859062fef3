# SPDX-License-Identifier: GPL-2.0-only
"""A fix's substitutions as a patch: several in a file, in several files, and in a source that moved on."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from conformance.errors import ConformanceError
from conformance.history import Substitution
from conformance.history.patches import write_patch

TEXT = "int a;\nint b;\nint c;\n"


@pytest.fixture
def kernel(tmp_path):
    for name in ("one.c", "two.c"):
        (tmp_path / "src" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "src" / name).write_text(TEXT)
    return SimpleNamespace(root=tmp_path, title="6.1")


def test_the_patch_applies_and_changes_what_it_should(kernel, tmp_path):
    wanted = [
        Substitution("one.c", "int a;", "long a;"),
        Substitution("one.c", "int c;", "long c;"),
        Substitution("two.c", "int b;\n", ""),
    ]
    path = write_patch(kernel, wanted, tmp_path / "new" / "fix.patch")
    assert (tmp_path / "src" / "one.c").read_text() == TEXT
    subprocess.run(["git", "apply", path], cwd=tmp_path / "src", check=True)
    assert (tmp_path / "src" / "one.c").read_text() == "long a;\nint b;\nlong c;\n"
    assert (tmp_path / "src" / "two.c").read_text() == "int a;\nint c;\n"


@pytest.mark.parametrize(
    ("old", "sentence"), [("int d;", "no longer stands in one.c"), ("int", "stands 3 times in one.c")]
)
def test_a_source_that_moved_on_is_a_sentence(kernel, tmp_path, old, sentence):
    with pytest.raises(ConformanceError, match=sentence):
        write_patch(kernel, [Substitution("one.c", old, "")], tmp_path / "fix.patch")
    assert not (tmp_path / "fix.patch").exists()
