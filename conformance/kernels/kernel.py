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
"""What is known of an entry's kernel besides its files: version, release, digests of what preparing read."""


@dataclass(frozen=True)
class Kernel:
    """One kernel source, prepared: what it is called, what it is, and where its files lie."""

    selector: str
    """As the user named it."""
    title: str
    """For people: the selector and its patches, "6.1 + fix.mbox"."""
    series: str | None
    """The pinned series that it belongs to, by its own Makefile; None if to none."""
    version: str
    """The version of the Debian package ("6.1.192-2"), or the tree's own ("7.4.0-rc2 (tree)")."""
    release: tuple[int, int, int]
    """VERSION, PATCHLEVEL and SUBLEVEL."""
    drift: str | None
    """How it is not the pinned kernel that the selector means, and what its version leaves open about the
    changes that it has: plain sentences; None if there is nothing to say."""
    root: Path
    """Holds src/, kernel files under their own names, and gen/, the generated ones. To be read only."""
    fingerprint: str
    """Hex digest of all that a compilation sees: files, flags, compiler. The key of what is built from it."""
    notes: tuple[str, ...] = ()
    """What is to be said of how its patches were applied: offsets, fuzz, files that are not compiled here."""
    compiler: Compiler = field(default_factory=chosen)
    """What compiles it, and configured it."""

    def need_gcc(self, what: str) -> None:
        """Raise ConformanceError unless it is compiled with gcc: what it is for cannot be had of clang."""
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
        """Compile units with the kernel's flags into `out_dir`, in parallel, and return the objects in order.

        sources: absolute paths of ours, or paths relative to the kernel, or Units with flags of their own.
        flags: further arguments for every unit, after the kernel's, as gcc has them.
        include_before: directories whose headers stand in front of the kernel's.
        force_include: files included first, after the kernel's own compiler_types.h and the like.
        reuse: a cache in which objects of the kernel's own units are looked up and kept.

        Raises BuildError with the compiler's first error.
        """
        units = [source if isinstance(source, Unit) else Unit(source) for source in sources]
        return compile_units(
            self.root, self.title, self.compiler, units, out_dir, flags, include_before, force_include, reuse
        )


def fingerprint(manifest: Manifest, compiler: Compiler) -> str:
    """The fingerprint of an entry with these files, under the recipe of today and a compiler."""
    parts = (str(PREPARED), RECIPE, compiler.identity, manifest.digest(("src/", "gen/")))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_facts(root: Path) -> dict[str, Any]:
    """The facts recorded in an entry."""
    facts: dict[str, Any] = json.loads((root / FACTS).read_text())
    return facts
