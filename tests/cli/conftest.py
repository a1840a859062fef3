# SPDX-License-Identifier: GPL-2.0-only
"""The command line with nothing behind it: in this process through click, and as a real process."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fake_run
import pytest
from click.testing import CliRunner, Result

import conformance
from conformance.cli.group import commands
from conformance.differential.property_plan import PropertyPlan


@pytest.fixture(autouse=True)
def plans(monkeypatch) -> list[PropertyPlan]:
    """Replaces the comparison; the list holds what it was asked for."""
    monkeypatch.setitem(sys.modules, "conformance.differential.run_properties", fake_run.module())
    monkeypatch.delenv("CONFORMANCE_PROFILE", raising=False)
    monkeypatch.delenv("CONFORMANCE_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    fake_run.plans.clear()
    return fake_run.plans


@pytest.fixture
def cli() -> Callable[..., Result]:
    """Call the command line in this process."""
    # Before click 8.2 the two streams were mixed unless one asked.
    separate = "mix_stderr" in inspect.signature(CliRunner.__init__).parameters
    runner = CliRunner(mix_stderr=False) if separate else CliRunner()
    return lambda *args, given=None: runner.invoke(commands, [str(arg) for arg in args], input=given)


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call ``python -m conformance``: with the stand-in, or ``real=True`` as users have it, or ``code``."""

    def call(*args: str, real: bool = False, code: str = "", **options) -> subprocess.CompletedProcess[str]:
        root = str(Path(conformance.__file__).parents[1])
        paths = [root, os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "FAKE_RUN_ROOT": root,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        program = ["-m", "conformance"] if real else [fake_run.__file__]
        program = ["-c", code] if code else program
        given = {"capture_output": True, "text": True, "timeout": 60, "env": environment, **options}
        return subprocess.run([sys.executable, *program, *args], **given)

    return call
