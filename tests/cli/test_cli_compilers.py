# SPDX-License-Identifier: GPL-2.0-only
"""--cc on every command that compiles: one that is no compiler is a sentence, several are taken in turn."""

from __future__ import annotations

import os
import shutil

import pytest

COMMANDS = [
    ["run"],
    ["list"],
    ["scenario", "list"],
    ["scenario", "run"],
    ["scenario", "show", "first_read"],
    ["scenario", "bless"],
    ["lockstep"],
    ["explore", "run"],
    ["prove"],
    ["diff", "6.1", "6.12"],
    ["patch", "x.patch"],
    ["b4-check"],
    ["history"],
    ["identify", "6.1"],
    ["fingerprint", "show"],
    ["fingerprint", "bless"],
    ["layout"],
    ["kernels", "fetch", "6.1"],
    ["kernels", "show", "6.1"],
    ["kernels", "vendor", "6.1"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", ["/bin/false", "true", "echo", "nosuch-cc"])
def test_every_command_refuses_an_unknown_compiler(cli, command, name):
    before = os.environ.get("CC")
    done = cli(*command, "--cc", name)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"The compiler {name!r}" in done.stderr
    assert os.environ.get("CC") == before


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_two_compilers_are_judged_one_by_one_with_one_seed(cli, plans):
    gcc = shutil.which("gcc")
    done = cli("run", "--cc", "gcc", "--cc", gcc, "--cc", "gcc")
    assert len(plans) == 2, done.output
    assert [plan.seed for plan in plans] == [None, 7]
