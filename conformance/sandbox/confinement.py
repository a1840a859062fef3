# SPDX-License-Identifier: GPL-2.0-only
"""The confinements: which of them work on this machine, and the commands that apply them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.sandbox import enter, landlock, seccomp
from conformance.sandbox.policy import UNCONFINED, Policy
from conformance.sandbox.syscalls import PROGRAMS, SIGNALS

__all__ = [
    "ENVIRONMENT",
    "Confinement",
    "command",
    "confinement",
    "not_started",
    "own_tmp",
    "refuse_foreign",
    "unconfined_note",
    "why_not",
]

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/nonexistent",
    "TMPDIR": "/tmp",
}
"""The environment of confined programs, independent of the user's."""

PATIENCE = 20
"""Seconds that the trial of a confinement may take."""


class Confinement(Enum):
    """A confinement; the value is its name in reports."""

    BUBBLEWRAP = "bubblewrap"
    NAMESPACES = "user namespaces"
    LANDLOCK = "Landlock and seccomp"
    NONE = "nothing"


def confinement() -> Confinement:
    """The strongest confinement that works here, determined by a trial; NONE if --unconfined was given."""
    if os.environ.get(UNCONFINED):
        return Confinement.NONE
    return _working(os.environ.get("PATH", ""))


def own_tmp() -> bool:
    """Whether a confined program has a private /tmp."""
    return confinement() in (Confinement.BUBBLEWRAP, Confinement.NAMESPACES)


@lru_cache
def _working(path: str) -> Confinement:
    for one in (Confinement.BUBBLEWRAP, Confinement.NAMESPACES, Confinement.LANDLOCK):
        if not why_not(one):
            return one
    return Confinement.NONE


@lru_cache
def why_not(kind: Confinement) -> str:
    """Why a confinement does not work on this machine; "" if it does."""
    if kind is Confinement.BUBBLEWRAP and _bubblewrap() is None:
        return "bubblewrap is not installed"
    if kind is Confinement.LANDLOCK and not landlock.abi():
        return "this kernel has no Landlock"
    if kind is Confinement.LANDLOCK and not seccomp.available():
        return "this kernel has no seccomp"
    try:
        done = subprocess.run(
            command(kind, ["/bin/true"], Policy(), Path("/")),
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as trouble:
        return f"trying it failed: {trouble}"
    said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[0]
    return said if done.returncode else ""


def command(kind: Confinement, program: Sequence[str], policy: Policy, cwd: Path) -> list[str]:
    """The command that runs a program under `kind` in the directory `cwd`."""
    if kind is Confinement.BUBBLEWRAP:
        return [*_bubblewrapped(policy, cwd), *program]
    filtered = kind in (Confinement.NAMESPACES, Confinement.LANDLOCK) and seccomp.available()
    alone = kind is Confinement.NAMESPACES or landlock.abi() >= landlock.SCOPES
    forbidden = PROGRAMS if alone else PROGRAMS | SIGNALS
    spec = {
        "how": kind.name.lower(),
        "read": [str(path) for path in policy.seen()],
        "write": [str(path.absolute()) for path in policy.write],
        "cwd": str(cwd),
        "filter": seccomp.for_programs(forbidden).hex() if filtered else "",
    }
    return [sys.executable, "-I", "-S", enter.__file__, json.dumps(spec), *program]


def _bubblewrapped(policy: Policy, cwd: Path) -> list[str]:
    program = _bubblewrap()
    assert program is not None
    words = [program, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    words += ["--proc", "/proc", "--dev", "/dev"]
    size = ["--size", str(policy.file_size)] if _sizes(program) else []
    words += [*size, "--tmpfs", "/tmp", *size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    for path in policy.seen():
        if path.is_symlink() and path.parent == Path("/"):
            words += ["--symlink", os.readlink(path), str(path)]
        else:
            words += ["--ro-bind", str(path), str(path)]
    for path in policy.write:
        words += ["--bind", str(path.absolute()), str(path.absolute())]
    return [*words, "--remount-ro", "/", "--chdir", str(cwd), "--"]


@lru_cache
def _bubblewrap() -> str | None:
    return shutil.which("bwrap") or shutil.which("bwrap", path=ENVIRONMENT["PATH"])


@lru_cache
def _sizes(program: str) -> bool:
    """Whether bubblewrap can limit the size of a tmpfs, as it can since 0.6."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        found = re.search(r"(\d+)\.(\d+)", done.stdout)
        return found is not None and (int(found[1]), int(found[2])) >= (0, 6)
    return False


_STARTING = re.compile(rb"(?:bwrap|prlimit): ")
"""The prefixes of messages of bwrap, prlimit and enter.py, which run before the program."""


def not_started(status: int, complained: bytes) -> str:
    """Why a confined program was not started, from its status and its first words on stderr; "" if it was.

    A program can imitate this, so no decision in its favour may depend on it.
    """
    if not status or not (status == enter.FAILED or _STARTING.match(complained)):
        return ""
    return (complained.decode(errors="replace").strip().splitlines() or [f"status {status}"])[0]


def refuse_foreign(what: str) -> None:
    """Raise ConformanceError if nothing confines foreign code and --unconfined was not given.

    what: the code, as the subject of a sentence ("patch x.mbox").
    """
    if os.environ.get(UNCONFINED) or confinement() is not Confinement.NONE:
        return
    raise ConformanceError(
        f"{what} could run anything on this machine: nothing here confines it "
        f"({why_not(Confinement.BUBBLEWRAP)}; {why_not(Confinement.LANDLOCK)}). Install it with: "
        "apt-get install bubblewrap, or give --unconfined if you trust the code. "
        "'conformance doctor' says more."
    )


def unconfined_note() -> str:
    """The note of a report if kernel code runs unconfined; "" if it is confined."""
    if confinement() is not Confinement.NONE:
        return ""
    return "kernel code and its build were not confined: they could read and change whatever this user can"
