# SPDX-License-Identifier: GPL-2.0-only
"""The choice of the compiler, refusal of unusable ones, and checks of their products."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from kernel_samples import Said

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, open_kernel
from conformance.kernels.compilers import chosen, using
from conformance.kernels.products import check_library, check_object
from conformance.kernels.tools import clean_environment

GCC = shutil.which("gcc")
UNIT = "arch/x86/kvm/mmu/spte.c"

pytestmark = pytest.mark.skipif(GCC is None, reason="needs gcc")


@pytest.fixture(autouse=True)
def unset(monkeypatch) -> None:
    for name in ("CC", "LLVM"):
        monkeypatch.delenv(name, raising=False)


def script(path: Path, text: str) -> Path:
    """A program in sh."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def fake(path: Path, says: str) -> Path:
    """A script that prints a compiler's version and otherwise calls gcc."""
    return script(path, f'case "$*" in -v|--version) printf \'{says}\' >&2;; *) exec {GCC} "$@";; esac')


CLANG = r"Debian clang version 21.1.0 (4)\nTarget: x86_64-pc-linux-gnu\nInstalledDir: /usr/bin\n"


def refusal() -> str:
    with pytest.raises(ConformanceError) as caught:
        chosen()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_more_it_is_gcc():
    compiler = chosen()
    assert (compiler.name, compiler.family, compiler.command) == ("gcc", "gcc", (GCC,))
    assert compiler.arguments == () and compiler.in_title == ""
    assert compiler.text.startswith("gcc ") and compiler.version[0] > 4
    assert compiler.target.startswith("x86_64-")


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"LLVM": "1"}, "clang"),
        ({"LLVM": "-21"}, "clang-21"),
        ({"LLVM": "1", "CC": "gcc"}, "clang"),
        ({"CC": "clang-21"}, "clang-21"),
        ({"CC": "wrapper clang-21"}, "wrapper clang-21"),
    ],
)
def test_the_environment_chooses_as_kbuild_does(given, asked, tmp_path, monkeypatch):
    fake(tmp_path / "clang", CLANG)
    fake(tmp_path / "clang-21", CLANG)
    script(tmp_path / "wrapper", 'exec "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    compiler = chosen()
    assert (compiler.name, compiler.family, compiler.version) == (asked, "clang", (21, 1, 0))
    assert compiler.text == "clang 21.1.0 (Debian 4)"
    assert compiler.arguments == ("--cc", asked) and compiler.in_title == f" ({asked})"


def test_llvm_as_a_directory(tmp_path, monkeypatch):
    made = fake(tmp_path / "my llvm/bin/clang", CLANG)
    monkeypatch.setenv("LLVM", f"{made.parent}/")
    assert chosen().command == (str(made),)


@pytest.mark.parametrize("name", ["/bin/false", "true", "echo", "cat", "yes", "", "  "])
def test_a_command_that_is_not_a_compiler_is_refused(name, monkeypatch):
    if not name.strip():
        with using(name):
            assert chosen().name == "gcc"  # as in make: an empty variable is not set
        return
    monkeypatch.setenv("CC", name)
    message = refusal()
    assert f"compiler {name!r} cannot be used" in message and "-v' " in message


@pytest.mark.parametrize("name", ["clang-999", "/nowhere/gcc", "--help", "gcc 'x"])
def test_a_missing_compiler_is_refused(name, monkeypatch):
    monkeypatch.setenv("CC", name)
    assert repr(name) in refusal()


def test_installed_compilers_are_suggested(tmp_path, monkeypatch):
    fake(tmp_path / "clang-21", CLANG)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LLVM", "1")
    message = refusal()
    assert "'clang' is not installed" in message and "clang-21" in message
    assert message.endswith("apt-get install bc binutils bison clang flex make mawk")


def test_another_machine_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", str(fake(tmp_path / "cross", CLANG.replace("x86_64", "aarch64"))))
    assert "compiles for aarch64-pc-linux-gnu" in refusal()


@pytest.mark.parametrize(
    "does", ["true", "exit 3", 'for last; do :; done; : >"$last"', 'for last; do :; done; echo x >"$last"']
)
def test_a_compiler_without_products_is_refused_early(does, tree, cache, said, tmp_path, monkeypatch):
    program = script(tmp_path / "cc", f'case "$*" in -v|--version) exec {GCC} $1;; *) {does};; esac')
    monkeypatch.setenv("CC", str(program))
    with pytest.raises(ConformanceError, match=r"compiler '.*/cc' cannot be used"):
        open_kernel(f"tree:{tree}", cache=cache, progress=said)
    assert list((cache.root / "tree").glob("*")) == []


def test_a_compiler_that_breaks_later_is_detected(
    tree: Path, cache: Cache, said: Said, tmp_path: Path, monkeypatch
):
    """It passes the check, and then writes rubbish with status 0, which is not kept."""
    program = script(
        tmp_path / "cc",
        f'case "$*" in *-M*|-v|--version|*print*|*probe*) exec {GCC} "$@";; esac\n'
        'for last; do :; done; echo rubbish >"$last"',
    )
    monkeypatch.setenv("CC", str(program))
    kernel = open_kernel(f"tree:{tree}", cache=cache, progress=said)
    with pytest.raises(BuildError, match=r"what .*/cc made of arch/x86/kvm/mmu/spte.c is no object file"):
        kernel.compile([UNIT], tmp_path / "out", reuse=cache)
    assert list((cache.root / "object").glob("*")) == []
    script(program, f'exec {GCC} "$@"')
    assert open_kernel(f"tree:{tree}", cache=cache).compile([UNIT], tmp_path / "out", reuse=cache)


def test_a_compiler_that_is_deleted_meanwhile_is_reported(tree, cache, said, tmp_path, monkeypatch):
    program = fake(tmp_path / "cc", r"gcc version 12.2.0 (x)\nTarget: x86_64-linux-gnu\n")
    monkeypatch.setenv("CC", str(program))
    kernel = open_kernel(f"tree:{tree}", cache=cache, progress=said)
    program.unlink()
    with pytest.raises(ConformanceError, match="/cc"):
        kernel.compile([UNIT], tmp_path / "out")


def test_two_compilers_have_entries_of_their_own(tree, cache, said, tmp_path, monkeypatch):
    other = script(tmp_path / "gcc-other", f'exec {GCC} "$@"')
    first = open_kernel(f"tree:{tree}", cache=cache, progress=said)
    with using(str(other)):
        second = open_kernel(f"tree:{tree}", cache=cache, progress=said)
    # Compilers of one version share a configuration, but not objects.
    assert first.root == second.root and first.fingerprint != second.fingerprint
    assert second.title == f"tree:{tree} ({other})"
    for kernel in (first, second):
        kernel.compile([UNIT], tmp_path / "out", reuse=cache)
    assert len(list((cache.root / "object").glob("*"))) == 2
    assert open_kernel(f"tree:{tree}", cache=cache) == first
    # A newer program at the same path is another compiler.
    script(other, f'exec {GCC} "$@" # again')
    with using(str(other)):
        chosen.__globals__["_named"].cache_clear()
        assert open_kernel(f"tree:{tree}", cache=cache, progress=said).fingerprint != second.fingerprint


def test_a_compiler_that_is_too_old_for_the_kernel_is_refused(tree, cache, tmp_path, monkeypatch):
    script(tree / "scripts/min-tool-version.sh", 'case "$1" in llvm) echo 22.0.1;; gcc) echo 5.1.0;; esac')
    monkeypatch.setenv("CC", str(fake(tmp_path / "clang-21", CLANG)))
    with pytest.raises(
        ConformanceError, match=r"asks for clang 22\.0\.1 or later.*clang 21\.1\.0.*--cc clang-22"
    ):
        open_kernel(f"tree:{tree}", cache=cache)


def test_what_would_steer_a_compiler_is_kept_from_it(monkeypatch):
    flags = ["CFLAGS", "KCFLAGS", "KAFLAGS", "KCPPFLAGS", "CPPFLAGS", "LDFLAGS", "HOSTCFLAGS", "USERCFLAGS"]
    paths = ["CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH", "LD_RUN_PATH"]
    choices = ["CC", "HOSTCC", "LLVM", "LLVM_IAS", "CROSS_COMPILE", "ARCH", "LDEMULATION", "GNUTARGET"]
    names = [*flags, *paths, *choices, "GCC_EXEC_PREFIX", "CCC_OVERRIDE_OPTIONS", "CLANG_CONFIG", "MAKEFLAGS"]
    for name in names:
        monkeypatch.setenv(name, "x")
    assert [name for name in names if name in clean_environment()] == []


def test_a_steered_environment_changes_nothing(tree, cache, said, tmp_path, monkeypatch):
    """Variables that would make every compilation fail if they were inherited."""
    for name in ("CFLAGS", "KCFLAGS", "CCC_OVERRIDE_OPTIONS"):
        monkeypatch.setenv(name, "-no-such-flag")
    (tmp_path / "linux").mkdir(exist_ok=True)
    for name in ("GCC_EXEC_PREFIX", "CPATH", "C_INCLUDE_PATH"):
        monkeypatch.setenv(name, str(tmp_path))
    assert open_kernel(f"tree:{tree}", cache=cache, progress=said).compile([UNIT], tmp_path / "out")


def test_products(tmp_path):
    path = tmp_path / "x"
    assert check_object(path) == "does not exist"
    path.write_bytes(b"")
    assert check_object(path) == "is empty"
    path.write_bytes(b"\x7fELF")
    assert check_object(path) == "is no object file for x86-64"
    made, library = tmp_path / "x.o", tmp_path / "x.so"
    os.system(f"echo 'int f(void) {{ return 1; }}' | {GCC} -fPIC -x c -c -o {made} -")
    os.system(f"{GCC} -shared -o {library} {made}")
    assert check_object(made, ["f"]) == "" and check_library(library, ["f"]) == ""
    assert check_object(library) == "is no object file for x86-64"
    assert check_library(library, ["f", "g"]) == "does not define g"
    path.write_bytes(made.read_bytes()[:-100])
    assert check_object(path) in {"is cut off", "is no object file for x86-64"}


def identity(name: str) -> str:
    """A compiler's identity, determined anew."""
    chosen.__globals__["_named"].cache_clear()
    with using(name):
        return chosen().identity


def test_a_script_is_known_by_what_it_does(tmp_path):
    flags = tmp_path / "flags"
    flags.write_text("")
    program = script(tmp_path / "cc", f'exec {GCC} $(cat {flags}) "$@"')
    seen = {identity(str(program))}
    for words in ("-DX=1", "-DX=2", "-O1", "-fwrapv", "-Wa,--noexecstack"):
        flags.write_text(words)
        seen.add(identity(str(program)))
    assert len(seen) == 6


@pytest.mark.parametrize("part", ["as", "ld", "cc1"])
def test_a_compiler_s_parts_are_part_of_it(part, tmp_path):
    real = os.popen(f"{GCC} -print-prog-name={part}").read().strip()
    program = script(tmp_path / "cc", f'exec {GCC} -B{tmp_path}/parts "$@"')
    script(tmp_path / "parts" / part, f'exec {real} "$@"')
    before = identity(str(program))
    assert identity(str(program)) == before
    script(tmp_path / "parts" / part, f'exec {real} "$@" # another')
    assert identity(str(program)) != before


def test_a_wrapper_is_part_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script(tmp_path / "ccache", 'exec "$@"')
    before = identity("ccache gcc")
    script(tmp_path / "ccache", 'exec "$@" # another')
    assert identity("ccache gcc") not in (before, identity("gcc"))


@pytest.mark.parametrize(
    "name", ["MY_FLAGS", "CCACHE_COMPILER", "CCACHE_PREFIX", "DISTCC_HOSTS", "SOURCE_DATE_EPOCH"]
)
def test_no_variable_reaches_a_script(name, tree, cache, tmp_path, monkeypatch):
    program = script(tmp_path / "cc", f'exec {GCC} ${{{name}:+-no-such-flag}} "$@"')
    monkeypatch.setenv("CC", str(program))
    monkeypatch.setenv(name, "1")
    assert open_kernel(f"tree:{tree}", cache=cache).compile([UNIT], tmp_path / "out", reuse=cache)


def test_programs_get_what_they_need(monkeypatch):
    names = ["PATH", "HOME", "TMPDIR", "https_proxy", "HTTP_PROXY", "no_proxy", "SSL_CERT_FILE", "APT_CONFIG"]
    for name in names:
        monkeypatch.setenv(name, "x")
    assert [name for name in names if clean_environment().get(name) != "x"] == []
    assert clean_environment()["LC_ALL"] == "C"
