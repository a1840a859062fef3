# SPDX-License-Identifier: GPL-2.0-only
"""Kernels from Debian's source packages: the pinned one of a series, or an exact version."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.archive import Archive, Unreachable, newest
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.pins import Pin, core_digests, differing, pins
from conformance.kernels.selector import Debian
from conformance.kernels.sources import Base, Stage, conditions, fill
from conformance.kernels.staging import stage_package
from conformance.kernels.tools import Progress
from conformance.kernels.vendor import vendored

__all__ = ["cached_version", "drift_of", "exact", "gone", "package_key", "pinned"]

KIND = "package"
KEEP = 12

ASK_AGAIN = 7 * 24 * 3600.0
"""Seconds for which it is believed that a pinned version has left the archive."""


def package_key(package: str, version: str) -> str:
    """The cache key of a prepared package."""
    return key_of(package, version, *conditions())


def pinned(series: str, title: str, cache: Cache, progress: Progress) -> Base:
    """The pinned kernel of a series: vendored, cached or fetched; the newest of the series if it is gone."""
    pin = pins()[series]
    laid = vendored(series)
    if laid is not None:
        stage = staging(pin.package, laid.version, all_suites(pin), progress)
        moved = (
            f"This is the vendored {laid.version}; pinned is {pin.version}, "
            if laid.version != pin.version
            else ""
        )
        drift = drift_of(pin, laid.root / "src", moved, laid.version) or laid.edited
        return Base(laid.root, series, laid.version, drift, stage)
    version = cached_version(pin, cache)
    root = cache.find(KIND, package_key(pin.package, version), progress=progress) if version else None
    if root is None or version is None:
        root, version = fetch(pin, title, cache, progress)
    stage = staging(pin.package, version, all_suites(pin), progress)
    drift = drift_of(pin, root / "src", gone(pin, version), version)
    return Base(root, series, version, drift, stage)


def gone(pin: Pin, version: str) -> str:
    """How a sentence about drift begins."""
    return f"The archive no longer has the pinned {pin.version}; this is {version}, "


def cached_version(pin: Pin, cache: Cache) -> str | None:
    """The version that stands for a series as far as the cache knows; None if the archive must be asked."""
    if cache.entry(KIND, package_key(pin.package, pin.version)).is_dir():
        return pin.version
    note = cache.read_note("newest", pin.series)
    if (
        isinstance(note, dict)
        and note.get("pinned") == pin.version
        and note.get("asked", 0) > time.time() - ASK_AGAIN
    ):
        return str(note["newest"])
    return None


def fetch(pin: Pin, title: str, cache: Cache, progress: Progress) -> tuple[Path, str]:
    """Fetch and prepare what the archive has for a series: the pinned version or else the newest."""
    with (
        cache.writing(),
        cache.lock("pin", pin.series, title, progress),
        cache.temporary("pin", pin.series) as scratch,
    ):
        found = cache.find(KIND, package_key(pin.package, pin.version))
        if found is not None:
            return found, pin.version
        try:
            archive = Archive(scratch / "apt", progress)
            versions = archive.versions(pin.package, pin.suites, until=pin.version)
        except Unreachable:
            version = (cache.read_note("newest", pin.series) or {}).get("newest", pin.version)
            root = cache.find(KIND, package_key(pin.package, version))
            if root is None:
                raise
            progress(f"{title}: the Debian archive does not answer; using {version} from the cache")
            return root, version
        if not versions:
            raise ConformanceError(
                f"{title}: the archive has no {pin.package} any more. "
                "Use another series, or debian:VERSION or tree:PATH."
            )
        version = pin.version
        if version not in versions:
            version = newest(versions)
            progress(f"{title}: {pin.package} {pin.version} is gone from the archive; using {version}")
            cache.write_note(
                "newest", pin.series, {"pinned": pin.version, "newest": version, "asked": time.time()}
            )

        def stage(into: Path, place: Path) -> None:
            unpack(archive, pin.package, version, into, place, progress)

        return prepared(pin.package, version, title, stage, cache, progress), version


def exact(version: str, title: str, cache: Cache, progress: Progress) -> Base:
    """The prepared package of exactly this version."""
    pin = pins()[Debian(version).series]
    stage = staging(pin.package, version, all_suites(pin), progress)
    root = prepared(pin.package, version, title, stage, cache, progress)
    return Base(root, pin.series, version, None, stage)


def prepared(package: str, version: str, title: str, stage: Stage, cache: Cache, progress: Progress) -> Path:
    """The cache entry of a package, made if need be."""
    return cache.get_or_build(
        KIND,
        package_key(package, version),
        lambda entry: fill(entry, title, stage, (), progress),
        what=title,
        keep=KEEP,
        progress=progress,
    )


def all_suites(pin: Pin) -> tuple[str, ...]:
    """Every suite in which versions of the series may be, the cheapest to read first."""
    return tuple(sorted(pin.suites + pin.elsewhere, key=lambda name: "-" not in name))


def staging(package: str, version: str, suites: Sequence[str], progress: Progress) -> Stage:
    """How to lay out a package of exactly this version."""

    def stage(into: Path, scratch: Path) -> None:
        archive = Archive(scratch / "apt", progress)
        versions = archive.versions(package, suites, until=version)
        if version not in versions:
            there = ", ".join(versions) or "none"
            raise ConformanceError(f"debian:{version}: the archive has no such {package}. It has: {there}.")
        unpack(archive, package, version, into, scratch, progress)

    return stage


def unpack(
    archive: Archive, package: str, version: str, into: Path, scratch: Path, progress: Progress
) -> None:
    """Download a package and lay it out; the package itself is not kept."""
    folder = scratch / "deb"
    folder.mkdir()
    deb = archive.download(package, version, folder)
    progress(f"Unpacking {package} {version}")
    stage_package(deb, into)
    shutil.rmtree(folder)


def drift_of(pin: Pin, src: Path, moved: str, version: str) -> str | None:
    """How a kernel differs from the pinned one, as a sentence that `moved` begins; None if it does not."""
    wrong = differing(pin.core, core_digests(src)) if pin.core else []
    if version == pin.version:
        return f"{of(wrong, pin)} not as pinned for {version}: {', '.join(wrong)}." if wrong else None
    if not pin.core:
        return f"{moved}whose core MMU files have no pinned digests."
    if not wrong:
        return f"{moved}whose {len(pin.core)} core MMU files are all equal to the pinned ones."
    return f"{moved}in which {of(wrong, pin)} not as pinned: {', '.join(wrong)}."


def of(wrong: Sequence[str], pin: Pin) -> str:
    """How many core files differ."""
    return f"{len(wrong)} of {len(pin.core)} core MMU files {'is' if len(wrong) == 1 else 'are'}"
