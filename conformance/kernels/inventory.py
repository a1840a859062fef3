# SPDX-License-Identifier: GPL-2.0-only
"""The state of the pinned kernels for `conformance kernels`: cached, vendored, drifted, size. No network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.cache import Cache
from conformance.kernels.debian import cached_version, drift_of, gone, package_key
from conformance.kernels.kernel import Kernel
from conformance.kernels.manifest import MANIFEST, Manifest
from conformance.kernels.opening import open_kernel
from conformance.kernels.pins import Pin, core_digests, pins, write_pins
from conformance.kernels.prepare import options_of
from conformance.kernels.selector import SERIES, parse_debian
from conformance.kernels.tools import Progress
from conformance.kernels.vendor import vendored

__all__ = ["CoreFile", "Row", "core_files", "inventory", "options", "pin_series", "size_of"]

SHOWN_OPTIONS = (
    "64BIT",
    "SMP",
    "KVM",
    "KVM_INTEL",
    "KVM_AMD",
    "KVM_PROVE_MMU",
    "X86_5LEVEL",
    "DYNAMIC_MEMORY_LAYOUT",
    "RANDOMIZE_MEMORY",
    "PREEMPTION",
    "PREEMPT_COUNT",
    "PROVE_LOCKING",
    "PROVE_RCU",
    "DEBUG_LIST",
    "KVM_SMM",
    "TRANSPARENT_HUGEPAGE",
    "JUMP_LABEL",
    "PARAVIRT",
    "FTRACE",
    "STACKPROTECTOR",
)
"""The configuration options on which the semantics of MMU code, or running it in a process, depend."""


@dataclass(frozen=True)
class Row:
    """The state of a series on this machine."""

    pin: Pin
    version: str | None
    """The version on this machine, or None."""
    place: str
    """Where it is: "vendored", "cached" or "not fetched"."""
    size: int
    """Bytes kept."""
    drift: str | None


@dataclass(frozen=True)
class CoreFile:
    """A core MMU file of a kernel, compared with the pinned one."""

    name: str
    digest: str | None
    """SHA-256 in hex; None if the kernel does not have the file."""
    verdict: str
    """"as pinned", "differs", "missing", "new", or "not pinned" for a kernel outside the pinned series."""


def size_of(root: Path) -> int:
    """The size of a prepared kernel in bytes, including its manifest."""
    return Manifest.load(root).size() + (root / MANIFEST).stat().st_size


def inventory(cache: Cache) -> list[Row]:
    """The state of every series on this machine."""
    rows = []
    for pin in pins().values():
        laid = vendored(pin.series)
        if laid is not None:
            moved = f"{laid.version} is vendored where {pin.version} is pinned, "
            drift = laid.edited or drift_of(pin, laid.root / "src", moved, laid.version)
            rows.append(Row(pin, laid.version, "vendored", size_of(laid.root), drift))
            continue
        version = cached_version(pin, cache)
        root = cache.find("package", package_key(pin.package, version)) if version else None
        if root is None or version is None:
            rows.append(Row(pin, None, "not fetched", 0, None))
        else:
            drift = drift_of(pin, root / "src", gone(pin, version), version)
            rows.append(Row(pin, version, "cached", size_of(root), drift))
    return rows


def core_files(kernel: Kernel) -> list[CoreFile]:
    """The core MMU files of a kernel, each compared with the pinned one of its series."""
    actual = core_digests(kernel.root / "src")
    pinned: Mapping[str, str] = pins()[kernel.series].core if kernel.series else {}

    def verdict(name: str) -> str:
        if not pinned:
            return "not pinned"
        if name not in actual:
            return "missing"
        if name not in pinned:
            return "new"
        return "as pinned" if actual[name] == pinned[name] else "differs"

    return [CoreFile(name, actual.get(name), verdict(name)) for name in sorted(pinned.keys() | actual.keys())]


def options(kernel: Kernel) -> dict[str, str]:
    """The values of these options, "n" for those that are off or do not exist."""
    found = options_of(kernel.root / "gen/.config")
    return {name: found.get(name, "n") for name in SHOWN_OPTIONS}


def pin_series(series: str, version: str | None, cache: Cache, progress: Progress) -> Pin:
    """Pin a version of a series (None: the pinned one) with the digests of its core files.

    Rewrites kernels.toml. Raises ConformanceError if the version is not available.
    """
    table = pins()
    wanted = version or table[series].version
    if parse_debian(f"debian:{wanted}", wanted).series != series:
        raise ConformanceError(f"{wanted} is no version of {series}; pass one of that series.")
    kernel = open_kernel(f"debian:{wanted}", progress=progress, cache=cache)
    core = core_digests(kernel.root / "src")
    table[series] = dataclasses.replace(table[series], version=kernel.version, core=core)
    write_pins({name: table[name] for name in SERIES if name in table})
    return table[series]
