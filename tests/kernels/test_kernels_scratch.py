# SPDX-License-Identifier: GPL-2.0-only
"""Temporary directories are removed by their owner, or at the next start if it was killed."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import conformance
from conformance.errors import ConformanceError
from conformance.kernels import scratch
from conformance.kernels.cache import Cache, temporary
from conformance.kernels.tools import run
from conformance.sandbox import processes

CODE = """
import os, signal, sys, threading, time
from conformance.kernels.cache import temporary
from conformance.sandbox import processes
with temporary("owned") as place:
    (place / "file").write_text("")
    print(place, flush=True)
    {}
"""


def owner(code: str) -> tuple[subprocess.Popen[str], Path]:
    """Starts a process that creates a temporary directory and runs the code; returns it and the directory."""
    environment = {**os.environ, "PYTHONPATH": str(Path(conformance.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", CODE.format(code)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.fixture(autouse=True)
def tmp(tmp_path, monkeypatch) -> Path:
    """The directory of the temporary directories."""
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tmp"


def test_it_is_in_the_cache_until_the_end(tmp):
    with temporary("one") as one, temporary("one") as other:
        assert one != other and one.parent == other.parent == tmp
        (one / "folder").mkdir()
        (one / "folder" / "file").write_text("")
    assert [*tmp.iterdir()] == []


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp):
    killed, left = owner("os.kill(os.getpid(), signal.SIGKILL)")
    killed.wait()
    living, kept = owner("input()")
    assert (left / "file").exists()
    with temporary("mine") as mine:
        Cache().sweep()
        assert not left.exists() and (kept / "file").exists() and mine.exists()
    living.communicate("\n")
    assert [*tmp.iterdir()] == []


@pytest.mark.parametrize(
    "code",
    ["sys.exit()", "processes.finish(); os._exit(0)", "raise KeyboardInterrupt"],
)
def test_a_process_that_ends_leaves_none(tmp, code):
    process, _ = owner(code)
    process.wait()
    assert [*tmp.iterdir()] == []


def test_one_that_is_swept_before_it_is_locked_is_made_again(tmp, monkeypatch):
    swept = []

    def late(descriptor: int, how: int) -> None:
        if not swept:
            swept.extend(tmp.iterdir())
            swept[0].rmdir()

    monkeypatch.setattr(fcntl, "flock", late)
    with temporary("one") as place:
        assert place.is_dir() and place != swept[0]


def test_without_locks_nothing_is_swept(tmp, monkeypatch):
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with temporary("one") as place:
        Cache().sweep()
        assert place.is_dir()


def test_what_is_written_while_it_is_removed_goes_too(tmp, monkeypatch):
    remove, writes = scratch.shutil.rmtree, [1, 2]

    def removed(path: Path, ignore_errors: bool) -> None:
        remove(path, ignore_errors=ignore_errors)
        if writes:
            path.mkdir()
            writes.pop()

    monkeypatch.setattr(scratch.shutil, "rmtree", removed)
    with temporary("one"):
        pass
    assert [*tmp.iterdir()] == []


def test_an_end_while_it_is_made_leaves_none(tmp, monkeypatch):
    make = scratch._make

    def interrupted(place: Path, name: str) -> tuple[Path, int]:
        made = make(place, name)
        os.kill(os.getpid(), signal.SIGUSR1)
        return made

    monkeypatch.setattr(scratch, "_make", interrupted)
    before = signal.signal(signal.SIGUSR1, lambda *_: processes.interrupt(processes.Ended("now")))
    try:
        with pytest.raises(processes.Ended), temporary("one"):
            raise AssertionError
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [*tmp.iterdir()] == []


def test_programs_have_their_temporary_files_there(tmp):
    tmp.mkdir(parents=True)
    done = run(["sh", "-c", 'echo "$TMPDIR"; touch "$TMPDIR/left"; test -e "$TMPDIR/left"'])
    assert done.returncode == 0
    assert Path(done.stdout.strip()).parent == tmp
    assert [*tmp.iterdir()] == []


def test_a_cache_that_cannot_be_written_is_a_sentence(tmp):
    tmp.parent.write_text("")
    with pytest.raises(ConformanceError, match="CONFORMANCE_CACHE"), temporary("one"):
        raise AssertionError
    assert run(["true"]).returncode == 0


def test_a_program_alone_makes_no_cache(tmp):
    assert run(["true"]).returncode == 0
    assert not tmp.parent.exists()
