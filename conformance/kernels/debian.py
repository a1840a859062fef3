# SPDX-License-Identifier: GPL-2.0-only
"""Kernels from Debian's source packages: pinned, of an exact version, or the newest with a prefix."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.apt import TOOLS
from conformance.kernels.archive import Archive, Offer, Unreachable, ascending, newest
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.catalogue import catalogue, remembered
from conformance.kernels.pins import Pin, core_digests, differing, pins
from conformance.kernels.prepare import need_tools
from conformance.kernels.releases import series_of
from conformance.kernels.selector import SERIES, Debian
from conformance.kernels.sources import Base, Stage, StagePart, conditions, fill
from conformance.kernels.staging import Wanted, stage_package, wanted
from conformance.kernels.suites import likely_first
from conformance.kernels.tools import Progress
from conformance.kernels.vendor import vendored

__all__ = ["cached_version", "drift_of", "gone", "opened", "package_key", "pinned", "resolved"]

KIND = "package"
KEEP = 60
"""The number of kernels that are kept, at 12 MB each: all of the archive, so that they can be compared
again."""

ASK_AGAIN = 7 * 24 * 3600.0
"""Seconds for which the result is cached that a pinned version has left the archive."""


def package_key(package: str, version: str) -> str:
    """The cache key of a prepared package."""
    return key_of(package, version, *conditions())


def pinned(series: str, title: str, cache: Cache, progress: Progress) -> Base:
    """The pinned kernel of a series, vendored, cached or fetched; the newest if it has left the archive."""
    pin = pins()[series]
    laid = vendored(series)
    if laid is not None:
        stage = staging(laid.version, cache, progress)
        moved = (
            f"This is the vendored {laid.version}; pinned is {pin.version}, "
            if laid.version != pin.version
            else ""
        )
        drift = drift_of(pin, laid.root / "src", moved, laid.version) or laid.edited
        return Base(laid.root, series, laid.version, drift, stage, f"{pin.package} {laid.version}")
    version = cached_version(pin, cache)
    root = cache.find(KIND, package_key(pin.package, version), progress=progress) if version else None
    if root is None or version is None:
        root, version = fetch(pin, title, cache, progress)
    stage = staging(version, cache, progress)
    drift = drift_of(pin, root / "src", gone(pin, version), version)
    return Base(root, series, version, drift, stage, f"{pin.package} {version}")


_NEWEST = {"pinned": str, "newest": str, "asked": float}
"""The note about a series whose pinned version has left the archive."""


def gone(pin: Pin, version: str) -> str:
    """The beginning of a sentence about drift."""
    return f"The archive no longer has the pinned {pin.version}; this is {version}, "


def cached_version(pin: Pin, cache: Cache) -> str | None:
    """The cached version for a series; None if the archive must be asked."""
    if cache.has(KIND, package_key(pin.package, pin.version)):
        return pin.version
    note = cache.read_note("newest", pin.series, _NEWEST)
    if note and note["pinned"] == pin.version and 0 <= time.time() - note["asked"] < ASK_AGAIN:
        return str(note["newest"])
    return None


def fetch(pin: Pin, title: str, cache: Cache, progress: Progress) -> tuple[Path, str]:
    """Fetch and prepare the pinned version of a series, or the newest if the archive no longer has it."""
    with (
        cache.writing(),
        cache.lock("pin", pin.series, title, progress),
        cache.temporary(f"pin-{pin.series}") as scratch,
    ):
        found = cache.find(KIND, package_key(pin.package, pin.version))
        if found is not None:
            return found, pin.version
        need_tools(*TOOLS)
        try:
            archive = Archive(scratch / "apt", progress)
            suites = likely_first(pin.version, pin.suites)
            offers = [o for o in archive.sources(suites, until=pin.version) if o.package == pin.package]
        except Unreachable:
            version = (cache.read_note("newest", pin.series, _NEWEST) or {}).get("newest", pin.version)
            root = cache.find(KIND, package_key(pin.package, version))
            if root is None:
                raise
            progress(f"{title}: the Debian archive does not answer; using {version} from the cache")
            return root, version
        if not offers:
            raise ConformanceError(
                f"{title}: the archive has no {pin.package} any more. "
                "Use another series, or debian:VERSION or tree:PATH."
            )
        version = pin.version
        if version not in {offer.version for offer in offers}:
            version = newest(offer.version for offer in offers)
            progress(f"{title}: {pin.package} {pin.version} is gone from the archive; using {version}")
            cache.write_note(
                "newest", pin.series, {"pinned": pin.version, "newest": version, "asked": time.time()}
            )

        def stage(into: Path, place: Path) -> None:
            unpack(archive, pin.package, version, into, place, progress)

        return prepared(pin.package, version, title, stage, cache, progress), version


def opened(named: Debian, title: str, cache: Cache, progress: Progress) -> Base:
    """The prepared package of a version, or of the newest with that prefix."""
    version = resolved(named, title, cache, progress)
    series = series_of(version)
    stage = staging(version, cache, progress)
    package = f"linux-source-{series}"
    root = prepared(package, version, title, stage, cache, progress)
    drift = None if named.exact else f"{title} is {version}, the newest that the archive has."
    return Base(root, series if series in SERIES else None, version, drift, stage, f"{package} {version}")


def resolved(named: Debian, title: str, cache: Cache, progress: Progress) -> str:
    """The version as named, or the newest in the archive with that prefix."""
    if named.exact:
        return named.version
    offers = catalogue(cache, progress)
    versions = [offer.version for offer in offers if named.covers(offer.version)]
    if not versions:
        raise ConformanceError(missing(named, title, offers))
    return newest(versions)


def missing(named: Debian, title: str, offers: Sequence[Offer]) -> str:
    """The error that the archive has no such version, and which it has."""
    here = ascending(offer.version for offer in offers if series_of(offer.version) == named.series)
    if here:
        return f"{title}: the archive has no such version. Of {named.series} it has {', '.join(here)}."
    every = ascending(series_of(offer.version) for offer in offers)
    there = f"It has the series {', '.join(every)}" if every else "It has no linux-source package at all"
    return f"{title}: the archive has no kernel {named.series}. {there}; for another, use tree:PATH."


def prepared(package: str, version: str, title: str, stage: Stage, cache: Cache, progress: Progress) -> Path:
    """The cache entry of a package, built if necessary."""
    return cache.get_or_build(
        KIND,
        package_key(package, version),
        lambda entry: fill(entry, title, stage, (), progress),
        what=title,
        keep=KEEP,
        progress=progress,
    )


def staging(version: str, cache: Cache, progress: Progress) -> StagePart:
    """Returns a function that lays out the package of exactly this version, from any suite."""

    def stage(into: Path, scratch: Path, which: Wanted = wanted) -> None:
        need_tools(*TOOLS)
        named = Debian(version)
        archive = Archive(scratch / "apt", progress)
        pin = pins().get(named.series)
        seen = [offer.suite for offer in remembered(cache) if offer.version == version]
        offers = archive.sources(likely_first(version, (*seen, *(pin.suites if pin else ()))), until=version)
        package = next((offer.package for offer in offers if offer.version == version), None)
        if package is None:
            raise ConformanceError(missing(named, f"debian:{version}", offers))
        unpack(archive, package, version, into, scratch, progress, which)

    return stage


def unpack(
    archive: Archive,
    package: str,
    version: str,
    into: Path,
    scratch: Path,
    progress: Progress,
    which: Wanted = wanted,
) -> None:
    """Download a package and lay it out; the package is not kept."""
    folder = scratch / "deb"
    folder.mkdir()
    deb = archive.download(package, version, folder)
    progress(f"Unpacking {package} {version}")
    stage_package(deb, into, which)
    shutil.rmtree(folder)


def drift_of(pin: Pin, src: Path, moved: str, version: str) -> str | None:
    """How a kernel differs from the pinned one, as a sentence beginning with `moved`; None if it does not."""
    wrong = differing(pin.core, core_digests(src)) if pin.core else []
    if version == pin.version:
        return f"{of(wrong, pin)} not as pinned for {version}: {', '.join(wrong)}." if wrong else None
    if not pin.core:
        return f"{moved}whose core MMU files have no pinned digests."
    if not wrong:
        return f"{moved}whose {len(pin.core)} core MMU files are all equal to the pinned ones."
    return f"{moved}in which {of(wrong, pin)} not as pinned: {', '.join(wrong)}."


def of(wrong: Sequence[str], pin: Pin) -> str:
    """The number of core files that differ, as the subject of a sentence."""
    return f"{len(wrong)} of {len(pin.core)} core MMU files {'is' if len(wrong) == 1 else 'are'}"
