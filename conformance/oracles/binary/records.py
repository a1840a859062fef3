# SPDX-License-Identifier: GPL-2.0-only
"""BTF records: types by id, and types by name.

The format is described in Documentation/bpf/btf.rst. A module's BTF is split: its ids and strings go on where
those of vmlinux end. A type is decoded when it is asked for, since vmlinux has a hundred thousand of them.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from conformance.errors import ConformanceError
from conformance.kernels.vmlinuz import BTF

__all__ = ["AGGREGATES", "PAIR", "SIZED", "TRIPLE", "Records", "Type"]

# The first two are the format's own limits, BTF_MAX_TYPE and BTF_MAX_NAME_OFFSET of include/uapi/linux/btf.h.
_MOST_TYPES = 0xFFFFF
_MOST_STRINGS = 1 << 24
_LONGEST_NAME = 4096
"""Bytes of a name; the kernel's KSYM_NAME_LEN is 512."""
_MOST_PLACES = 1 << 16
"""The limit of names with the same suffix as the one looked up."""
_MOST_STEPS = 500_000
"""Members that are read of a file until it counts as damaged; asking a kvm.ko takes 10,000."""

_HEADER = struct.Struct("<HBBIIIII")
TRIPLE, PAIR = struct.Struct("<III"), struct.Struct("<II")
"""What types and their parts are made of: a name, and one or two numbers."""

# By number: what it is called here, bytes after the common record, and bytes for each of its parts.
_KINDS = {
    1: ("int", 4, 0),
    2: ("pointer", 0, 0),
    3: ("array", 12, 0),
    4: ("struct", 0, 12),
    5: ("union", 0, 12),
    6: ("enum", 0, 8),
    7: ("forward", 0, 0),
    8: ("typedef", 0, 0),
    9: ("volatile", 0, 0),
    10: ("const", 0, 0),
    11: ("restrict", 0, 0),
    12: ("function", 0, 0),
    13: ("prototype", 0, 8),
    14: ("variable", 4, 0),
    15: ("section", 0, 12),
    16: ("float", 0, 0),
    17: ("tag", 4, 0),
    18: ("type tag", 0, 0),
    19: ("enum64", 0, 12),
}
SIZED = {"int", "struct", "union", "enum", "enum64", "float"}
AGGREGATES = {"struct", "union"}


class Type(NamedTuple):
    """A type as BTF has it; which fields mean something depends on the kind."""

    kind: str
    name: str
    size: int
    """In bytes, of what has a size of its own."""
    target: int
    """The id of the type that it points to, qualifies, renames, returns, or is an array of."""
    elements: int
    """Of an array."""
    flag: bool
    """Of an enumeration: its values are signed. Of a forward declaration: it is a union."""
    parts: int
    """Members, values or parameters."""
    at: int
    """Their offset in the data."""


class Records:
    """The types of one file; those of a module together with the types of its kernel."""

    _steps = 0

    def __init__(
        self, data: bytes, file: str, base: Records | None = None, distilled: bytes | None = None
    ) -> None:
        """Find the offset of each type.

        base: the types of vmlinux, for a module's. distilled: the module's own excerpt of its base
        (.BTF.base, of modules built outside of the tree since v6.11): names and sizes, by which the true
        ones are found.

        Raises ConformanceError, which names the file, if the data is damaged or of a kind not known here.
        """
        self.file = file
        self.data = data
        self._base = base
        self._excerpt = Records(distilled, f"{file} (.BTF.base)") if distilled is not None else None
        lower = self._excerpt or base
        types, end, strings, strings_end = self._sections()
        self._strings = data[strings:strings_end]
        if len(self._strings) > _MOST_STRINGS:
            self.damaged(f"it has {len(self._strings):,} bytes of strings")
        if not self._strings.startswith(b"\0") and base is None:
            self.damaged("its strings do not begin with the empty one")
        self._first_string: int = lower._end_of_strings if lower else 0
        self._end_of_strings: int = self._first_string + len(self._strings)
        self._first = len(base) if base else 1
        self._starts, self._names = self._scan(types, end)
        self._moved = self._first - len(lower) if lower else 0
        self._real: dict[int, int] = {}
        self._by_name: dict[int, list[int]] | None = None
        self._known: dict[int, Type] = {}
        if lower is not None:
            self._check_base(lower)

    def __len__(self) -> int:
        """One more than the highest id."""
        return self._first + len(self._starts)

    # Reading

    def damaged(self, how: str) -> NoReturn:
        """Raise ConformanceError with the file and the damage."""
        raise ConformanceError(
            f"{self.file}: its type information (BTF) is damaged: {how}. Get the file again, or another one."
        )

    def _sections(self) -> tuple[int, int, int, int]:
        """The bounds of types and strings."""
        if len(self.data) < _HEADER.size:
            self.damaged(f"it has {len(self.data)} bytes")
        magic, version, _, header, types, length, strings, strings_length = _HEADER.unpack_from(self.data)
        if magic != int.from_bytes(BTF, "little") or version != 1:
            self.damaged(f"it begins with {self.data[:3].hex(' ')}")
        types, strings = header + types, header + strings
        if max(types + length, strings + strings_length) > len(self.data) or header < _HEADER.size:
            self.damaged("it ends before its last section does")
        return types, types + length, strings, strings + strings_length

    def _scan(self, at: int, end: int) -> tuple[array[int], array[int]]:
        """The offset of each type, and of its name."""
        starts, names = array("I"), array("I")
        sizes = {number: (12 + fixed, each) for number, (_, fixed, each) in _KINDS.items()}
        data, read = self.data, PAIR.unpack_from
        try:
            while at < end:
                name, info = read(data, at)
                fixed, each = sizes[info >> 24 & 31]
                starts.append(at)
                names.append(name)
                at += fixed + each * (info & 0xFFFF)
                if len(starts) > _MOST_TYPES:
                    self.damaged(f"it has more than {_MOST_TYPES:,} types")
        except KeyError:
            raise ConformanceError(
                f"{self.file}: type {self._first + len(starts)} of its type information (BTF) is of kind "
                f"{info >> 24 & 31}, which is not known. Use a newer version of this suite."
            ) from None
        except struct.error:
            self.damaged("its last type is cut off")
        if at != end:
            self.damaged("its last type is cut off")
        return starts, names

    def _check_base(self, lower: Records) -> None:
        """Names begin where strings of the base begin, unless it is another kernel's."""
        own = self._first_string
        if not all((lower if offset < own else self)._begins(offset) for offset in self._names):
            raise ConformanceError(
                f"{self.file}: its type information (BTF) does not fit that of {lower.file}. "
                "Pass the vmlinux of the very kernel that the module belongs to."
            )

    def _begins(self, offset: int) -> bool:
        """Whether a string begins there."""
        at = offset - self._first_string
        return at < len(self._strings) and (at == 0 or self._strings[at - 1] == 0)

    def string(self, offset: int) -> str:
        """The name at an offset."""
        if offset < self._first_string:
            lower = self._excerpt or self._base
            assert lower is not None
            return lower.string(offset)
        start = offset - self._first_string
        end = self._strings.find(b"\0", start, start + _LONGEST_NAME)
        if end < 0:
            self.damaged(f"a name lies at {offset}, beyond its strings")
        return self._strings[start:end].decode(errors="replace")

    def reference(self, number: int) -> int:
        """The id here of a type to which this file's data refers by ``number``."""
        if self._excerpt is None:
            return number
        if number >= len(self._excerpt):
            return number + self._moved
        if number and number not in self._real:
            self._real[number] = self._find_real(self._excerpt.type(number))
        return self._real[number] if number else 0

    def _find_real(self, excerpt: Type) -> int:
        """The type of vmlinux that a type of the excerpt stands for."""
        assert self._base is not None
        for number in self._base.named(excerpt.name):
            found = self._base.type(number)
            same = found.kind == excerpt.kind and found.size == excerpt.size
            if same or (excerpt.kind == "forward" and found.kind in {"forward", *AGGREGATES}):
                return number
        raise ConformanceError(
            f"{self.file}: {self._base.file} has no {excerpt.kind} {excerpt.name} such as the module was "
            "built with. Pass the vmlinux of the very kernel that the module belongs to."
        )

    def step(self, count: int = 1) -> None:
        """Count a read. Raises ConformanceError if the types refer to each other in a circle."""
        self._steps += count
        if self._steps > _MOST_STEPS:
            self.damaged("its types are made of each other without end")

    # Types

    def type(self, number: int) -> Type:
        """The type with this id. Id 0 is void."""
        if number == 0:
            return Type("void", "", 0, 0, 0, False, 0, 0)
        if self._base is not None and number < self._first:
            return self._base.type(number)
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = self._decoded(number)
        return known

    def _decoded(self, number: int) -> Type:
        if not self._first <= number < len(self):
            self.damaged(f"it refers to type {number} and has {len(self)}")
        at = self._starts[number - self._first]
        name, info, value = TRIPLE.unpack_from(self.data, at)
        kind = _KINDS[info >> 24 & 31][0]
        size, target, elements = (value, 0, 0) if kind in SIZED else (0, value, 0)
        if kind == "array":
            target, _, elements = TRIPLE.unpack_from(self.data, at + 12)
        target = self.reference(target) if kind not in ("section", "forward") else 0
        return Type(kind, self.string(name), size, target, elements, bool(info >> 31), info & 0xFFFF, at + 12)

    def owner(self, number: int) -> Records:
        """The file that contains the type."""
        return self._base.owner(number) if self._base is not None and number < self._first else self

    def files(self) -> Iterator[Records]:
        """This file, then its kernel's."""
        yield self
        if self._base is not None:
            yield from self._base.files()

    def named(self, name: str) -> list[int]:
        """The ids of this file's own types of that name, ascending."""
        if self._by_name is None:
            self._by_name = {}
            for number, offset in enumerate(self._names, self._first):
                if offset:
                    self._by_name.setdefault(offset, []).append(number)
        offsets = [place for place in self._places(name.encode()) if place in self._by_name]
        return sorted(number for offset in offsets for number in self._by_name[offset])

    def _places(self, name: bytes) -> Iterator[int]:
        """Where a name may be among the strings: some of a module's are its kernel's."""
        lower = self._excerpt or self._base
        if lower is not None:
            yield from lower._places(name)
        at = self._strings.find(name + b"\0")
        for _ in range(_MOST_PLACES):
            if at < 0:
                return
            yield at + self._first_string
            at = self._strings.find(name + b"\0", at + 1)
        self.damaged(f"its strings have {name.decode()} in too many places")
