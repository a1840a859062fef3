# SPDX-License-Identifier: GPL-2.0-only
"""The edges of a kernel's MMU that were executed, from the counters of a library that is built for coverage.

gcc gives a counter to some edges of each function's control flow graph; how often the others were taken
follows from these. Edges with a counter are numbered from 0, in the order of units and functions.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np

from conformance.oracles.coverage import ARCS, FUNCTION, HEADER, RECORD

__all__ = ["Edges", "read_edges"]

_UNITS = b"arch-x86-kvm-mmu-"
"""How the names of the units of arch/x86/kvm/mmu begin."""


@dataclass(frozen=True)
class Edges:
    """The edges that were executed, and the number of all.

    ``layout`` is a digest of all functions and their numbers of edges: only where it is the same, numbers
    mean the same edges.
    """

    executed: frozenset[int]
    total: int
    layout: str


def read_edges(dump: bytes) -> Edges:
    """The edges in what c/coverage.c wrote. Raises ValueError if that cannot be read."""
    executed: list[int] = []
    layout, at, total = hashlib.sha256(), 0, 0
    try:
        while at < len(dump):
            (length,) = struct.unpack_from("<Q", dump, at)
            name_at, at = at + 8, at + 8 + length
            name_end = dump.index(b"\0", name_at, at)
            if _UNITS in dump[name_at:name_end]:
                total = _unit(dump, name_end + 1 + HEADER.size, at, total, executed, layout)
    except (struct.error, ValueError) as problem:
        raise ValueError(f"the counters cannot be read: {problem}") from None
    return Edges(frozenset(executed), total, layout.hexdigest()[:16])


def _unit(dump: bytes, at: int, end: int, first: int, executed: list[int], layout: hashlib._Hash) -> int:
    """Add the executed edges of one unit, whose first edge has number ``first``; return the next number."""
    while at + RECORD.size <= end:
        tag, length = RECORD.unpack_from(dump, at)
        if not tag:
            break
        at += RECORD.size
        if tag == FUNCTION:
            layout.update(dump[at : at + max(length, 0)])
        elif tag == ARCS:
            # A negative length stands for that many bytes of zero.
            n = abs(length) // 8
            layout.update(b"%d" % n)
            if length > 0:
                executed += (np.frombuffer(dump, "<i8", n, at).nonzero()[0] + first).tolist()
            first += n
        at += max(length, 0)
    return first
