# SPDX-License-Identifier: GPL-2.0-only
"""Confines itself and then runs a program; used if bubblewrap is not installed.

Started as ``python enter.py SPEC PROGRAM...``.

SPEC is JSON: ``how`` ("namespaces", "landlock", or "none" for a program that is trusted), ``read``,
``write``, ``cwd``, ``filter`` in hexadecimal digits. Ends with the program's status, 128 + n if signal n
ended it, and with 120 if it could not be confined, the reason on stderr. No process of
the program survives it: in a PID namespace the kernel kills them; without one, this process is their
subreaper and kills them.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":
    # Run by its path, without site-packages.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from conformance.sandbox import landlock, seccomp

FAILED = 120
"""The exit status if the confinement failed."""

_NEW = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
"""CLONE_NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET."""
_NEWUSER = 0x10000000
_BIND, _REC, _PRIVATE, _REMOUNT, _RDONLY, _NOSUID, _NODEV = 1 << 12, 1 << 14, 1 << 18, 32, 1, 2, 4
_KEPT_FLAGS = 2 | 4 | 8 | 1024 | 2048
"""Flags that a mount keeps in a user namespace: nosuid, nodev, noexec, noatime, nodiratime."""
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 1, 24, 38, 36
_DETACH = 2
_PIVOT_ROOT = 155
_DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> NoReturn:
    """Confine this process as the command line says and run the program."""
    spec: dict[str, Any] = json.loads(sys.argv[1])
    try:
        if spec["how"] == "namespaces":
            _call(_libc.prctl, _PR_SET_PDEATHSIG, signal.SIGKILL)
            _in_namespaces(spec, sys.argv[2:])
        _apart(spec, sys.argv[2:])
    except OSError as trouble:
        print(f"{trouble.strerror} ({trouble.filename})", file=sys.stderr)
        os._exit(FAILED)


def _apart(spec: dict[str, Any], program: list[str]) -> NoReturn:
    """Run the program without a PID namespace.

    A forked subreaper outlives this process if it is killed, and kills the program and its descendants.
    """
    adopting = os.fork()
    if not adopting:
        with _failing():
            os.setsid()
            _call(_libc.prctl, _PR_SET_PDEATHSIG, signal.SIGTERM)
            _adopting(spec, program)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(adopting, signal.SIGTERM))
    os._exit(os.waitstatus_to_exitcode(os.waitpid(adopting, 0)[1]))


def _adopting(spec: dict[str, Any], program: list[str]) -> NoReturn:
    """As a subreaper, run the program, under Landlock if the spec says so."""
    _call(_libc.prctl, _PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if not child:
        with _failing():
            _call(_libc.prctl, _PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setsid()
            os.chdir(spec["cwd"])
            if spec["how"] == "landlock":
                read = [*map(Path, spec["read"]), Path("/proc"), *(Path("/dev", name) for name in _DEVICES)]
                landlock.restrict(read, [*map(Path, spec["write"]), Path("/dev/null")])
            _execute(spec, program)
    signal.signal(signal.SIGTERM, lambda *_: _leave(128 + signal.SIGTERM))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _leave(status if status >= 0 else 128 - status)


def _leave(status: int) -> NoReturn:
    """Kill all descendants, including those that are reparented to this process later, and exit."""
    while True:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            os._exit(status)


def _in_namespaces(spec: dict[str, Any], program: list[str]) -> NoReturn:
    """Run the program in new namespaces."""
    user, group = os.getuid(), os.getgid()
    _call(_libc.unshare, _NEW | _NEWUSER)
    with contextlib.suppress(FileNotFoundError):
        Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    first = os.fork()
    if not first:
        with _failing():
            _call(_libc.prctl, _PR_SET_PDEATHSIG, signal.SIGKILL)
            _new_root(spec)
            second = os.fork()
            if not second:
                os.setsid()
                os.chdir(spec["cwd"])
                _execute(spec, program)
            _reap_until(second)
    status = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    os._exit(status if status >= 0 else 128 - status)


def _reap_until(child: int) -> NoReturn:
    """As the namespace's init, wait for the program; the kernel kills the rest when init exits."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _new_root(spec: dict[str, Any]) -> None:
    """Make a root file system in which only the policy's paths are mounted."""
    _mount(None, "/", None, _REC | _PRIVATE)
    root = Path("/tmp")
    kept = {
        path: _opened(path) for path in [*spec["read"], *spec["write"], *(f"/dev/{one}" for one in _DEVICES)]
    }
    _mount("tmpfs", str(root), "tmpfs", _NOSUID | _NODEV, "size=2g")
    for path, place in kept.items():
        if place is not None:
            _bind(place, path, root, writable=path in spec["write"] or path.startswith("/dev/"))
    for name in ("proc", "tmp", "old"):
        Path(root, name).mkdir(exist_ok=True)
    _mount("proc", str(root / "proc"), "proc", _NOSUID | _NODEV)
    os.chdir(root)
    _call(_libc.syscall, _PIVOT_ROOT, b".", b"old")
    os.chdir("/")
    _call(_libc.umount2, b"/old", _DETACH)
    os.rmdir("/old")


def _opened(path: str) -> int | None:
    """An open descriptor of the file, which stays valid when a mount covers it; None if there is no file.

    A symbolic link is opened itself.
    """
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if path in _LINKS else 0))
    except FileNotFoundError:
        return None


_LINKS = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}
"""Links into /usr on most systems."""


def _bind(place: int, path: str, root: Path, writable: bool) -> None:
    """Bind-mount an open file or directory at its path, or recreate a symbolic link."""
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    source = f"/proc/self/fd/{place}"
    if path in _LINKS and os.path.islink(path):
        target.symlink_to(os.readlink(path))
        return
    if os.path.isdir(source):
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    _mount(source, str(target), None, _BIND | _REC)
    if not writable:
        kept = os.statvfs(target).f_flag & _KEPT_FLAGS
        _mount(None, str(target), None, _BIND | _REMOUNT | _RDONLY | kept)
    os.close(place)


def _execute(spec: dict[str, Any], program: list[str]) -> NoReturn:
    """Drop all privileges and execute the program."""
    if spec["how"] != "none":
        capability = 0
        while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
            capability += 1
        _call(_libc.prctl, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if spec["filter"]:
        seccomp.install(bytes.fromhex(spec["filter"]))
    os.execvpe(program[0], program, os.environ)


@contextlib.contextmanager
def _failing() -> Any:
    """In a forked process: print errors to stderr and exit."""
    try:
        yield
    except OSError as trouble:
        print(f"{trouble.strerror} ({trouble.filename})", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(FAILED)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    words = [one.encode() if one is not None else None for one in (source, target, kind)]
    if _libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"mount {target}")


def _call(function: Any, *arguments: Any) -> int:
    result = int(function(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), function.__name__)
    return result


if __name__ == "__main__":
    main()
