# SPDX-License-Identifier: GPL-2.0-only
"""Examines the machine for what the suite needs: confinement, compilers, tools, archive, cache, limits."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.archive import Archive, addresses
from conformance.kernels.cache import Cache
from conformance.kernels.compilers import asked, chosen, using
from conformance.kernels.pins import pins
from conformance.kernels.selector import DEFAULT
from conformance.kernels.tools import DEBIAN_PACKAGE, KBUILD, quiet
from conformance.sandbox import landlock, seccomp
from conformance.sandbox.confinement import Confinement, confinement, why_not
from conformance.sandbox.policy import UNCONFINED
from conformance.sandbox.watching import LEAST_FREE

__all__ = ["Fact", "examine"]


@dataclass(frozen=True)
class Fact:
    """One thing that a machine has or lacks.

    value: what was found, "" if nothing. note: why it is missing, or what it is for.
    lacking: sentences about what `run` needs and does not find; "" if all is there.
    """

    group: str
    name: str
    value: str
    note: str = ""
    lacking: str = ""


_COMPILERS = re.compile(r"(?:gcc|clang)-\d+")

_BINUTILS = ("objcopy", "nm", "readelf", "strip")
_NEEDED = (*KBUILD, *_BINUTILS, "git", "apt-get", "apt-cache", "dpkg-deb", "xz", "prlimit")
_OPTIONAL = {
    "lz4": "for kernel images that are packed with it",
    "qemu-system-x86_64": "for --oracle live",
    "bochs": "for --oracle live --machine bochs",
}
_PACKAGES = {
    **DEBIAN_PACKAGE,
    **dict.fromkeys(_BINUTILS, "binutils"),
    "prlimit": "util-linux",
    "qemu-system-x86_64": "qemu-system-x86",
}

_EXTRAS = {
    "prove": ("z3-solver", "pypcode"),
    "campaign": ("distributed", "duckdb"),
    "b4": ("b4",),
    "kcidb": ("kcidb-io",),
}

_LEAST_MEMORY = 4 << 30
"""Bytes of address space. A process that runs a whole KVM needs about half of that."""
_LEAST_FILES = 256
_LEAST_SIZE = 256 << 20


def examine(*, online: bool = False) -> list[Fact]:
    """All facts about the machine; with `online`, also whether the archive answers."""
    parts: tuple[Callable[[], Iterator[Fact]], ...] = (
        _confinement,
        _compilers,
        _tools,
        _python,
        lambda: _archive(online),
        _cache,
        _limits,
    )
    return [fact for part in parts for fact in part()]


def _confinement() -> Iterator[Fact]:
    group, kind = "confinement", confinement()
    lacking = ""
    if os.environ.get(UNCONFINED):
        lacking = f"Kernel code is not confined: {UNCONFINED} is set."
    elif kind is Confinement.NONE:
        lacking = (
            "This machine has no confinement for kernel code, so patches and trees are refused. "
            "Install bubblewrap: apt-get install bubblewrap"
        )
    yield Fact(group, "in force", kind.value, lacking=lacking)
    for one in (Confinement.BUBBLEWRAP, Confinement.NAMESPACES, Confinement.LANDLOCK):
        why = why_not(one)
        value = "" if why else _version(["bwrap"]) if one is Confinement.BUBBLEWRAP else "works"
        yield Fact(group, one.value, value, note=why)
    yield Fact(group, "seccomp", "available" if seccomp.available() else "")
    abi = landlock.abi()
    weak = "too old to confine signals: all are forbidden" if abi < landlock.SCOPES else ""
    yield Fact(group, "Landlock ABI", str(abi) if abi else "", note=weak if abi else "")


def _compilers() -> Iterator[Fact]:
    default = asked()
    path = os.environ.get("PATH", "").split(os.pathsep)
    there = {file.name for place in path for kind in ("gcc-*", "clang-*") for file in Path(place).glob(kind)}
    found = sorted((name for name in there if _COMPILERS.fullmatch(name)), key=_by_number)
    for name in dict.fromkeys((default, "gcc", "clang", *found)):
        if name not in ("gcc", default) and shutil.which(name) is None:
            yield Fact("compilers", name, "", note=f"apt-get install {name}")
            continue
        try:
            with using(name):
                compiler = chosen()
                compiler.check()
            yield Fact(
                "compilers", name, compiler.text, "used unless --cc names one" if name == default else ""
            )
        except ConformanceError as trouble:
            yield Fact("compilers", name, "", str(trouble), str(trouble) if name == default else "")


def _by_number(name: str) -> tuple[str, int]:
    family, _, number = name.partition("-")
    return family, int(number)


def _tools() -> Iterator[Fact]:
    for name in (*_NEEDED, *_OPTIONAL):
        value = _version([name]) if shutil.which(name) else ""
        install = f"apt-get install {_PACKAGES.get(name, name)}"
        lacking = f"{name} is not installed. Install it with: {install}" if name in _NEEDED else ""
        use = _OPTIONAL.get(name, "")
        note = use if value else f"{use + ': ' if use else ''}{install}"
        yield Fact("tools", name, value, note, "" if value else lacking)


def _version(words: list[str]) -> str:
    """The first line of a program's --version; "there" if it prints no version."""
    try:
        done = subprocess.run(
            [*words, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "there"
    first = done.stdout.strip().partition("\n")[0].strip()
    return first[:80] if re.search(r"\d", first) and not done.returncode else "there"


def _python() -> Iterator[Fact]:
    yield Fact("Python", "Python", platform.python_version())
    for extra, names in _EXTRAS.items():
        found = {name: _installed(name) for name in names}
        missing = [name for name, version in found.items() if not version]
        value = "" if missing else ", ".join(f"{name} {version}" for name, version in found.items())
        note = f"pip install '.[{extra}]'" if missing else ""
        yield Fact("Python", f"extra {extra}", value, note)


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _archive(online: bool) -> Iterator[Fact]:
    try:
        main, security = addresses()
    except (ConformanceError, OSError) as trouble:
        yield Fact("archive", "address", "", str(trouble), str(trouble))
        return
    yield Fact("archive", "address", main)
    yield Fact("archive", "security", security or "")
    if not online:
        yield Fact("archive", "answers", "not asked", "--online asks it")
        return
    try:
        with tempfile.TemporaryDirectory(prefix="conformance-doctor-") as place:
            suite = pins()[DEFAULT].suites[0]
            offers = Archive(Path(place, "apt"), quiet).sources([suite])
        yield Fact("archive", "answers", f"yes, with {len(offers)} kernel sources in {suite}")
    except (ConformanceError, OSError) as trouble:
        yield Fact("archive", "answers", "", str(trouble), str(trouble))


def _cache() -> Iterator[Fact]:
    root = Cache().root
    yield Fact("cache", "directory", str(root))
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
        free = shutil.disk_usage(root).free
    except OSError as trouble:
        lacking = (
            f"The cache in {root} cannot be written ({trouble.strerror}). "
            "Set CONFORMANCE_CACHE to a directory that can."
        )
        yield Fact("cache", "writable", "", str(trouble.strerror), lacking)
        return
    yield Fact("cache", "writable", "yes")
    short = f"Only {_size(free)} are free at {root}. Free some space, or set CONFORMANCE_CACHE elsewhere."
    yield Fact("cache", "free space", _size(free), lacking=short if free < LEAST_FREE else "")


def _limits() -> Iterator[Fact]:
    group = "limits"
    yield Fact(group, "processors", str(len(os.sched_getaffinity(0))))
    yield Fact(group, "memory", _size(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    for name, number, option, least in (
        ("address space", resource.RLIMIT_AS, "-v", _LEAST_MEMORY),
        ("processes", resource.RLIMIT_NPROC, "-u", 0),
        ("open files", resource.RLIMIT_NOFILE, "-n", _LEAST_FILES),
        ("file size", resource.RLIMIT_FSIZE, "-f", _LEAST_SIZE),
    ):
        limit = resource.getrlimit(number)[0]
        show = _size if number in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE) else str
        value = "unlimited" if limit == resource.RLIM_INFINITY else show(limit)
        small = limit != resource.RLIM_INFINITY and limit < least
        lacking = f"The limit of {name} is {value}; {show(least)} are needed. Raise it with: ulimit {option}"
        yield Fact(group, f"{name} (ulimit {option})", value, lacking=lacking if small else "")
    shm = Path("/dev/shm")
    usable = shm.is_dir() and os.access(shm, os.W_OK)
    lacking = "/dev/shm cannot be written. Processes share memory through it; mount a tmpfs there."
    value = f"{_size(shutil.disk_usage(shm).free)} free" if usable else ""
    yield Fact(group, "/dev/shm", value, lacking="" if usable else lacking)
    proc = Path("/proc/self/stat").exists()
    lacking = "/proc is not mounted. Processes are watched through it; mount it."
    yield Fact(group, "/proc", "mounted" if proc else "", lacking="" if proc else lacking)


def _size(number: int) -> str:
    return f"{number / (1 << 30):.1f} GiB" if number >= 1 << 30 else f"{number >> 20} MiB"
