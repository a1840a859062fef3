# SPDX-License-Identifier: GPL-2.0-only
"""Damaged mails, modules, types, race, story and golden files are read or refused, within time and memory.

The damage is the same in each run: ``python batch.py KIND PLACE SEED COUNT`` repeats a failure, and leaves
the current file in PLACE/mutant.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PARTS = [HERE, HERE.parent, HERE.parent / "oracles"]
KINDS = ("mails", "modules", "types", "races", "stories", "goldens", "logs")
SEED = "1"
FEW, MANY = 200, 2000
AT_ONCE = 500
"""The batch of a slow test, so that several processes share the work."""


def batch(kind: str, place: Path, seed: str, count: int) -> dict[str, int]:
    """The results of reading damaged files in a separate process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, PARTS))}
    done = subprocess.run(
        [sys.executable, HERE / "batch.py", kind, place, seed, str(count)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    at = (place / "number").read_text() if (place / "number").exists() else "none"
    assert done.stdout, f"{kind}, seed {seed}: it ended at {at}: {done.stderr[-3000:]}"
    told = json.loads(done.stdout)
    failures = "\n".join(told.pop("failures"))
    assert not failures, f"{kind}, seed {seed}:\n{failures}"
    assert done.returncode == 0
    return told


def check(told: dict[str, int], kind: str, count: int) -> None:
    """A kind of which no mutant is read, or none refused, tests nothing."""
    assert told["read"] + told["refused"] == count
    assert told["read"] > count // 50
    assert told["refused"] > count // 50 or kind == "logs"  # Any text is valid here, with or without SPTEs.


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind, tmp_path, counted):
    told = batch(kind, tmp_path, SEED, FEW)
    counted(f"damaged {kind}").update(told)
    check(told, kind, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(MANY // AT_ONCE))
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(kind, part, tmp_path, counted):
    told = batch(kind, tmp_path, f"{SEED}.{part}", AT_ONCE)
    counted(f"damaged {kind}").update(told)
    check(told, kind, AT_ONCE)
