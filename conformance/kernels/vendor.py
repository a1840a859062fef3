# SPDX-License-Identifier: GPL-2.0-only
"""Vendored kernels, under vendor_headers/<series>/, so that a checkout builds without network."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import scratch
from conformance.kernels.kernel import FACTS, read_facts
from conformance.kernels.manifest import MANIFEST, Manifest
from conformance.kernels.staging import copy_folder
from conformance.kernels.tools import DISK_FULL, disk_full
from conformance.paths import VENDOR_HEADERS

__all__ = ["Vendored", "lay_out", "vendored"]


@dataclass(frozen=True)
class Vendored:
    """A kernel under vendor_headers/."""

    root: Path
    version: str
    edited: str | None
    """A sentence if its files were edited since; "" otherwise."""


def vendored(series: str, place: Path | None = None) -> Vendored | None:
    """The vendored kernel of a series, or None. An incomplete one is an error; an edited one is reported."""
    root = (place or VENDOR_HEADERS) / series
    if not root.is_dir():
        return None
    try:
        manifest = Manifest.load(root)
        known = dict(manifest.stamps)
        wrong = manifest.differences(root)
        version = str(read_facts(root)["version"])
    except (ValueError, KeyError, OSError):
        wrong = {MANIFEST: "missing"}
    missing = sorted(name for name, how in wrong.items() if how == "missing")
    if missing:
        raise ConformanceError(
            f"{series}: the vendored kernel in {root} is damaged ({missing[0]} is missing). "
            f"Remove that directory, or lay it out again with: conformance kernels vendor {series}"
        )
    with contextlib.suppress(OSError):
        if manifest.stamps != known:
            manifest.save(root)
    edited = None
    if wrong:
        names = ", ".join(sorted(wrong)[:3]) + (" and others" if len(wrong) > 3 else "")
        edited = f"The vendored kernel in {root} was edited: {names}."
    return Vendored(root, version, edited)


def lay_out(root: Path, series: str, version: str, place: Path | None = None) -> Path:
    """Copy a prepared kernel to vendor_headers/<series>/, replacing it atomically; returns the path."""
    target = (place or VENDOR_HEADERS) / series
    scratch.sweep(target.parent, f".{series}-")
    with contextlib.ExitStack() as stack:
        try:
            own = stack.enter_context(scratch.temporary(target.parent, f".{series}"))
        except OSError as trouble:
            raise ConformanceError(f"{target.parent} cannot be written ({trouble.strerror}).") from None
        try:
            _replace(root, version, target, own)
        except OSError as trouble:
            full = trouble.errno in DISK_FULL or any(f"[Errno {one}]" in str(trouble) for one in DISK_FULL)
            if full:
                raise disk_full(target.parent) from None
            raise ConformanceError(f"{target} cannot be written ({trouble.strerror or trouble}).") from None
    return target


def _replace(root: Path, version: str, target: Path, own: Path) -> None:
    """Copy a prepared kernel to ``target`` through a temporary directory beside it."""
    fresh = own / "fresh"
    copy_folder(root, fresh, leave_out=MANIFEST)
    facts = read_facts(root) | {"version": version}
    (fresh / FACTS).write_text(json.dumps(facts, separators=(",", ":")))
    Manifest.take(fresh).save(fresh)
    if target.exists():
        os.rename(target, own / "old")
    os.rename(fresh, target)
