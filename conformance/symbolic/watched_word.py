# SPDX-License-Identifier: GPL-2.0-only
"""The watched word of a module's image: does at each write what a trap does in a native process.

The first write to the word finds the value that another CPU wrote in the meantime. Each write is counted as
plain or as atomic.
"""

from __future__ import annotations

from conformance.oracles.image import Image
from conformance.symbolic.executing import OnWrite, Run
from conformance.symbolic.paths import Path
from conformance.symbolic.terms import Value

__all__ = ["count_writes"]

PLAIN, ATOMIC = 1, 1 << 8
"""How oracles count writes."""


def count_writes(image: Image) -> OnWrite | None:
    """The hook to call before each write; None for an image that counts its own writes, as a shim does."""
    names = ("shim_watched_word", "shim_watching", "shim_race", "shim_raced", "shim_accesses")
    if names[0] not in image.symbols:
        return None
    pointer, watched, race, raced, accesses = (image.symbols[name].address for name in names)

    def before(run: Run, path: Path, address: Value, atomic: bool) -> None:
        word = run.memory.load(path, pointer, 64)
        terms = run.terms
        here = terms.and_(terms.eq(address, word, 64), run.memory.load(path, watched, 1), 1)
        if here == 0:
            return
        first = terms.and_(here, run.memory.load(path, race, 1), 1)
        for place, value, when in (
            (word, run.memory.load(path, raced, 64), first),
            (race, 0, first),
            (accesses, terms.add(run.memory.load(path, accesses, 64), ATOMIC if atomic else PLAIN, 64), here),
        ):
            old = run.memory.load(path, place, 64)
            run.memory.store(path, place, terms.ite(when, value, old, 64), 64)

    return before
