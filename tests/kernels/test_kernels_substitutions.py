# SPDX-License-Identifier: GPL-2.0-only
"""Substitutions and the patch that makes them: several in a file, in several files, in one function."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from conformance.errors import ConformanceError
from conformance.kernels.substitutions import Substitution, write_patch

TEXT = "int a;\nint b;\nint c;\n"
FIRST = "/* \u00e9 */\nint f(void)\n{\n\treturn 1;\n}\n"
SECOND = "int g(void)\n{\n\treturn 1;\n}\n"


@pytest.fixture
def kernel(tmp_path):
    (tmp_path / "src").mkdir()
    for name, text in (("one.c", TEXT), ("two.c", TEXT), ("functions.c", f"{FIRST}\n{SECOND}")):
        (tmp_path / "src" / name).write_text(text)
    return SimpleNamespace(root=tmp_path, title="6.1")


def patched(kernel, path, *substitutions):
    """Write the patch, apply it with git, and return the files' texts by name."""
    patch = write_patch(kernel, substitutions, path)
    subprocess.run(["git", "apply", patch], cwd=kernel.root / "src", check=True)
    return {file.name: file.read_text() for file in (kernel.root / "src").iterdir()}


def test_the_patch_applies_and_makes_its_substitutions(kernel, tmp_path):
    texts = patched(
        kernel,
        tmp_path / "new" / "fix.patch",
        Substitution("one.c", "int a;", "long a;"),
        Substitution("one.c", "int c;", "long c;"),
        Substitution("two.c", "int b;\n", ""),
    )
    assert texts["one.c"] == "long a;\nint b;\nlong c;\n"
    assert texts["two.c"] == "int a;\nint c;\n"


def test_the_source_itself_is_left_alone(kernel, tmp_path):
    write_patch(kernel, [Substitution("one.c", "int a;", "long a;")], tmp_path / "fix.patch")
    assert (kernel.root / "src" / "one.c").read_text() == TEXT


def test_a_substitution_in_one_function(kernel, tmp_path):
    change = Substitution("functions.c", "return 1;", "return 2;", function="g")
    texts = patched(kernel, tmp_path / "fix.patch", change)
    assert texts["functions.c"] == f"{FIRST}\n{SECOND.replace('1', '2')}"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (Substitution("one.c", "int d;", ""), r"'int d;' occurs 0 times in one\.c, expected once"),
        (Substitution("one.c", "int", ""), r"'int' occurs 3 times in one\.c, expected once"),
        (Substitution("three.c", "int", ""), r"this kernel has no three\.c"),
        (Substitution("functions.c", "return 1;", ""), "occurs 2 times"),
        (Substitution("functions.c", "int g", "", function="f"), r"occurs 0 times in f\(\) of functions\.c"),
        (Substitution("functions.c", "1", "", function="h"), r"does not define h\(\) exactly once"),
    ],
)
def test_what_does_not_occur_exactly_once_is_refused(kernel, tmp_path, change, sentence):
    with pytest.raises(ConformanceError, match=f"6.1: cannot make fix.patch: .*{sentence}"):
        write_patch(kernel, [change], tmp_path / "fix.patch")
    assert not (tmp_path / "fix.patch").exists()


def test_a_text_that_an_earlier_substitution_removed_is_refused(kernel, tmp_path):
    twice = [Substitution("one.c", "int a;", "long a;")] * 2
    with pytest.raises(ConformanceError, match="occurs 0 times"):
        write_patch(kernel, twice, tmp_path / "fix.patch")
