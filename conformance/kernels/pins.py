# SPDX-License-Identifier: GPL-2.0-only
"""The pinned kernels of vendor_headers/kernels.toml: package, version, suites, digests of the core files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.manifest import file_digest
from conformance.kernels.releases import release_numbers
from conformance.paths import VENDOR_HEADERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Pin", "core_digests", "differing", "pinned_release", "pins", "write_pins"]

PINS = VENDOR_HEADERS / "kernels.toml"

CORE = re.compile(
    r"arch/x86/kvm/mmu/[^/]+\.[ch]|arch/x86/kvm/mmu\.h|virt/kvm/kvm_mm\.h|include/linux/kvm_(?:host|types)\.h"
    r"|arch/x86/include/asm/(?:kvm_host|kvm_page_track|vmx)\.h"
)
"""The files that hold the code under test: two kernels in which they are equal count as the same."""

HEAD = """\
# SPDX-License-Identifier: GPL-2.0-only
# The kernels that the series stand for. Written by `conformance kernels pin`, which also takes the digests.
# suites: where the package is, smallest list first.
"""


@dataclass(frozen=True)
class Pin:
    """The pinned package of a series."""

    series: str
    package: str
    version: str
    suites: tuple[str, ...]
    core: Mapping[str, str] = field(default_factory=dict)


def pins(path: Path = PINS) -> dict[str, Pin]:
    """The pins by series. Raises ConformanceError if the file is missing or damaged."""
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)["series"]
        return {
            name: Pin(
                name,
                entry["package"],
                entry["version"],
                tuple(entry["suites"]),
                entry.get("core", {}),
            )
            for name, entry in table.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as trouble:
        raise ConformanceError(
            f"The pinned kernels cannot be read from {path}: {trouble}. Restore the file from the repository."
        ) from None


def write_pins(table: Mapping[str, Pin], path: Path = PINS) -> None:
    """Write the pins, atomically."""
    lines = [HEAD]
    for pin in table.values():
        lines.append(f'[series."{pin.series}"]')
        lines.append(f"package = {json.dumps(pin.package)}")
        lines.append(f"version = {json.dumps(pin.version)}")
        lines.append(f"suites = {json.dumps(pin.suites)}\n")
        lines.append(f'[series."{pin.series}".core]')
        lines.extend(f'"{name}" = "{digest}"' for name, digest in sorted(pin.core.items()))
        lines.append("")
    new = path.with_suffix(".new")
    new.write_text("\n".join(lines))
    new.replace(path)


def core_digests(src: Path) -> dict[str, str]:
    """The digests of the core files of a kernel."""
    names = (str(path.relative_to(src)) for folder in CORE_FOLDERS for path in (src / folder).glob("*.[ch]"))
    return {name: file_digest(src / name) for name in sorted(names) if CORE.fullmatch(name)}


CORE_FOLDERS = ("arch/x86/kvm/mmu", "arch/x86/kvm", "virt/kvm", "include/linux", "arch/x86/include/asm")


def pinned_release(series: str) -> tuple[int, int, int]:
    """VERSION, PATCHLEVEL and SUBLEVEL of the pinned kernel of a series."""
    return release_numbers(pins()[series].version)


def differing(pinned: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    """The names of the core files that differ."""
    return sorted(name for name in pinned.keys() | actual.keys() if pinned.get(name) != actual.get(name))
