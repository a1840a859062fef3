# SPDX-License-Identifier: GPL-2.0-only
"""Proofs that are interrupted end at once, leave nobody behind, and are no results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("pypcode")
z3 = pytest.importorskip("z3")

from conformance.differential.proving.solving import Deadline, find  # noqa: E402


def hard():
    """What no solver says in the time of a test."""
    a, b = z3.BitVecs("a b", 64)
    return [a * b == 0xCD3F7BA5A3E2F0D9, z3.UGT(a, 1), z3.UGT(b, 1), z3.URem(a * a * b, a + b) == 77]


def test_an_interrupt_is_not_a_solver_that_gave_up():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            find(hard(), Deadline(30), "value")
    finally:
        signal.signal(signal.SIGINT, before)


def members(group):
    """The processes of a group, but for those that have ended."""
    told = subprocess.run(["ps", "-eo", "pid,pgid,stat"], capture_output=True, text=True, check=True).stdout
    rows = [row.split() for row in told.splitlines()[1:]]
    return {int(pid) for pid, owner, state in rows if int(owner) == group and not state.startswith("Z")}


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("sent", "status", "everyone"),
    [(signal.SIGINT, 130, True), (signal.SIGINT, 130, False), (signal.SIGTERM, 143, False)],
)
def test_whoever_stops_it_leaves_no_process(library, sent, status, everyone):
    running = subprocess.Popen(
        [sys.executable, "-m", "conformance", "prove", "--kernel", "6.1", "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert running.stderr is not None
    try:
        while "comparing" not in running.stderr.readline():
            assert running.poll() is None
        time.sleep(1.5)
        (os.killpg if everyone else os.kill)(running.pid, sent)
        _, said = running.communicate(timeout=60)
        assert running.returncode == status
        assert "Traceback" not in said and "KeyboardInterrupt" not in said
        end = time.monotonic() + 20
        while members(running.pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert not members(running.pid)
    finally:
        for left in members(running.pid):
            os.kill(left, signal.SIGKILL)
