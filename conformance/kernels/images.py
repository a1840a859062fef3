# SPDX-License-Identifier: GPL-2.0-only
"""The kernel that Debian ships for a selector: its vmlinuz, KVM's modules, BTF and configuration.

The packages are found in the archive's lists by the version that they share with the source. Up to 6.12 it is
one package (linux-image-ABI-amd64), for 7.x linux-modules, linux-binary and linux-base.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.archive import Archive, newest
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.debian import cached_version, resolved
from conformance.kernels.elf import MOST_BYTES
from conformance.kernels.pins import pins
from conformance.kernels.reading import read_stream
from conformance.kernels.releases import series_of
from conformance.kernels.selector import Debian, Pinned, parse
from conformance.kernels.staging import contents_of
from conformance.kernels.suites import likely_first
from conformance.kernels.tools import Progress, quiet, run
from conformance.kernels.unpacking import unpacked
from conformance.kernels.vendor import vendored
from conformance.kernels.vmlinuz import btf_of

__all__ = ["Shipped", "shipped"]

KIND = "shipped"
KEEP = 12

ASK_AGAIN = 7 * 24 * 3600.0
"""Seconds for which the result is cached that the archive has no image of a version."""

# The ABI: 5.10.0-32, 6.1.0-0.deb11.48, 6.12.107+deb13. No other flavour (cloud, rt).
_ABI = r"[0-9][0-9a-z.+~]*(-[0-9][0-9a-z.+~]*)?"
_MODULES = re.compile(rf"linux-(image|modules)-(?P<abi>{_ABI})-amd64(?P<unsigned>-unsigned)?")

_MODULE = re.compile(
    r"\./(usr/)?lib/modules/[^/]+/kernel/"
    r"(arch/x86/kvm|virt/lib|drivers/crypto/ccp|drivers/char/hw_random)/"
    r"(?P<name>kvm|kvm-amd|kvm-intel|irqbypass|ccp|rng-core)\.ko(\.xz|\.zst|\.gz)?"
)
"""KVM's modules, and those that they depend on in the kernels known here."""

_FILES = {
    "vmlinuz": re.compile(r"\./(boot/vmlinuz-[^/]+|usr/lib/modules/[^/]+/vmlinuz(\.unsigned)?)"),
    "config": re.compile(r"\./(boot/config-[^/]+|usr/lib/modules/[^/]+/config)"),
}
"""The files that are extracted from the packages, by the name under which they are kept."""


@dataclass(frozen=True)
class Shipped:
    """A kernel built by the distribution."""

    modules: Path
    """The folder of kvm_amd.ko, kvm_intel.ko and what they depend on, not compressed."""
    vmlinuz: Path
    base: Path
    """The BTF of its vmlinux."""
    config: Path
    package: str
    """The package that holds kvm.ko."""
    version: str
    drift: str | None
    """A sentence on how it differs from the kernel that the selector names; None if it does not."""

    @property
    def module(self) -> Path:
        """kvm.ko, not compressed."""
        return self.modules / "kvm.ko"

    @property
    def abi(self) -> str:
        """What the names of its packages have in common, "6.1.0-56"."""
        match = _MODULES.fullmatch(self.package)
        assert match is not None
        return match["abi"]


def shipped(selector: str, *, progress: Progress | None = None, cache: Cache | None = None) -> Shipped:
    """The shipped kernel of a series or of debian:VERSION, from the cache or else from Debian's archive.

    If the archive no longer has an image of that version, the nearest of the series is used; `drift` says so.

    Raises ConformanceError for a tree, which has no shipped image, and if the archive has no image.
    """
    say, store = progress or quiet, cache or Cache()
    named = parse(selector)
    if not isinstance(named, (Pinned, Debian)):
        raise ConformanceError(
            f"{selector}: of a tree there is no shipped kernel. Use a series or debian:VERSION, "
            "or pass the kvm.ko that was built from it with --module and its vmlinux with --vmlinux."
        )
    if isinstance(named, Debian):
        wanted = resolved(named, selector, store, say)
    else:
        wanted = _version(named.series, store)
    package, version = _known(wanted, store)
    if package is None or store.find(KIND, key_of(package, version), progress=say) is None:
        package, version = _fetch(named.series, wanted, selector, store, say)
    root = store.entry(KIND, key_of(package, version))
    drift = None
    if version != wanted:
        drift = f"The archive has no image of {wanted}; this is {version}, the nearest of the series."
    return Shipped(
        root / "modules", root / "vmlinuz", root / "vmlinux.btf", root / "config", package, version, drift
    )


def _version(series: str, cache: Cache) -> str:
    """The version for a series: that of the source, so that both are the same kernel."""
    laid, pin = vendored(series), pins()[series]
    return laid.version if laid is not None else cached_version(pin, cache) or pin.version


def _known(wanted: str, cache: Cache) -> tuple[str | None, str]:
    """The package that has been found for a version, and its own version."""
    note = cache.read_note(KIND, wanted, {"package": str, "version": str, "asked": float})
    if note is None or not _MODULES.fullmatch(note["package"]):
        return None, wanted
    package, version, age = note["package"], note["version"], time.time() - note["asked"]
    return (package, version) if version == wanted or 0 <= age < ASK_AGAIN else (None, wanted)


def _fetch(series: str, wanted: str, selector: str, cache: Cache, progress: Progress) -> tuple[str, str]:
    """Look in the archive for the packages of a version, and put what is needed into the cache."""
    title = f"the shipped kernel of {selector}"
    with (
        cache.writing(),
        cache.lock(KIND, wanted, title, progress),
        cache.temporary(f"{KIND}-{wanted}") as scratch,
    ):
        archive = Archive(scratch / "apt", progress)
        found = _candidates(archive, series, wanted)
        version = wanted if wanted in found else _nearest(wanted, list(found))
        if version is None:
            raise ConformanceError(
                f"{selector}: the archive has no kernel image of the series {series}. "
                "Use another series, or pass a kvm.ko with --module and its vmlinux with --vmlinux."
            )
        package = found[version]
        if version != wanted:
            progress(f"{selector}: the archive has no image of {wanted}; using {version}")

        def build(entry: Path) -> None:
            _fill(entry, archive, package, version, scratch, progress)

        cache.get_or_build(KIND, key_of(package, version), build, what=title, keep=KEEP, progress=progress)
        cache.write_note(KIND, wanted, {"package": package, "version": version, "asked": time.time()})
        return package, version


def _candidates(archive: Archive, series: str, wanted: str) -> Mapping[str, str]:
    """The packages of the series that hold kvm.ko, by version; stops at the first suite that has `wanted`."""
    found: dict[str, str] = {}
    for suite in likely_first(wanted, pins()[series].suites if series in pins() else ()):
        if not archive.add(suite):
            continue
        names = archive.named(rf"linux-(image|modules)-{re.escape(series)}([.~+-].*)?-amd64(-unsigned)?")
        # The last package of a version wins. Signed and unsigned ones have the same code, and machines run
        # the signed. In 7.x the image package is empty, so modules come after it.
        for name in sorted(names, key=lambda name: (not name.endswith("-unsigned"), "modules" in name)):
            if _MODULES.fullmatch(name):
                found |= {version: name for version in names[name] if series_of(version) == series}
        if wanted in found:
            break
    if not found and archive.trouble:
        raise archive.failure("The shipped kernel cannot be looked up")
    return found


def _nearest(wanted: str, versions: Sequence[str]) -> str | None:
    """The lowest version above the wanted one, or else the highest below it."""
    above = [
        one for one in versions if run(["dpkg", "--compare-versions", one, "gt", wanted]).returncode == 0
    ]
    if above:
        return next(one for one in above if all(newest([one, other]) == other for other in above))
    return newest(versions) if versions else None


def _fill(
    entry: Path, archive: Archive, package: str, version: str, scratch: Path, progress: Progress
) -> None:
    """Lay out the files of a shipped kernel."""
    taken = scratch / "taken"
    taken.mkdir()
    (entry / "modules").mkdir()
    names = [package, *_beside(archive, package, version)]
    for number, name in enumerate(names):
        folder = scratch / f"deb{number}"
        folder.mkdir()
        deb = archive.download(name, version, folder)
        progress(f"Unpacking {name} {version}")
        _take(deb, taken, entry / "modules")
        deb.unlink()
    missing = [name for name in _FILES if not (taken / name).is_file()]
    missing += ["kvm.ko"] if not (entry / "modules/kvm.ko").is_file() else []
    if missing:
        raise ConformanceError(
            f"{', '.join(names)} {version} have no {' and no '.join(missing)}. "
            "Use another version, or pass a kvm.ko with --module and its vmlinux with --vmlinux."
        )
    (entry / "vmlinux.btf").write_bytes(btf_of(taken / "vmlinuz"))
    for name in _FILES:
        (taken / name).rename(entry / name)


def _beside(archive: Archive, package: str, version: str) -> list[str]:
    """The packages with the rest of a kernel whose modules are a separate package."""
    match = _MODULES.fullmatch(package)
    assert match is not None
    if match[1] != "modules":
        return []
    signed, unsigned = (f"linux-binary-{kind}{match['abi']}-amd64" for kind in ("", "unsigned-"))
    there = archive.named(re.escape(signed)).get(signed, [])
    return [signed if version in there else unsigned, f"linux-base-{match['abi']}-amd64"]


def _take(deb: Path, into: Path, modules: Path) -> None:
    """Extract the wanted files of a package, in one stream; modules are unpacked."""
    with contents_of(deb) as archive:
        for member in archive:
            if not member.isreg():
                continue
            wanted = [into / name for name, pattern in _FILES.items() if pattern.fullmatch(member.name)]
            module = _MODULE.fullmatch(member.name)
            if module is not None:
                wanted.append(modules / f"{module['name']}.ko")
            for path in wanted:
                content, title = archive.extractfile(member), f"{member.name} of {deb.name}"
                assert content is not None
                data = read_stream(content, MOST_BYTES, title)
                path.write_bytes(data if module is None else unpacked(data, title))
