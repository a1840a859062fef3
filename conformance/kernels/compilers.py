# SPDX-License-Identifier: GPL-2.0-only
"""The C compiler for kernel code: its choice, identity and checks.

The environment chooses it, by Kbuild's variables: LLVM=1 is clang, LLVM=-21 clang-21, LLVM=/path/ that
directory's clang; CC is any command ("ccache gcc-14"); otherwise it is gcc. `--cc NAME` on a command line is
CC=NAME. Every product depends on the compiler, so its identity is part of every key.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.building import GaveUp, build, places_of
from conformance.kernels.cache import temporary
from conformance.kernels.products import check_library, check_object
from conformance.kernels.scratch import cache_root
from conformance.kernels.tools import KBUILD, absent, missing_too, packages_of
from conformance.sandbox.watching import Bounds

__all__ = ["DEFAULT_COMPILER", "Compiler", "chosen", "using"]

DEFAULT_COMPILER = "gcc"

LIMITS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
"""Errors of exhausted resources, which do not concern the compiler."""

PATIENCE = 60.0
"""Seconds in which a compiler must print its version."""

_ANSWERING = Bounds(cpu=PATIENCE, idle=PATIENCE, wall=PATIENCE)

_VERSION = re.compile(r"^(.*?)\b(gcc|clang) version (\d+(?:\.\d+)*)\S*[ \t]*(.*)$", re.MULTILINE)
_TARGET = re.compile(r"^Target: (\S+)$", re.MULTILINE)
_VERSIONED = re.compile(r"(?:gcc|clang)(?:-\d+)?")

_PROBE = "int conformance_probe(int x);\nint conformance_probe(int x) { return x + 1; }\n"


@dataclass(frozen=True)
class Compiler:
    """A C compiler for x86-64."""

    name: str
    """As the user named it: "gcc", "clang-16", "ccache gcc"."""
    command: tuple[str, ...]
    """Its command: the absolute path of the program, and further words."""
    family: str
    """"gcc" or "clang"."""
    version: tuple[int, ...]
    text: str
    """For people: "gcc 12.2.0 (Debian 12.2.0-14+deb12u1)"."""
    target: str
    """The machine that it compiles for: "x86_64-linux-gnu"."""
    configures: str
    """What a configuration depends on: the version line that Kconfig reads, and the command's flags."""
    identity: str
    """What distinguishes compilers: command, version, target, how it calls its parts, and the size and date
    of its programs, assembler and linker included."""

    places: tuple[Path, ...] = ()
    """Its files outside the system's directories, which it must be able to read."""

    @property
    def short(self) -> str:
        """ "gcc 12.2.0"."""
        return f"{self.family} {'.'.join(map(str, self.version))}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command line arguments that select it; none for the default."""
        return () if self.name == DEFAULT_COMPILER else ("--cc", self.name)

    @property
    def in_title(self) -> str:
        """The suffix of its kernels' titles."""
        return "" if self.name == DEFAULT_COMPILER else f" ({self.name})"

    def check(self) -> None:
        """Compile and link a small file; raises ConformanceError, with the messages, if that fails."""
        _check(self)


def asked() -> str:
    """The command that the environment selects."""
    llvm = os.environ.get("LLVM", "")
    if llvm.endswith("/"):
        return shlex.quote(f"{llvm}clang")
    if llvm:
        return f"clang{llvm}" if llvm.startswith("-") else "clang"
    return os.environ.get("CC", "").strip() or DEFAULT_COMPILER


def chosen() -> Compiler:
    """The compiler that the environment selects. Raises ConformanceError if it cannot be used."""
    return _named(asked(), os.environ.get("PATH", ""))


@contextlib.contextmanager
def using(name: str | None) -> Iterator[None]:
    """Within the body, compile with the named compiler, also in child processes; None changes nothing.

    Not thread-safe: it changes the environment.
    """
    if name is None:
        yield
        return
    before = {variable: os.environ.get(variable) for variable in ("CC", "LLVM")}
    os.environ.pop("LLVM", None)
    os.environ["CC"] = name
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value


@lru_cache
def _named(name: str, path: str) -> Compiler:
    """The compiler with a name, looked up on a PATH."""
    try:
        words = shlex.split(name)
    except ValueError as trouble:
        raise ConformanceError(f"The compiler {name!r} is no command: {trouble}.") from None
    if not words:
        raise ConformanceError("The compiler has an empty name. Name one: --cc gcc, --cc clang.")
    programs = _programs(name, words, path)
    command = tuple(shutil.which(word, path=path) or word for word in words)
    places = tuple(place for program in programs for place in places_of(Path(program)))
    said = _answer(name, [*command, "-v"], places)
    found, target = _VERSION.search(said), _TARGET.search(said)
    if found is None or target is None:
        raise _useless(
            name, [*command, "-v"], f"answered {_shortened(said)}, which is no version of gcc or clang"
        )
    vendor, family, version, rest = (part.strip() for part in found.groups())
    if not target[1].startswith("x86_64-"):
        raise ConformanceError(
            f"The compiler {name!r} compiles for {target[1]}; kernel code is run here on x86-64. "
            "Name one that compiles for it: --cc gcc, --cc clang."
        )
    remark = f" ({vendor} {rest.strip('()')})" if vendor and rest else f" {rest}" if rest else ""
    conduct = _conduct(name, command, path, places)
    first = _answer(name, [*command, "--version"], places).strip().partition("\n")[0]
    flags = [word for word in command[1:] if word.startswith("-")]
    return Compiler(
        name=name,
        command=command,
        family=family,
        version=tuple(map(int, version.split("."))),
        text=f"{family} {version}{remark}",
        target=target[1],
        configures=" ".join([first, *flags]),
        identity="\n".join([*command, found[0].strip(), target[1], *map(_dated, programs), *conduct]),
        places=places,
    )


def _dated(program: str) -> str:
    """A line that identifies a program: path, size, date, inode."""
    status = os.stat(program)
    return f"{os.path.realpath(program)} {status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _conduct(name: str, command: tuple[str, ...], path: str, places: tuple[Path, ...]) -> list[str]:
    """How a compiler calls its parts, and which programs these are, as lines.

    A command may be a script, or read configuration files: this shows their effect.
    """
    words = [*command, "-###", "-x", "c", os.devnull, "-o", os.devnull]
    lines = _asked(name, words, places).stderr.splitlines()
    calls = [shlex.split(line) for line in lines if line.startswith((" /", ' "', " as "))]
    parts = [call[0] for call in calls]
    if any(part.endswith("collect2") for part in parts):
        parts.append(_asked(name, [*command, "-print-prog-name=ld"], places).stdout.strip())
    named = [shutil.which(part, path=path) for part in parts]
    scratch = ("/tmp/", f"{cache_root()}/")
    calls = [[word for word in call if not any(place in word for place in scratch)] for call in calls]
    return [*map(shlex.join, calls), *(_dated(part) for part in named if part is not None)]


def _programs(name: str, words: list[str], path: str) -> list[str]:
    """The absolute paths of the programs in a command: the compiler, and a wrapper before it."""
    found = [shutil.which(word, path=path) for word in words if not word.startswith("-")]
    if not found or found[0] is None or shutil.which(words[0], path=path) is None:
        raise ConformanceError(_missing(name, words[0], path))
    return [os.path.abspath(one) for one in found if one is not None]


def _missing(name: str, program: str, path: str) -> str:
    """The error about a compiler that is not installed, and about other missing tools."""
    if "/" in program:
        return f"The compiler {name!r} does not exist.{_others(path)}"
    more = absent(KBUILD)
    tools = [program, *more] if _VERSIONED.fullmatch(program) else more
    them = "it" if len(tools) == 1 else "them"
    install = f" Install {them} with: apt-get install {packages_of(tools)}" if tools else ""
    return f"The compiler {name!r} is not installed{missing_too(more)}.{_others(path)}{install}"


def _others(path: str) -> str:
    """A sentence that lists the installed compilers, if any."""
    found = {
        file.name
        for place in path.split(os.pathsep)
        for kind in ("gcc*", "clang*")
        for file in Path(place or ".").glob(kind)
        if _VERSIONED.fullmatch(file.name) and os.access(file, os.X_OK)
    }
    return f" On PATH there are: {', '.join(sorted(found))}." if found else ""


def _answer(name: str, words: list[str], places: tuple[Path, ...]) -> str:
    """A compiler's output for an option that prints its version."""
    done = _asked(name, words, places)
    return f"{done.stderr}\n{done.stdout}"


def _asked(name: str, words: list[str], places: tuple[Path, ...]) -> subprocess.CompletedProcess[str]:
    """A compiler's output for an option that only prints. Raises ConformanceError."""
    try:
        done = build(words, read=places, bounds=_ANSWERING, purpose="Compiling kernel code")
    except GaveUp as trouble:
        raise _useless(name, words, trouble.how) from None
    except OSError as trouble:
        if trouble.errno in LIMITS:
            raise ConformanceError(
                f"The system gives the compiler {name!r} no process ({trouble.strerror}). "
                "Raise the limits of this process (ulimit -a), or end others, and try again."
            ) from None
        raise _useless(name, words, f"cannot be run ({trouble.strerror})") from None
    if done.returncode:
        said = _shortened(f"{done.stderr}\n{done.stdout}")
        raise _useless(name, words, f"ended with status {done.returncode} and said {said}")
    return done


def _shortened(said: str) -> str:
    """A program's first line, quoted."""
    line = next((line.strip() for line in said.splitlines() if line.strip()), "")
    return repr(line[:120]) if line else "nothing"


def _useless(name: str, words: list[str], what: str) -> ConformanceError:
    """The error about a command that is not a usable compiler."""
    return ConformanceError(
        f"The compiler {name!r} cannot be used: '{shlex.join(words)}' {what}. "
        "Name another: --cc gcc, --cc clang."
    )


@lru_cache
def _check(compiler: Compiler) -> None:
    with temporary("compiler") as place:
        source, made, library = (place / name for name in ("probe.c", "probe.o", "probe.so"))
        source.write_text(_PROBE)
        for words, product, check in (
            (["-fPIC", "-c", str(source), "-o", str(made)], made, check_object),
            (["-shared", str(made), "-o", str(library)], library, check_library),
        ):
            command = [*compiler.command, *words]
            done = build(
                command,
                read=compiler.places,
                write=[place],
                cwd=place,
                bounds=_ANSWERING,
                purpose="Compiling kernel code",
            )
            if done.returncode:
                said = _shortened(f"{done.stderr}\n{done.stdout}")
                raise _useless(compiler.name, command, f"ended with status {done.returncode} and said {said}")
            wrong = check(product, ["conformance_probe"])
            if wrong:
                raise _useless(compiler.name, command, f"ended with status 0, but what it made {wrong}")
