# SPDX-License-Identifier: GPL-2.0-only
"""``conformance selftests``: options, exit status, bad input."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import fake_scenarios
import pytest

from conformance.differential.verdict import Verdict


@pytest.fixture
def asked(monkeypatch):
    """Replaces the run, which fails; the list holds what it was asked for."""
    plans: list[object] = []
    made = ModuleType("conformance.selftests.run_selftests")

    def run(plan, *, progress, advance):
        plans.append(plan)
        return fake_scenarios.report(Verdict.FAIL)

    made.__dict__.update(SelftestPlan=lambda *given: given, run=run)
    monkeypatch.setitem(sys.modules, "conformance.selftests.run_selftests", made)
    return plans


def test_options_reach_the_plan(cli, asked, tmp_path):
    image = tmp_path / "vmlinux"
    image.touch()
    done = cli("selftests", "dirty*", "--kernel", "7.3", "--patch", "fix.mbox", "--image", image,
               "--modules", tmp_path, "--mode", "shadow", "--json", "-")  # fmt: skip
    assert done.exit_code == 1 and '"schema"' in done.stdout
    assert asked == [(("7.3",), (Path("fix.mbox"),), ("dirty*",), ("shadow",), image, tmp_path)]


def test_a_time_limit_that_is_none(cli, asked):
    done = cli("selftests", "--time-limit", "0")
    assert done.exit_code == 2 and "is not a positive, finite time" in done.stderr and not asked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nosuch",), "No selftest of the MMU is named 'nosuch'"),
        (("--kernel", "tree:."), "tree:.: a tree is not built here"),
        (("--image", "/nowhere"), "does not exist"),
        (("--modules", "."), "--image and --modules go together"),
        (("--mode", "ept-ad"), "In mode ept-ad no selftests are run"),
        (("--kernel", "9.9"), "There is no kernel '9.9'"),
    ],
)
def test_bad_input(cli, words, said):
    done = cli("selftests", *words)
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3
