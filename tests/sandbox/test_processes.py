# SPDX-License-Identifier: GPL-2.0-only
"""Processes end with the command that started them, however it ends, and so do their children."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import conformance

PATIENCE = 10.0
"""Seconds: a bound for hangs, not for speed."""


def left(marker: str) -> list[str]:
    """The command lines of the processes with the marker in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARKER={marker}".encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def gone(marker: str) -> bool:
    """Whether all of them are gone within a few seconds."""
    end = time.monotonic() + PATIENCE
    while left(marker):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


PRELUDE = """
import os, signal, subprocess, sys, threading, time
from conformance.sandbox import processes
nested = ["sh", "-c", "sleep 600 & sleep 600"]
"""


@pytest.fixture
def program(tmp_path):
    """Starts Python code that prints a line when it is ready; its path marks the processes that it starts."""
    running: list[subprocess.Popen[str]] = []

    def begin(code: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "MARKER": str(tmp_path),
            "PYTHONPATH": str(Path(conformance.__file__).parents[1]),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "starting",
    [
        "processes.start(nested)",
        "thread = threading.Thread(target=processes.start, args=[nested]); thread.start(); thread.join()",
        "processes.started(subprocess.Popen(['sleep', '600']))",
    ],
    ids=["group", "by a thread that ended", "single"],
)
@pytest.mark.parametrize(
    "ending",
    ["os.kill(os.getpid(), signal.SIGKILL)", "processes.end_all()", "sys.exit()", "processes.finish()"],
)
def test_none_outlives_the_command(program, tmp_path, starting, ending):
    process = program(f"{starting}\nprint('ready', flush=True)\ntime.sleep(0.2)\n{ending}\ntime.sleep(0.2)")
    assert gone(str(tmp_path))
    assert process.communicate()[1] == ""


def test_the_watchdog_is_gone_when_the_command_has_finished(program):
    process = program("processes.start(nested); processes.finish(); print('ready', flush=True); input()")
    assert not Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()


def test_ended_processes_are_not_killed(program, tmp_path):
    code = """
done = processes.start(["true"])
done.wait()
processes.ended(done)
other = subprocess.Popen(["sleep", "5"])
processes.started(other)
processes.ended(other)
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    program(code).wait()
    time.sleep(0.3)
    (sleeper,) = left(str(tmp_path))
    assert sleeper.startswith("sleep")


def test_no_process_is_started_after_the_end(program):
    code = """
processes.end_all()
try:
    processes.start(["sleep", "600"])
except processes.Ended:
    print("ready", flush=True)
"""
    assert program(code).wait(PATIENCE) == 0


def test_a_fork_does_not_kill_its_parents_processes(program):
    code = """
process = processes.start(["sleep", "600"])
if not (child := os.fork()):
    processes.finish()
    os._exit(0)
os.waitpid(child, 0)
time.sleep(0.1)
assert process.poll() is None
print("ready", flush=True)
"""
    assert program(code).wait(PATIENCE) == 0


def test_an_interrupt_is_deferred_by_uninterrupted_code(program):
    code = """
signal.signal(signal.SIGUSR1, lambda number, frame: processes.interrupt(processes.Ended("now")))
done = []
try:
    with processes.uninterrupted():
        with processes.uninterrupted():
            os.kill(os.getpid(), signal.SIGUSR1)
            done.append(1)
        done.append(2)
    done.append(3)
except processes.Ended:
    assert done == [1, 2]
    print("ready", flush=True)
"""
    assert program(code).wait(PATIENCE) == 0


def test_functions_at_the_end_are_called_once_after_the_processes(program):
    code = """
process = processes.start(["sleep", "600"])
processes.at_end(lambda: print("ready" if process.poll() is not None else "too early", flush=True))
processes.finish()
"""
    process = program(code)
    assert process.communicate()[0] == ""
