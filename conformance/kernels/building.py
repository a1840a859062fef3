# SPDX-License-Identifier: GPL-2.0-only
"""Runs the programs that build foreign code or read the result: make, compilers, linkers, nm.

Kbuild runs whatever the kernel's Makefiles say, and a compiler reads whatever files a source names. So each
runs confined and within limits. Their products are foreign too: they are checked for links before they are
read.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.cache import temporary
from conformance.kernels.tools import disk_full, no_more, packages_of, require, starved
from conformance.sandbox.confinement import ENVIRONMENT, own_tmp
from conformance.sandbox.launching import Done, run
from conformance.sandbox.policy import SYSTEM, Policy
from conformance.sandbox.watching import LEAST_FREE, Bounds

__all__ = ["COMPILING", "PREPARING", "GaveUp", "build", "check_made", "places_of"]

IDLE = 120.0
"""Seconds that a build may be idle."""

COMPILING = Bounds(cpu=1200, idle=IDLE, wall=3600)
"""The bounds of one call of a compiler, a linker or a reader of their output; the slowest take half a
minute."""

PREPARING = Bounds(cpu=3600, idle=IDLE, wall=7200)
"""The bounds of Kbuild's configuration and generation of headers, which take a minute."""

_MOST_FILE, _MOST_FILES = 512 << 20, 2 << 30
"""Bytes of one file, and of all files, that a program may write; a whole KVM takes about 50 MB."""

_CRASHED = re.compile(r"internal compiler error[^\n.]*|PLEASE submit a bug report")
"""The messages of a compiler that crashed."""

_MOST_MADE = 1 << 30
"""Bytes of all files that Kbuild may write; it writes about 50 MB."""

_PARTS = ("bin", "lib", "lib32", "lib64", "libexec", "x86_64-*")
"""The directories of a compiler's parts below its prefix."""


class GaveUp(ConformanceError):
    """A program was killed because it exceeded a limit; `how` is the predicate."""

    def __init__(self, sentence: str, how: str) -> None:
        super().__init__(sentence)
        self.how = how


def build(
    argv: Sequence[str | Path],
    *,
    read: Iterable[Path] = (),
    write: Iterable[Path] = (),
    cwd: Path = Path("/"),
    env: Mapping[str, str] | None = None,
    given: bytes = b"",
    bounds: Bounds = COMPILING,
    output: int | None = None,
    purpose: str = "This",
) -> subprocess.CompletedProcess[str]:
    """Run a program confined, and return its status and output. A status other than 0 is no error here.

    It can read the system's programs and `read`, and change `write`. `env` is added to a clean environment.
    `output` limits its messages, in bytes.

    Raises GaveUp if it was killed, and ConformanceError if the program is missing, the system lacks
    resources, or it could not be confined.
    """
    words = [str(word) for word in argv]
    if "/" not in words[0] and shutil.which(words[0], path=ENVIRONMENT["PATH"]) is None:
        require([words[0]], purpose)
        raise ConformanceError(
            f"{purpose} needs {words[0]} in a directory of the system, as Debian's package has it: "
            f"apt-get install {packages_of(words[:1])}"
        )
    policy = Policy(read=(*read,), write=(*write,), file_size=_MOST_FILE, space=_MOST_FILES)
    if output is not None:
        policy = replace(policy, output=output)
    environment = {"LC_ALL": "C", "CCACHE_DISABLE": "1", **(env or {})}
    with contextlib.ExitStack() as ending:
        if not own_tmp():
            place = ending.enter_context(temporary("build"))
            policy = replace(policy, write=(*policy.write, place))
            environment["TMPDIR"] = str(place)
        done = run(words, policy, bounds, cwd=cwd, given=given, environment=environment)
    name = Path(words[0]).name
    if done.gave_up:
        raise GaveUp(f"{purpose}: {name} {done.gave_up}, and was ended.", done.gave_up)
    if done.not_started:
        raise ConformanceError(
            f"{purpose}: {name} cannot be run confined ({done.not_started}). 'conformance doctor' says more."
        )
    result = subprocess.CompletedProcess(
        words,
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "replace"),
    )
    if done.returncode:
        _check_machine(done, result.stderr, policy, f"{purpose}: {name}")
    return result


def _check_machine(done: Done, said: str, policy: Policy, what: str) -> None:
    """Raise ConformanceError if a program failed because the system lacks a resource."""
    if "No space left on device" in said:
        for path in policy.write:
            if shutil.disk_usage(path).free < LEAST_FREE:
                raise disk_full(path)
        raise ConformanceError(f"{what} needs more than {policy.file_size >> 20} MiB for temporary files.")
    if "File size limit exceeded" in said or "File too large" in said:
        raise ConformanceError(
            f"{what} makes a file larger than {policy.file_size >> 20} MiB, or than the limit on file size"
            " of this process (ulimit -a)."
        )
    limit = starved(done.returncode, said)
    if limit:
        raise no_more(what, limit)
    crashed = _CRASHED.search(said)
    if crashed:
        raise ConformanceError(f"{what} failed by itself, or for want of memory: {crashed[0].strip()}.")


def places_of(program: Path) -> tuple[Path, ...]:
    """What a program outside the system's directories must be able to read: itself and its parts.

    The parts of a program in a bin/ are beside that directory. A script may lie anywhere, and can read its
    own directory, unless that is a home or shared by users: then it can read only itself.
    """
    found: list[Path] = []
    path = program.absolute()
    while True:
        if not any(path.is_relative_to(place) for place in SYSTEM):
            installed = path.parent.parent
            parts = [one for part in _PARTS for one in sorted(installed.glob(part))]
            found += parts if path.parent.name == "bin" else [path if _shared(path.parent) else path.parent]
        if not path.is_symlink():
            return (*dict.fromkeys(found),)
        path = path.parent / os.readlink(path)


def _shared(place: Path) -> bool:
    """Whether a directory is shared by several programs."""
    homes = {os.path.realpath(home) for home in (os.environ.get("HOME", "/"), _home())}
    above = any(Path(home).is_relative_to(os.path.realpath(place)) for home in homes)
    return above or bool(place.stat().st_mode & stat.S_ISVTX)


def _home() -> str:
    """The user's home directory, from the password database."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


def check_made(place: Path, title: str, links: Iterable[str] = ()) -> None:
    """Raise ConformanceError if a build's output directory holds links or devices, or is too large.

    links: the names of links that Kbuild makes itself.
    """
    total, allowed = 0, {*links}
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            inside = os.path.relpath(path, place)
            if stat.S_ISLNK(status.st_mode) and inside in allowed:
                continue
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise ConformanceError(
                    f"{title}: its build made {inside}, which is neither a file nor a directory."
                )
            total += status.st_size
    if total > _MOST_MADE:
        raise ConformanceError(f"{title}: its build made {total >> 20} MiB, which no kernel's does.")
