# SPDX-License-Identifier: GPL-2.0-only
"""Libraries that count what they execute: how they are compiled, and what their counters mean.

gcc compiles counters into each unit, and writes notes on it (.gcno) that say which lines and functions the
counters belong to. The notes travel in a section of the object, so that both are cached together; a link
takes them out again, into a directory beside the library. c/coverage.c writes the counters as gcc's libgcov
does (.gcda): one of each unit, with its functions by number. Reading both is left to gcov, but for adding up
counters and for naming functions: the format is described in gcc's gcov-io.h.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Kernel
from conformance.kernels.building import build
from conformance.kernels.compiling import NOTES
from conformance.kernels.tools import first_error

__all__ = [
    "ARCS",
    "COVERAGE",
    "FROM_LIBGCOV",
    "FUNCTION",
    "HEADER",
    "RECORD",
    "UNUSED",
    "Counters",
    "check_compiler",
    "executed",
    "functions_counted",
    "is_kvm",
    "notes_beside",
    "read_counters",
    "take_notes",
    "units_of",
]

COVERAGE = (
    "-fprofile-arcs",
    "-ftest-coverage",
    # The units are listed in this section, instead of being registered by constructors.
    "-fprofile-info-section=conformance_units",
    # Counters are inserted after early inlining: without that, inline functions have theirs.
    "-fno-early-inlining",
    # As the kernel's own CFLAGS_GCOV: a counter is not kept in a register during a loop.
    "-fno-tree-loop-im",
)
"""Flags with which a unit counts what it executes."""

FROM_LIBGCOV = "__gcov_info_to_gcda"
"""What c/coverage.c needs of libgcov."""

UNUSED = "__gcov_merge_add"
"""What units refer to for adding to the counters of a file, which nothing here does."""

FUNCTION, ARCS = 0x01000000, 0x01A10000
"""Tags of records."""
HEADER = struct.Struct("<4sIII")
"""What a file begins with."""
RECORD = struct.Struct("<Ii")
"""What a record begins with: its tag, and its length in bytes."""
_SINCE = (12,)


def check_compiler(kernel: Kernel) -> None:
    """Raise ConformanceError unless the kernel's compiler can count what is executed, and write it."""
    kernel.need_gcc("what is executed is counted by code that gcc inserts")
    if kernel.compiler.version < _SINCE:
        raise ConformanceError(
            f"{kernel.title}: what is executed is counted by gcc {_SINCE[0]} or later,"
            f" whose libgcov needs no files, and {kernel.compiler.name} is {kernel.compiler.text}."
        )


def take_notes(kernel: Kernel, objects: list[Path], place: Path) -> None:
    """Move the notes of the objects that have some into the directory ``place``, which is created."""
    place.mkdir()
    for path in objects:
        notes = place / f"{path.stem}.gcno"
        words: list[str | Path] = [
            "objcopy",
            "--dump-section",
            f"{NOTES}={notes}",
            "--remove-section",
            NOTES,
            path,
        ]
        done = build(words, write=[path.parent, place], purpose=f"{kernel.title}: taking notes of coverage")
        if done.returncode:
            raise BuildError(f"{kernel.title}: {path.name} has no notes: {first_error(done.stderr)}")


def notes_beside(library: Path) -> dict[str, Path]:
    """The notes of a library's units, by the unit's name."""
    return {path.stem: path for path in sorted((library.parent / "notes").glob("*.gcno"))}


def units_of(library: Path, files: Collection[str]) -> frozenset[str]:
    """The units of a library that have code of one of these files of KVM."""
    wanted = [file.encode() + b"\0" for file in files]
    notes = {unit: path.read_bytes() for unit, path in notes_beside(library).items()}
    return frozenset(unit for unit, content in notes.items() if any(file in content for file in wanted))


class Unit(NamedTuple):
    """The counters of a unit: the header of its file, and of each function its key and its counters.

    Arrays are shared, and not written. Counters that are all 0 are the array that _zeros() returns.
    """

    header: bytes
    functions: dict[bytes, NDArray[np.int64]]


class Counters(dict[str, Unit]):
    """The counters of a library's units, by the unit's name."""

    def __add__(self, other: Mapping[str, Unit]) -> Counters:
        """The sums. Raises ValueError if they are not of the same library."""
        return self._combined(other, np.add)

    def __sub__(self, other: Mapping[str, Unit]) -> Counters:
        """What was executed after ``other`` had been read from the same process."""
        return self._combined(other, np.subtract)

    def _combined(self, other: Mapping[str, Unit], operation: np.ufunc) -> Counters:
        found = Counters(self)
        for name, unit in other.items():
            if name not in self:
                found[name] = unit
                continue
            own = self[name]
            if own.functions.keys() != unit.functions.keys():
                raise ValueError(f"the counters of {name} are of two compilations")
            functions = {
                key: own.functions[key] if _idle(counts) else operation(own.functions[key], counts)
                for key, counts in unit.functions.items()
            }
            found[name] = Unit(own.header, functions)
        return found

    def of(self, units: Collection[str]) -> Counters:
        """The counters of some units."""
        return Counters({name: unit for name, unit in self.items() if name in units})

    def content(self, name: str) -> bytes:
        """The content of a unit's .gcda file."""
        unit = self[name]
        parts = [unit.header]
        for key, counts in unit.functions.items():
            parts += [RECORD.pack(FUNCTION, len(key)), key]
            # A negative length stands for that many bytes of zero.
            parts += [RECORD.pack(ARCS, counts.nbytes), counts.astype("<i8").tobytes()]
        return b"".join(parts)

    def ran(self) -> Iterator[tuple[str, frozenset[bytes]]]:
        """The units of which something was executed, and the keys of the functions that were."""
        for name, unit in self.items():
            keys = frozenset(
                key for key, counts in unit.functions.items() if not _idle(counts) and counts.any()
            )
            if keys:
                yield name, keys


@lru_cache(None)
def _zeros(n: int) -> NDArray[np.int64]:
    return np.zeros(n, np.int64)


def _idle(counts: NDArray[np.int64]) -> bool:
    """Whether counters are known to be 0 without looking at them."""
    return counts is _zeros(len(counts))


def read_counters(dump: bytes, library: Path) -> Counters:
    """The counters that c/coverage.c wrote. Raises ValueError if they cannot be those of this library.

    Kernel code that goes wrong may overwrite them.
    """
    known = notes_beside(library)
    found, at = Counters(), 0
    try:
        while at < len(dump):
            (length,) = struct.unpack_from("<Q", dump, at)
            name, _, content = dump[at + 8 : at + 8 + length].partition(b"\0")
            at += 8 + length
            unit = Path(name.decode("ascii")).stem
            if unit not in known:
                raise ValueError(f"no unit is called {unit!r}")
            found[unit] = _read(content)
    except (struct.error, UnicodeError) as problem:
        raise ValueError(f"the counters of {library.name} cannot be read: {problem}") from None
    return found


@lru_cache(1024)
def _read(content: bytes) -> Unit:
    """The counters in the content of a .gcda file. Many processes execute the same of most units."""
    magic, *_ = HEADER.unpack_from(content)
    if magic != b"adcg":
        raise ValueError("these are no counters")
    functions: dict[bytes, NDArray[np.int64]] = {}
    key, at, header = b"", HEADER.size, content[: HEADER.size]
    while at + RECORD.size <= len(content):
        tag, length = RECORD.unpack_from(content, at)
        if not tag:
            break
        at += RECORD.size
        size = max(length, 0)
        if at + size > len(content):
            raise ValueError("the counters end early")
        if tag == FUNCTION:
            key = content[at : at + size]
        elif tag == ARCS:
            n = abs(length) // 8
            functions[key] = np.frombuffer(content, "<i8", n, at) if length > 0 else _zeros(n)
        at += size
    return Unit(header, functions)


def executed(library: Path, counters: Counters) -> set[str]:
    """The names of the functions that were executed, inline ones included."""
    names = _names(library)
    return {names[unit][key] for unit, keys in counters.ran() for key in keys if key in names[unit]}


def functions_counted(library: Path) -> frozenset[str]:
    """The names of the functions of KVM that a library counts by name: all but those always inlined."""
    return frozenset(name for names in _names(library).values() for name in names.values())


@lru_cache(16)
def _names(library: Path) -> dict[str, dict[bytes, str]]:
    """The names of a library's functions, by unit and by the key that counters have."""
    return {unit: dict(_functions(path.read_bytes())) for unit, path in notes_beside(library).items()}


def _functions(notes: bytes) -> Iterator[tuple[bytes, str]]:
    """The functions of KVM in a unit's notes: key and name."""
    at = HEADER.size
    # The working directory, and whether blocks without code are listed.
    at += 4 + struct.unpack_from("<I", notes, at)[0] + 4
    while at + RECORD.size <= len(notes):
        tag, length = RECORD.unpack_from(notes, at)
        at += RECORD.size
        if tag == FUNCTION and length > 16:
            name, after = _text(notes, at + 12)
            # A number says whether the compiler made the function up; then comes the file.
            file, _ = _text(notes, after + 4)
            if is_kvm(file):
                yield notes[at : at + 12], name
        at += max(length, 0)


def _text(notes: bytes, at: int) -> tuple[str, int]:
    """The string at an offset, and the offset behind it."""
    (size,) = struct.unpack_from("<I", notes, at)
    return notes[at + 4 : at + 4 + size].rstrip(b"\0").decode(), at + 4 + size


def is_kvm(file: str) -> bool:
    """Whether a file, by the path that the compiler notes, is KVM's: neither ours nor a generic header."""
    return not file.startswith("/") and "kvm" in file
