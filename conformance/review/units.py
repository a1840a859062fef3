# SPDX-License-Identifier: GPL-2.0-only
"""The units that have to be compiled to compare the machine code of changed functions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from conformance.review.functions import Text
from conformance.review.texts import Texts

__all__ = ["units_of"]


def units_of(texts: Texts, functions: Iterable[Text]) -> tuple[list[str], list[str]]:
    """The units of both kernels that contain the code of these functions.

    In the MMU every unit that changed, or that includes a changed file or one with these functions; elsewhere
    the units that define one.
    """
    functions = list(functions)
    sought = {*texts.changed_files, *(one.file for one in functions if one.of_mmu)}
    elsewhere = {one.file for one in functions if not one.of_mmu and one.file.endswith(".c")}
    units = []
    for root, source in zip(texts.roots, (texts.before, texts.after), strict=True):
        mine = {one.file for one in source.functions.values() if one.of_mmu and one.file.endswith(".c")}
        touched = {name for name in mine if _touched(texts, root, name, sought)}
        units.append(sorted(touched | {name for name in elsewhere if (root / name).exists()}))
    return units[0], units[1]


def _touched(texts: Texts, root: Path, unit: str, sought: Collection[str]) -> bool:
    """Whether a unit is ``sought``, or includes a file that is."""
    headers = [name for name in (*texts.changed_files, *texts.other_files) if name.endswith(".h")]
    if texts.generated or not all(name.startswith("arch/x86/kvm/mmu/") for name in headers):
        return True
    seen: set[str] = set()
    waiting = [unit]
    while waiting:
        name = waiting.pop()
        if name in sought:
            return True
        if name not in seen and (root / name).is_file():
            seen.add(name)
            included = re.findall(r'^#include "([^"]+)"', (root / name).read_text(errors="replace"), re.M)
            waiting += (f"arch/x86/kvm/mmu/{Path(one).name}" for one in included)
    return False
