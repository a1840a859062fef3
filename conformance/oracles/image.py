# SPDX-License-Identifier: GPL-2.0-only
"""Images: machine code of a shim or of a module as it lies in memory, with its entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["EntryCode", "Image", "Segment", "Site", "Symbol", "listed_entries"]


@dataclass(frozen=True)
class Segment:
    """A piece of memory at ``address``: its content, zero-padded to its size."""

    address: int
    content: bytes
    writable: bool
    executable: bool


@dataclass(frozen=True)
class Symbol:
    """The address and the size in bytes of a function or variable; size 0 if unknown."""

    address: int
    size: int


@dataclass(frozen=True)
class EntryCode:
    """One of our entries: ``run`` is the address of ``void run(const u64 *in, u64 *out, unsigned long n)``.

    ``in`` has ``nr_in`` rows of n words, ``out`` has ``nr_out`` of them and one more, of events.
    """

    run: int
    nr_in: int
    nr_out: int


@dataclass(frozen=True)
class Site:
    """What a ``ud2`` means: a ``kind`` of complaint, "WARN" or "BUG", of ``function``, at ``file``:``line``.

    ``function`` is the name that the complaint has as an event.
    """

    kind: str
    function: str
    file: str
    line: int


@dataclass(frozen=True)
class Image:
    """Machine code and data at fixed addresses, relocated.

    ``sites`` are the complaints by the address of their ``ud2``; there are none where complaining is a call
    of ours, as in a shim. ``fresh`` are the places, address and size, that are zero when a case begins
    (``.data.once``).
    """

    segments: tuple[Segment, ...]
    symbols: Mapping[str, Symbol]
    entries: Mapping[str, EntryCode]
    sites: Mapping[int, Site]
    fresh: tuple[tuple[int, int], ...] = ()


def listed_entries(
    start: int, stop: int, unpack: Callable[[str, int], tuple[Any, ...]], string: Callable[[int], str]
) -> dict[str, EntryCode]:
    """What lies between two addresses in the table that SHIM() fills: pointers to struct shim_entry.

    ``unpack`` reads memory at an address in a form of struct's, ``string`` reads text.
    """
    found = {}
    for slot in range(start, stop, 8):
        (entry,) = unpack("<Q", slot)
        name, nr_in, nr_out, run = unpack("<QIIQ", entry)
        found[string(name)] = EntryCode(run, nr_in, nr_out)
    return found
