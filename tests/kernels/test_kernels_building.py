# SPDX-License-Identifier: GPL-2.0-only
"""Confined builds: what a program sees of a compiler; failures of the machine are not the source's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, open_kernel
from conformance.kernels.building import GaveUp, build, places_of
from conformance.sandbox import launching
from conformance.sandbox.watching import Bounds

UNIT = "arch/x86/kvm/mmu/spte.c"


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_program_of_the_system_needs_nothing(tmp_path: Path) -> None:
    assert places_of(Path("/usr/bin/gcc")) == ()
    (tmp_path / "gcc").symlink_to("/usr/bin/gcc")
    assert places_of(tmp_path / "gcc") == (tmp_path,)


def test_an_installed_compiler_is_seen_with_its_parts(tmp_path: Path) -> None:
    clang = program(tmp_path / "llvm/bin/clang")
    for name in ("lib/clang", "libexec", "secrets"):
        (tmp_path / "llvm" / name).mkdir(parents=True)
    (tmp_path / "cc").mkdir()
    (tmp_path / "cc/my").symlink_to(clang)
    found = places_of(tmp_path / "cc/my")
    assert found == (tmp_path / "cc", *(tmp_path / "llvm" / one for one in ("bin", "lib", "libexec")))


@pytest.mark.parametrize("where", ["", "bin", "deep/er"])
def test_a_home_is_never_seen(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home / "deep/er" if where == "deep/er" else home))
    found = places_of(program(home / where / "cc"))
    assert home not in found and tmp_path not in found and home / "deep/er" not in found


def test_a_directory_that_users_share_is_not_seen(tmp_path: Path) -> None:
    cc = program(tmp_path / "shared/cc")
    cc.parent.chmod(0o1777)
    assert places_of(cc) == (cc,)


def test_a_script_reads_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "flags").write_text("-v")
    cc = program(tmp_path / "cc", f"#!/bin/sh\ncat {tmp_path}/flags\n")
    assert build([cc], read=places_of(cc)).stdout == "-v"


@pytest.mark.parametrize(
    ("limited", "said"),
    [
        (
            ["prlimit", "--no-such-option"],
            r"cannot be run confined \(prlimit: .*'conformance doctor' says more",
        ),
        (["/nowhere/prlimit"], r"cannot be run confined \(.*nowhere"),
    ],
)
def test_a_failing_confinement_is_not_a_compile_error(
    limited: list[str], said: str, tree: Path, cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = open_kernel(f"tree:{tree}", cache=cache)
    monkeypatch.setattr(launching, "_limited", lambda policy, kind: limited)
    with pytest.raises(ConformanceError, match=said) as trouble:
        kernel.compile([UNIT], tmp_path / "out")
    assert not isinstance(trouble.value, BuildError) and "does not compile" not in str(trouble.value)


def test_exhausted_memory_is_not_a_compile_error(
    tree: Path, cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = open_kernel(f"tree:{tree}", cache=cache)
    monkeypatch.setattr(launching, "_limited", lambda policy, kind: ["prlimit", "--as=20000000", "--"])
    with pytest.raises(ConformanceError) as trouble:
        kernel.compile([UNIT], tmp_path / "out")
    assert not isinstance(trouble.value, BuildError) and "does not compile" not in str(trouble.value)


def test_what_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(
        GaveUp, match=r"Trying: sleep did not come back within 1 s of waiting.*, and was ended"
    ):
        build(["sleep", "1000"], bounds=Bounds(cpu=10, idle=1, wall=60), purpose="Trying")


def test_a_build_does_not_inherit_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    names = {line.partition("=")[0] for line in build(["env"]).stdout.splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        "PATH", "HOME", "LC_ALL", "TMPDIR", "CCACHE_DISABLE"
    }  # fmt: skip


def test_binary_output_is_returned(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)))
    done = build(["cat", tmp_path / "file"], read=[tmp_path])
    assert done.stdout.encode("utf-8", "surrogateescape") == bytes(range(256))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("cc1: out of memory allocating 65536 bytes after a total of 0 bytes", False),
        ("gcc: fatal error: cannot execute 'cc1': vfork: Resource temporarily unavailable", False),
        ("gcc: fatal error: Killed signal terminated program cc1", False),
        ("gcc: fatal error: File size limit exceeded signal terminated program as", False),
        ("gcc: internal compiler error: Segmentation fault signal terminated program cc1", False),
        ('x.c:1:2: error: "out of memory"', True),
        ("x.c:1:2: error: #error out of memory", True),
        ('   12 | pr_err("out of memory");', True),
    ],
)
def test_a_lacking_resource_is_not_a_compile_error(line: str, own: bool, tmp_path: Path) -> None:
    fails = program(tmp_path / "cc", f"#!/bin/sh\ncat >&2 <<'END'\n{line}\nEND\nexit 1\n")
    if own:
        assert build([fails], read=[tmp_path]).stderr.strip() == line.strip()
        return
    with pytest.raises(ConformanceError, match=r"^This: cc "):
        build([fails], read=[tmp_path])


def test_a_source_that_makes_a_huge_object(tree: Path, cache, tmp_path: Path) -> None:
    (tree / UNIT).write_text('asm(".data; .fill 0x30000000, 1, 1");\n')
    kernel = open_kernel(f"tree:{tree}", cache=cache)
    with pytest.raises(ConformanceError, match="larger than 512 MiB") as trouble:
        kernel.compile([UNIT], tmp_path / "out", reuse=cache)
    assert not isinstance(trouble.value, BuildError)
