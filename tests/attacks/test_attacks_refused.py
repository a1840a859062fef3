# SPDX-License-Identifier: GPL-2.0-only
"""Without confinement, foreign code is refused before a program reads any of it."""

from __future__ import annotations

import inspect
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from kernel_samples import FILES

from conformance.cli.group import commands
from conformance.errors import ConformanceError
from conformance.kernels import Cache, open_kernel
from conformance.sandbox import confinement as confinements
from conformance.sandbox import launching
from conformance.sandbox.confinement import Confinement
from conformance.sandbox.policy import UNCONFINED

DIFF = """\
--- a/arch/x86/kvm/mmu/spte.c
+++ b/arch/x86/kvm/mmu/spte.c
@@ -1,2 +1,3 @@
 #include "spte.h"
+int more;
 #include <linux/one.h>
"""


@pytest.fixture
def nothing_confines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which every confinement fails."""
    monkeypatch.delenv(UNCONFINED, raising=False)
    monkeypatch.setattr(confinements, "why_not", lambda kind: f"no {kind.value} here")
    monkeypatch.setattr(confinements, "_working", lambda path: Confinement.NONE)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "linux" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "fix.mbox").write_text(DIFF)
    return tmp_path / "linux"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of programs that were started."""
    found: list[list[str]] = []
    real = launching._spawn
    monkeypatch.setattr(
        launching, "_spawn", lambda words, **how: found.append([*words]) or real(words, **how)
    )
    return found


@pytest.mark.usefixtures("nothing_confines")
def test_trees_and_patches_are_refused(tree: Path, tmp_path: Path, started: list[list[str]]) -> None:
    cache = Cache(tmp_path / "cache")
    with pytest.raises(
        ConformanceError, match=r"The tree .*linux could run anything .*no bubblewrap here"
    ) as no:
        open_kernel(f"tree:{tree}", cache=cache)
    assert "apt-get install bubblewrap" in str(no.value) and "--unconfined" in str(no.value)
    with pytest.raises(ConformanceError, match=r"The patch fix\.mbox could run anything"):
        open_kernel("6.1", [tmp_path / "fix.mbox"], cache=cache)
    assert not any("-c" in words or "make" in words for words in started)
    assert not [*cache.root.glob("tree/*")]


@pytest.mark.usefixtures("nothing_confines")
def test_unconfined_is_said_in_the_notes(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(UNCONFINED, "1")
    kernel = open_kernel(f"tree:{tree}", [tmp_path / "fix.mbox"], cache=Cache(tmp_path / "cache"))
    assert [note for note in kernel.notes if "were not confined" in note]


def test_nothing_is_said_of_what_was_confined(tree: Path, tmp_path: Path) -> None:
    if confinements.confinement() is Confinement.NONE:
        pytest.skip("nothing confines code here")
    kernel = open_kernel(f"tree:{tree}", [tmp_path / "fix.mbox"], cache=Cache(tmp_path / "cache"))
    assert not [note for note in kernel.notes if "confined" in note]


def called(*words: str):
    separate = "mix_stderr" in inspect.signature(CliRunner.__init__).parameters
    runner = CliRunner(mix_stderr=False) if separate else CliRunner()
    return runner.invoke(commands, [*words])


@pytest.mark.usefixtures("nothing_confines")
@pytest.mark.parametrize(
    "words",
    [
        ["run", "--kernel", "tree:{tree}"],
        ["run", "--patch", "{patch}"],
        ["run", "--module", "{patch}"],
        ["patch", "{patch}"],
        ["diff", "6.1", "tree:{tree}"],
        ["scenario", "run", "--kernel", "tree:{tree}"],
        ["lockstep", "--kernel", "tree:{tree}"],
        ["explore", "run", "--kernel", "tree:{tree}"],
        ["prove", "--kernel", "tree:{tree}"],
        ["identify", "tree:{tree}"],
        ["kernels", "fetch", "tree:{tree}"],
        ["fingerprint", "show", "--kernel", "tree:{tree}"],
    ],
    ids=" ".join,
)
def test_every_command_refuses(words: list[str], tree: Path, tmp_path: Path) -> None:
    done = called(*(word.format(tree=tree, patch=tmp_path / "fix.mbox") for word in words))
    assert done.exit_code == 2, done.output
    said = " ".join((done.stderr + done.stdout).split())
    assert "could run anything on this machine" in said, said


def test_every_command_that_opens_kernels_has_the_option() -> None:
    def leaves(command: click.Command, name: str):
        if isinstance(command, click.Group):
            context = click.Context(command)
            for one in command.list_commands(context):
                inner = command.get_command(context, one)
                assert inner is not None
                yield from leaves(inner, f"{name} {one}".strip())
        else:
            yield name, {option for one in command.params for option in one.opts}

    lacking = {name for name, options in leaves(commands, "") if "--unconfined" not in options}
    compiling = {name for name, options in leaves(commands, "") if "--cc" in options}
    assert not lacking & compiling, lacking & compiling
    assert {"decode", "doctor"} <= lacking
