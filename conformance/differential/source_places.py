# SPDX-License-Identifier: GPL-2.0-only
"""Where the function that a property is about is defined in a kernel's source."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from conformance.kernels.parsing import definitions
from conformance.kernels.renames import RENAMED

__all__ = ["source_places"]

_MMU = "arch/x86/kvm/mmu"
_SEQUENCES = {"tdp_iter": "tdp_iter_start"}
"""Properties of more than one function, each with the first that is called."""


def source_places(source: Path, properties: Iterable[str]) -> dict[str, tuple[str, int]]:
    """File and line of each property whose function the source defines, under any known name."""
    names = [*dict.fromkeys(properties)]
    if not names:
        return {}
    files = [str(path.relative_to(source)) for path in sorted((source / _MMU).glob("*.[ch]"))]
    defined = definitions(source, [*files, f"{_MMU}.h"])
    found = {}
    for name in names:
        known = next((one for one in _names(name) if one in defined), None)
        if known is not None:
            found[name] = defined[known]
    return found


def _names(name: str) -> list[str]:
    """The names that the function of a property has had."""
    others = [pair for pair in RENAMED if name in pair]
    return [name, f"FNAME({name})", *(other for pair in others for other in pair), _SEQUENCES.get(name, name)]
