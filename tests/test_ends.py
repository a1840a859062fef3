# SPDX-License-Identifier: GPL-2.0-only
"""A command that a signal ends, also if its main thread does not react."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import conformance
from conformance.differential import run_properties
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.verdict import Result, Verdict
from conformance.ends import Interrupted

HANGS = 30.0

BEGIN = """
import ctypes, os, sys, threading, time
from conformance import ends
from conformance.kernels.cache import temporary
from conformance.sandbox import processes
ends.listen()
with temporary("stuck") as place:
    sleeper = processes.start(["sleep", "600"])
    print(sleeper.pid, flush=True)
"""

STUCK = {
    "in a library": """
    lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, bytes(64)
    lock(mutex)
    lock(mutex)
""",
    "in a handler of everything": """
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass
""",
    "in another thread": """
    threading.Thread(target=time.sleep, args=(600,)).start()
    try:
        time.sleep(600)
    except ends.Interrupted as ended:
        ends.leave(ended.status)
""",
}


@pytest.mark.parametrize("where", STUCK)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_ends_wherever_it_hangs(tmp_path, where, number):
    environment = {
        **os.environ,
        "CONFORMANCE_CACHE": str(tmp_path),
        "PYTHONPATH": str(Path(conformance.__file__).parents[1]),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + STUCK[where]],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        sleeper = int(process.stdout.readline())
        time.sleep(1)
        for _ in range(2):
            process.send_signal(number)
        assert process.communicate(timeout=HANGS)[1] == ""
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert not Path(f"/proc/{sleeper}").exists()
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_partial_results_are_reported(monkeypatch):
    def judged(selector, plan, seed, progress, advance):
        advance(Result("is_large_pte", "shim", "fuzz", "npt", Verdict.PASS, 10))
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(run_properties, "_judge", judged)
    plan = PropertyPlan(kernels=("6.1",), only=("is_large_pte", "is_writable_pte"))
    told = run_properties.run(plan, progress=lambda message: None).kernels[0].results
    assert [(result.property, result.verdict, result.reason) for result in told] == [
        ("is_large_pte", Verdict.PASS, ""),
        ("is_writable_pte", Verdict.MISS, "not reached: interrupted by SIGTERM"),
    ]
