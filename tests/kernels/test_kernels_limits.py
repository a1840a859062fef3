# SPDX-License-Identifier: GPL-2.0-only
"""A limit of the machine is reported as such, never as a fault of kernel code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, open_kernel
from conformance.kernels.compilers import chosen, using
from conformance.kernels.tools import run, starved

GCC = shutil.which("gcc")
UNIT = "arch/x86/kvm/mmu/spte.c"


@pytest.mark.skipif(GCC is None, reason="needs gcc")
@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ("ulimit -v 60000", "memory|map segment"),
        ("ulimit -f 0", "(?i)file (size|too)"),
        ("ulimit -d 20000", "memory"),
        ("ulimit -t 0", "(?i)cpu|SIG|killed"),
    ],
)
def test_a_compiler_at_its_limit_is_no_fault_of_the_kernel(
    limit: str, named: str, tree: Path, cache: Cache, tmp_path: Path
) -> None:
    large = "".join(f"int f{n}(int x) {{ return x * {n} + x / 7; }}\n" for n in range(6000))
    with open(tree / UNIT, "a") as file:
        file.write(large)
    program = tmp_path / "cc"
    # The limit is in force only while the large unit is compiled.
    program.write_text(f'#!/bin/sh\ncase "$*" in *-S*) {limit};; esac\nexec {GCC} "$@"\n')
    program.chmod(0o755)
    with using(str(program)):
        kernel = open_kernel(f"tree:{tree}", cache=cache)
        with pytest.raises(ConformanceError, match=named) as caught:
            kernel.compile([UNIT], tmp_path / "out", reuse=cache)
    assert not isinstance(caught.value, BuildError)
    assert "ulimit -a" in str(caught.value) and "does not compile" not in str(caught.value)
    assert list((cache.root / "object").glob("*")) == []


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("cc1: out of memory allocating 65536 bytes after a total of 1 bytes", "out of memory"),
        ("collect2: fatal error: ld terminated with signal 25 [File size limit exceeded]", "File size limit"),
        ("gcc: fatal error: Killed signal terminated program cc1", "Killed signal"),
        ("make: vfork: Resource temporarily unavailable", "Resource temporarily unavailable"),
        ("LLVM ERROR: out of memory", "out of memory"),
        ("spte.c:3:1: error: expected ';' before 'x'", ""),
        ('   12 |   pr_err("out of memory");', ""),
        ('      |   pr_err("out of memory");', ""),
    ],
)
def test_limits_are_told_from_faults(said: str, limit: str) -> None:
    assert starved(1, f"x\n{said}\n").startswith(limit)
    assert bool(starved(1, said)) is bool(limit)
    assert starved(0, said) == ""


def test_what_is_killed_is_named() -> None:
    with pytest.raises(ConformanceError, match="ended by SIGKILL"):
        run(["sh", "-c", "kill -9 $$"])
    assert run(["sh", "-c", "kill -15 $$"]).returncode == -15


def test_a_compiler_that_cannot_be_started_for_a_limit_is_not_called_useless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("conformance.kernels.compilers.build", refuse)
    chosen.__globals__["_named"].cache_clear()
    with pytest.raises(
        ConformanceError, match=r"gives the compiler 'gcc' no process \(Too many open files\)"
    ):
        chosen()
    chosen.__globals__["_named"].cache_clear()


@pytest.mark.parametrize(("number", "named"), [(28, "The disk is full"), (122, "The disk is full")])
def test_a_disk_that_is_full_when_a_kernel_is_copied_is_named(
    number: int, named: str, tree: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_kernel(f"tree:{tree}", cache=cache)
    patch = tmp_path / "p.diff"
    name = "arch/x86/kvm/mmu/spte.h"
    patch.write_text(
        f"--- a/{name}\n+++ b/{name}\n@@ -20,3 +20,3 @@\n"
        " /* line 20 */\n-#define SPTE 2\n+#define SPTE 3\n /* end */\n"
    )

    def full(*_: object) -> None:
        raise OSError(number, "no space")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ConformanceError, match=named):
        open_kernel(f"tree:{tree}", [patch], cache=cache)
    monkeypatch.undo()
    assert list((cache.root / "patched").glob("*")) == []
    assert open_kernel(f"tree:{tree}", [patch], cache=cache)
