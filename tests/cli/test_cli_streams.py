# SPDX-License-Identifier: GPL-2.0-only
"""Standard streams that are closed, full, or without a reader: what cannot be written is status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fake_run
import pytest

import conformance

REAL = {
    "list": ["list"],
    "kernels": ["kernels", "list"],
    "scenario": ["scenario", "list"],
    "explore": ["explore", "list"],
    "decode": ["decode", "0x0"],
    "help": ["--help"],
}


def run(redirection: str, *words: str, program: str = "-m conformance") -> subprocess.CompletedProcess[str]:
    """A command whose streams the shell has redirected."""
    root = str(Path(conformance.__file__).parents[1])
    line = f'exec "$0" {program} "$@" {redirection}'
    return subprocess.run(
        ["sh", "-c", line, sys.executable, *words],
        env={**os.environ, "PYTHONPATH": root, "FAKE_RUN_ROOT": root},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def is_plain(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether no defect shows."""
    return "Traceback" not in done.stderr and "internal error" not in done.stderr


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_results_that_cannot_be_written(name, redirection):
    done = run(redirection, *REAL[name])
    assert done.returncode == 2 and is_plain(done)
    assert done.stderr.count("\n") == 1 and "cannot write" in done.stderr


@pytest.mark.parametrize("name", ["list", "decode"])
@pytest.mark.parametrize(
    ("redirection", "status"),
    [("<&-", 0), ("2>&-", 0), ("2>/dev/full", 0), ("<&- 2>&-", 0), ("<&- >&- 2>&-", 2), ("<&- >&-", 2)],
)
def test_other_streams_do_not_matter(name, redirection, status):
    done = run(redirection, *REAL[name])
    assert done.returncode == status and is_plain(done)


@pytest.mark.parametrize("redirection", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_an_error_has_its_status_even_if_it_cannot_be_printed(redirection):
    done = run(redirection, "run", "--kernel", "5.2")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.parametrize(("only", "status"), [("PASS", 2), ("FAIL", 1)])
def test_a_difference_is_not_hidden_by_a_closed_stream(only, status):
    done = run(">&-", "run", "--only", only, program=fake_run.__file__)
    assert done.returncode == status and is_plain(done)
    assert "cannot write the results" in done.stderr


def test_empty_input():
    done = run("<&-", "decode", "-")
    assert done.returncode == 2 and is_plain(done)


def test_a_file_that_is_opened_takes_no_closed_stream(tmp_path):
    """Or what goes to standard error would be written into it."""
    done = run(
        "<&- 2>&-", "run", "--only", "PASS", "--json", str(tmp_path / "r.json"), program=fake_run.__file__
    )
    assert done.returncode == 0
    assert (tmp_path / "r.json").read_text().startswith("{")


@pytest.mark.parametrize("name", REAL)
def test_a_reader_that_leaves(name):
    words = [sys.executable, "-m", "conformance", *REAL[name]]
    environment = {**os.environ, "PYTHONPATH": str(Path(conformance.__file__).parents[1])}
    pipe, theirs = os.pipe()
    os.close(pipe)
    done = subprocess.run(
        words, env=environment, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=120
    )
    os.close(theirs)
    assert done.returncode in (0, 141) and done.stderr == ""
