# SPDX-License-Identifier: GPL-2.0-only
"""Runs programs in a clean environment; reports missing packages, full disks and exhausted limits."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from conformance.errors import ConformanceError
from conformance.kernels import scratch
from conformance.sandbox import processes

__all__ = [
    "DISK_FULL",
    "KBUILD",
    "Progress",
    "absent",
    "clean_environment",
    "disk_full",
    "first_error",
    "missing_too",
    "no_more",
    "packages_of",
    "quiet",
    "require",
    "run",
    "starved",
]


class Progress(Protocol):
    """Takes one line at a time about the current step; the lines go to stderr."""

    def __call__(self, line: str, /) -> None:
        """Show the line."""


def quiet(line: str, /) -> None:
    """A Progress that prints nothing."""


DEBIAN_PACKAGE = {
    "apt-cache": "apt",
    "apt-config": "apt",
    "apt-get": "apt",
    "awk": "mawk",
    "bc": "bc",
    "bison": "bison",
    "dpkg": "dpkg",
    "dpkg-deb": "dpkg",
    "flex": "flex",
    "gcc": "gcc",
    "git": "git",
    "ld": "binutils",
    "m4": "m4",
    "make": "make",
    "xz": "xz-utils",
}

KBUILD = ("ld", "make", "flex", "bison", "bc", "awk")
"""The programs, besides a compiler, that configuring a kernel and generating its headers need."""

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

KEPT = re.compile(
    r"""PATH|HOME|USER|LOGNAME|SHELL|TERM|TMPDIR|TMP|TEMP|LD_LIBRARY_PATH|XDG_CONFIG_HOME|XDG_CACHE_HOME|CCACHE_DIR
    |APT_CONFIG|SSL_CERT_(?:FILE|DIR)|(?i:(?:https?|ftp|all|no)_proxy)""",
    re.VERBOSE,
)
"""The environment variables that child processes inherit. Kbuild, gcc, git and compiler wrappers obey many
more; one that is not part of a cache key must not reach them."""


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment of child processes: what programs need, English messages, git without settings."""
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    return kept | {"LC_ALL": "C", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"} | extra


def require(tools: Iterable[str], purpose: str) -> None:
    """Raise ConformanceError, with the Debian packages to install, if any of `tools` is not on the PATH.

    It also names the other missing tools that every kernel needs, so that all are installed at once.
    """
    missing = absent(tools)
    if missing:
        more = [tool for tool in absent((*KBUILD, "git")) if tool not in missing]
        them, are = ("it", "is") if len(missing) == 1 else ("them", "are")
        raise ConformanceError(
            f"{purpose} needs {', '.join(missing)}, which {are} not installed{missing_too(more)}. "
            f"Install {them} with: apt-get install {packages_of([*missing, *more])}"
        )


def absent(tools: Iterable[str]) -> list[str]:
    """The programs that are not on the PATH, in order."""
    return [tool for tool in dict.fromkeys(tools) if shutil.which(tool) is None]


def missing_too(tools: Sequence[str]) -> str:
    """The continuation of a sentence about something that is not installed."""
    return f", and neither {'is' if len(tools) == 1 else 'are'} {', '.join(tools)}" if tools else ""


def packages_of(tools: Iterable[str]) -> str:
    """The Debian packages of these programs, as arguments of a command."""
    return " ".join(sorted({DEBIAN_PACKAGE.get(tool, tool) for tool in tools}))


def disk_full(where: Path | str) -> ConformanceError:
    """The error for a full disk."""
    return ConformanceError(
        f"The disk is full at {where}. Free some space, or point CONFORMANCE_CACHE elsewhere."
    )


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    given: bytes | None = None,
    timeout: float | None = None,
    purpose: str = "This",
) -> subprocess.CompletedProcess[str]:
    """Run a program and return its status and output. A status other than 0 is no error here.

    Raises ConformanceError if the program is missing or the disk is full, and TimeoutExpired after `timeout`
    seconds.
    """
    try:
        with _own_place() as place:
            done = processes.run(
                [str(word) for word in argv],
                given=given,
                timeout=timeout,
                cwd=cwd,
                env={**(env if env is not None else clean_environment()), **place},
            )
    except FileNotFoundError:
        if cwd is not None and not cwd.is_dir():
            raise
        require([str(argv[0])], purpose)
        raise
    result = subprocess.CompletedProcess(
        done.args,
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "replace"),
    )
    if result.returncode and "No space left on device" in result.stderr:
        raise disk_full(cwd or Path.cwd())
    limit = starved(result.returncode, result.stderr)
    if limit:
        raise no_more(f"{purpose}: {Path(str(argv[0])).name}", limit)
    return result


_STARVED = re.compile(
    r"cannot allocate memory|out of memory|memory exhausted|bad_alloc|failed to map segment|cannot fork"
    r"|too many open files|resource temporarily unavailable|file too large|disk quota exceeded"
    r"|(?:file size|cpu time) limit exceeded|killed signal terminated",
    re.IGNORECASE,
)
_SOURCE = re.compile(r"""^\s*\d* \|.*|#(?:error|warning)\b.*|"[^"]*"|'[^']*'""")
_TAKEN = {signal.SIGKILL, signal.SIGXCPU, signal.SIGXFSZ}
"""Signals by which the system enforces limits on a process."""


def starved(status: int, said: str) -> str:
    """The system limit at which a program failed, in its words; "" if it failed for another reason or not.

    ``status`` is that of Popen, or of a shell: negative or plus 128 for a signal.
    """
    number = -status if status < 0 else status - 128
    if number in _TAKEN:
        return f"it was ended by {signal.Signals(number).name}"
    for line in said.splitlines() if status else ():
        # A compiler quotes source, which may contain these words.
        found = _STARVED.search(_SOURCE.sub("", line))
        if found:
            return found[0]
    return ""


def no_more(what: str, limit: str) -> ConformanceError:
    """The error about a program that failed at a limit of the system."""
    return ConformanceError(
        f"{what} did not get what it needs of this machine: {limit}. "
        "Free memory, or raise the limits of this process (ulimit -a), and try again."
    )


@contextlib.contextmanager
def _own_place() -> Iterator[dict[str, str]]:
    """A context with a private TMPDIR, which is removed even if the program is killed."""
    with contextlib.ExitStack() as stack:
        place: dict[str, str] = {}
        root = scratch.cache_root()
        # A command that needs no cache creates none, and errors of the cache are reported where it is used.
        with contextlib.suppress(OSError):
            if root.is_dir():
                own = scratch.temporary(scratch.place_of(root), "run")
                place["TMPDIR"] = str(stack.enter_context(own))
        yield place


ERROR = re.compile(r"(?:fatal )?error:|^Error:|undefined reference|\bld: ", re.IGNORECASE)
# make's own lines only report that a command above them failed.
NO_ERROR = re.compile(
    r"\*\*\*|warning:|\[Makefile|override: ?|^In file included|^\s*from |^make", re.IGNORECASE
)


def first_error(output: str, prefixes: Iterable[Path | str] = ()) -> str:
    """The first line of a compiler's or make's output that names an error, without private directories."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    candidates = [
        *(line for line in lines if ERROR.search(line) and not NO_ERROR.match(line)),
        *(line for line in lines if not NO_ERROR.search(line)),
        *lines,
        "it failed without a message",
    ]
    found = candidates[0]
    for prefix in sorted(map(str, prefixes), key=len, reverse=True):
        found = found.replace(prefix.rstrip("/") + "/", "")
    return found
