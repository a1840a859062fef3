# SPDX-License-Identifier: GPL-2.0-only
"""A prepared kernel, ready to compile against."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.errors import ConformanceError
from conformance.kernels.cache import Cache
from conformance.kernels.compilers import Compiler, chosen
from conformance.kernels.compiling import Unit, compile_units
from conformance.kernels.manifest import Manifest
from conformance.kernels.recipe import PREPARED, RECIPE

__all__ = ["FACTS", "Kernel", "fingerprint", "read_facts"]

FACTS = "kernel.json"
"""The facts about an entry's kernel: version, release, digests of the files that preparing read."""


@dataclass(frozen=True)
class Kernel:
    """A prepared kernel source: its names, its version, and the place of its files."""

    selector: str
    """As the user named it."""
    title: str
    """For people: the selector and its patches, "6.1 + fix.mbox"."""
    series: str | None
    """The pinned series to which its Makefile's version belongs, or None."""
    version: str
    """The version of the Debian package ("6.1.192-2"), or the tree's own ("7.4.0-rc2 (tree)")."""
    release: tuple[int, int, int]
    """VERSION, PATCHLEVEL and SUBLEVEL."""
    drift: str | None
    """Sentences on how it differs from the pinned kernel that the selector names, and on what its version
    leaves open about its changes; None if there are none."""
    root: Path
    """The directory with src/, kernel files under their own names, and gen/, generated files. Read-only."""
    fingerprint: str
    """The hex digest of everything that a compilation depends on: files, flags, compiler. Keys of products
    use it."""
    notes: tuple[str, ...] = ()
    """Notes on its patches: offsets, fuzz, files that are not compiled here."""
    compiler: Compiler = field(default_factory=chosen)
    """The compiler that configured and compiles it."""
    commit: str = ""
    """The full name of the commit that a revision of a tree is; "" for any other kernel."""
    patches: tuple[str, ...] = ()
    """The SHA-256 of each patch file, in the order of application."""

    def need_gcc(self, what: str) -> None:
        """Raise ConformanceError unless it is compiled with gcc; ``what`` begins the sentence."""
        if self.compiler.family != "gcc":
            raise ConformanceError(
                f"{self.title}: {what}, and {self.compiler.name} is {self.compiler.text}. Use --cc gcc."
            )

    def compile(
        self,
        sources: Sequence[Path | str | Unit],
        out_dir: Path,
        *,
        flags: Sequence[str] = (),
        include_before: Sequence[Path] = (),
        force_include: Sequence[Path] = (),
        reuse: Cache | None = None,
    ) -> list[Path]:
        """Compile units with the kernel's flags into `out_dir`, in parallel; returns the objects in order.

        sources: absolute paths, paths relative to the kernel, or Units with flags of their own.
        flags: further arguments for every unit, after the kernel's, in gcc's spelling.
        include_before: directories that are searched before the kernel's.
        force_include: files that are included first, after those that the kernel itself force-includes.
        reuse: a cache for the objects of the kernel's own units.

        Raises BuildError with the compiler's first error.
        """
        units = [source if isinstance(source, Unit) else Unit(source) for source in sources]
        return compile_units(
            self.root, self.title, self.compiler, units, out_dir, flags, include_before, force_include, reuse
        )


def fingerprint(manifest: Manifest, compiler: Compiler) -> str:
    """The fingerprint of an entry with these files, for the current recipe and a compiler."""
    parts = (str(PREPARED), RECIPE, compiler.identity, manifest.digest(("src/", "gen/")))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_facts(root: Path) -> dict[str, Any]:
    """The facts recorded in an entry."""
    facts: dict[str, Any] = json.loads((root / FACTS).read_text())
    return facts
