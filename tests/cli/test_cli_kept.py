# SPDX-License-Identifier: GPL-2.0-only
"""A patch from stdin or a pipe is kept as a file: read several times, named by what shows it again."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
from pathlib import Path

import pytest
from planting import patch_for

from conformance.cli.kept import kept
from conformance.differential.properties import PROPERTIES
from conformance.errors import ConformanceError

PATCH = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A cache of its own."""
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_stdin_of_a_run_is_kept(cli, plans, cache):
    assert cli("run", "--patch", "-", given=PATCH).exit_code in (0, 1, 2)
    (path,) = plans[-1].patches
    assert path.name == "stdin" and cache in path.parents and path.read_text() == PATCH


def test_a_pipe_is_kept(cache, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_text, args=(PATCH,))
    writing.start()
    names = kept(["x.patch", str(pipe)])
    writing.join()
    assert names[0] == "x.patch" and Path(names[1]).read_text() == PATCH


def test_a_file_that_is_named_by_a_descriptor_is_kept(cache, tmp_path):
    (tmp_path / "a.patch").write_text(PATCH)
    with (tmp_path / "a.patch").open() as file:
        (name,) = kept([f"/dev/fd/{file.fileno()}"])
    assert cache in Path(name).parents and Path(name).read_text() == PATCH


def test_a_file_is_left_where_it_is(tmp_path):
    (tmp_path / "a.patch").write_text(PATCH)
    names = (str(tmp_path / "a.patch"), str(tmp_path), str(tmp_path / "gone.patch"), "v6.12..v6.13", "a\0b")
    assert kept(names) == names


def test_stdin_is_read_once():
    with pytest.raises(ConformanceError, match="name - once"):
        kept(["-", "-"])


@pytest.mark.kernel
def test_the_again_command_does_not_read_stdin(process, tmp_path):
    mutant = PROPERTIES["spte_to_pfn"].mutants[0]
    patch = patch_for(mutant, tmp_path).read_text()
    chosen = ["--kernel", mutant.kernel, "--only", "spte_to_pfn", "--engine", "bulk", "--budget", "1"]
    done = process("run", *chosen, "--patch", "-", "--json", "-", real=True, input=patch, timeout=600)
    assert done.returncode == 1
    (kernel,) = json.loads(done.stdout)["kernels"]
    program, *words = shlex.split(kernel["results"][0]["counterexample"]["again"])
    assert program == "conformance" and "-" not in words
    again = process(*words, real=True, stdin=subprocess.DEVNULL, timeout=600)
    assert again.returncode == 1 and "spte_to_pfn" in again.stdout
