# SPDX-License-Identifier: GPL-2.0-only
"""The headers that Debian ships for building modules of a kernel, from its two linux-headers packages.

One has the kernel's headers, the other what was generated for its configuration, the linker script of modules
and the symbols that the kernel exports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.archive import Archive
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.elf import MOST_BYTES
from conformance.kernels.images import Shipped
from conformance.kernels.pins import pins
from conformance.kernels.reading import read_stream
from conformance.kernels.releases import series_of
from conformance.kernels.staging import contents_of
from conformance.kernels.suites import likely_first
from conformance.kernels.tools import Progress

__all__ = ["module_headers"]

KIND = "headers"
KEEP = 6
"""They have 65 MB each."""

_COMMON = {re.compile(r"(?P<name>(include|arch/x86/include)/.+\.h)"): "src/{name}"}
_GENERATED = {
    re.compile(r"(?P<name>(include|arch/x86/include)/generated/.+\.h)"): "gen/{name}",
    re.compile(r"arch/x86/(?P<name>module\.lds)"): "gen/{name}",
    re.compile(r"(?P<name>\.config|Module\.symvers)"): "gen/{name}",
}
"""The files that are kept of a package, and where."""

_NEEDED = ("src/include/linux/module.h", "gen/.config", "gen/module.lds", "gen/Module.symvers")


def module_headers(image: Shipped, cache: Cache, progress: Progress) -> Path:
    """The directory with src/, headers of a shipped kernel, and gen/, what was generated for it.

    Raises ConformanceError if the archive has not, or no longer, the packages of this version.
    """
    version = image.version
    title = f"the headers of {image.package} {version}"

    def build(entry: Path) -> None:
        archive = Archive(entry.parent / "apt", progress)
        names = {f"linux-headers-{image.abi}-common": _COMMON, f"linux-headers-{image.abi}-amd64": _GENERATED}
        series = series_of(version)
        for suite in likely_first(version, pins()[series].suites if series in pins() else ()):
            if archive.add(suite) and all(version in archive.named(re.escape(n)).get(n, ()) for n in names):
                break
        else:
            raise ConformanceError(
                f"The archive does not have {' and '.join(names)} {version}, without which no module can be "
                "built for it. Use a kernel that the archive has (conformance kernels list), or build the "
                "whole kernel, and pass it with --image and --modules."
            )
        for name, wanted in names.items():
            deb = archive.download(name, version, entry.parent)
            progress(f"Unpacking {name} {version}")
            _take(deb, wanted, entry)
            deb.unlink()
        missing = [name for name in _NEEDED if not (entry / name).is_file()]
        if missing:
            raise ConformanceError(f"{' and '.join(names)} {version} have no {', '.join(missing)}.")

    key = key_of(image.package, version)
    return cache.get_or_build(KIND, key, build, what=title, keep=KEEP, progress=progress)


def _take(deb: Path, wanted: Mapping[re.Pattern[str], str], entry: Path) -> None:
    """Extract the wanted files of a package, in one stream."""
    with contents_of(deb) as archive:
        for member in archive:
            inside = re.fullmatch(r"\./usr/src/linux-headers-[^/]+/(.+)", member.name)
            if not member.isreg() or inside is None or ".." in inside[1].split("/"):
                continue
            for pattern, place in wanted.items():
                match = pattern.fullmatch(inside[1])
                if match is None:
                    continue
                target = entry / place.format(**match.groupdict())
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                target.write_bytes(read_stream(content, MOST_BYTES, f"{member.name} of {deb.name}"))
