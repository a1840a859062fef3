# SPDX-License-Identifier: GPL-2.0-only
"""BTF, the kernel's own type information: structures, enumerations and prototypes by name.

The format is described in Documentation/bpf/btf.rst. A module's BTF is split: its ids and strings go on where
those of vmlinux end. A type is decoded when it is asked for, since vmlinux has a hundred thousand of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from conformance.errors import ConformanceError

__all__ = ["MAGIC", "Btf", "Member", "Prototype", "Type"]

MAGIC = b"\x9f\xeb"
"""How little-endian BTF begins."""

_HEADER = struct.Struct("<HBBIIIII")
_RECORD = struct.Struct("<III")
_NAME_AND_INFO = struct.Struct("<II")

# Kind: what it is called here, bytes after the common record, and bytes for each of its parts.
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
_SIZED = {"int", "struct", "union", "enum", "enum64", "float"}
_TRANSPARENT = {"typedef", "volatile", "const", "restrict", "type tag"}
_AGGREGATES = {"struct", "union"}
_DEEPEST = 64
"""Types are not nested deeper than this; damaged ones go round in circles."""


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
    """Where they begin in the data."""


@dataclass(frozen=True)
class Member:
    """A member of a structure or union."""

    name: str
    """Empty for a structure or union without a name whose members count as the outer one's."""
    type: int
    bit: int
    """Where it begins, in bits from the start of the structure that was asked about."""
    bits: int
    bitfield: bool


@dataclass(frozen=True)
class Prototype:
    """What a function takes and returns: ids of types, 0 being void."""

    result: int
    parameters: tuple[tuple[str, int], ...]
    variadic: bool


class Btf:
    """The types of one file; those of a module together with the types of its kernel."""

    def __init__(
        self, data: bytes, file: str, base: Btf | None = None, distilled: bytes | None = None
    ) -> None:
        """Find where each type begins.

        base: the types of vmlinux, for a module's. distilled: the module's own excerpt of its base
        (.BTF.base, of modules built outside of the tree since v6.11): names and sizes, by which the true
        ones are found.

        Raises ConformanceError, which names the file, if the data is damaged or of a kind not known here.
        """
        self.file = file
        self._data = data
        self._base = base
        self._excerpt = Btf(distilled, f"{file} (.BTF.base)") if distilled is not None else None
        lower = self._excerpt or base
        types, end, strings, strings_end = self._sections()
        self._strings = data[strings:strings_end]
        if not self._strings.startswith(b"\0") and base is None:
            self._damaged("its strings do not begin with the empty one")
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

    def _damaged(self, how: str) -> NoReturn:
        raise ConformanceError(
            f"{self.file}: its type information (BTF) is damaged: {how}. Get the file again, or another one."
        )

    def _sections(self) -> tuple[int, int, int, int]:
        """Where types and strings begin and end."""
        if len(self._data) < _HEADER.size:
            self._damaged(f"it has {len(self._data)} bytes")
        magic, version, _, header, types, length, strings, strings_length = _HEADER.unpack_from(self._data)
        if magic != int.from_bytes(MAGIC, "little") or version != 1:
            self._damaged(f"it begins with {self._data[:3].hex(' ')}")
        types, strings = header + types, header + strings
        if max(types + length, strings + strings_length) > len(self._data) or header < _HEADER.size:
            self._damaged("it ends before its last section does")
        return types, types + length, strings, strings + strings_length

    def _scan(self, at: int, end: int) -> tuple[list[int], list[int]]:
        """Where each type begins, and where its name is."""
        starts: list[int] = []
        names: list[int] = []
        sizes = {number: (12 + fixed, each) for number, (_, fixed, each) in _KINDS.items()}
        data, read = self._data, _NAME_AND_INFO.unpack_from
        try:
            while at < end:
                name, info = read(data, at)
                fixed, each = sizes[info >> 24 & 31]
                starts.append(at)
                names.append(name)
                at += fixed + each * (info & 0xFFFF)
        except KeyError:
            raise ConformanceError(
                f"{self.file}: type {self._first + len(starts)} of its type information (BTF) is of kind "
                f"{info >> 24 & 31}, which is not known. Use a newer version of this suite."
            ) from None
        except struct.error:
            self._damaged("its last type is cut off")
        if at != end:
            self._damaged("its last type is cut off")
        return starts, names

    def _check_base(self, lower: Btf) -> None:
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

    def _string(self, offset: int) -> str:
        if offset < self._first_string:
            lower = self._excerpt or self._base
            assert lower is not None
            return lower._string(offset)
        start = offset - self._first_string
        end = self._strings.find(b"\0", start)
        if end < 0:
            self._damaged(f"a name lies at {offset}, beyond its strings")
        return self._strings[start:end].decode(errors="replace")

    def _reference(self, number: int) -> int:
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
        for number in self._base._all(excerpt.name):
            found = self._base.type(number)
            same = found.kind == excerpt.kind and found.size == excerpt.size
            if same or (excerpt.kind == "forward" and found.kind in {"forward", *_AGGREGATES}):
                return number
        raise ConformanceError(
            f"{self.file}: {self._base.file} has no {excerpt.kind} {excerpt.name} such as the module was "
            "built with. Pass the vmlinux of the very kernel that the module belongs to."
        )

    # Types by id

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
            self._damaged(f"it refers to type {number} and has {len(self)}")
        at = self._starts[number - self._first]
        name, info, value = _RECORD.unpack_from(self._data, at)
        kind = _KINDS[info >> 24 & 31][0]
        size, target, elements = (value, 0, 0) if kind in _SIZED else (0, value, 0)
        if kind == "array":
            target, _, elements = _RECORD.unpack_from(self._data, at + 12)
        target = self._reference(target) if kind not in ("section", "forward") else 0
        return Type(
            kind, self._string(name), size, target, elements, bool(info >> 31), info & 0xFFFF, at + 12
        )

    def _owner(self, number: int) -> Btf:
        """The file that has the type."""
        return self._base._owner(number) if self._base is not None and number < self._first else self

    def strip(self, number: int) -> int:
        """The id of a type without the names that are given to it and without qualifiers."""
        for _ in range(_DEEPEST):
            found = self.type(number)
            if found.kind not in _TRANSPARENT:
                return number
            number = found.target
        self._damaged(f"type {number} is made of itself")

    def size(self, number: int) -> int:
        """How many bytes a value of the type takes."""
        times = 1
        for _ in range(_DEEPEST):
            found = self.type(self.strip(number))
            if found.kind in _SIZED:
                return times * found.size
            if found.kind == "pointer":
                return times * 8
            if found.kind != "array":
                return 0
            times, number = times * found.elements, found.target
        self._damaged(f"type {number} is made of itself")

    def members(self, number: int) -> tuple[Member, ...]:
        """The members of a structure or union, in order; those of one without a name are not gone into."""
        number = self.strip(number)
        found, owner = self.type(number), self._owner(number)
        if found.kind not in _AGGREGATES:
            raise ValueError(f"{found.kind} {found.name} has no members")
        return tuple(self._member(owner, found, found.at + 12 * n) for n in range(found.parts))

    def _member(self, owner: Btf, whole: Type, at: int) -> Member:
        name, kind, offset = _RECORD.unpack_from(owner._data, at)
        target = owner._reference(kind)
        bit, bits = (offset & 0xFFFFFF, offset >> 24) if whole.flag else (offset, 0)
        width = bits or 8 * self.size(target)
        if bit + width > 8 * whole.size:
            owner._damaged(f"{whole.kind} {whole.name or 'without a name'} has members beyond its end")
        return Member(owner._string(name), target, bit, width, bool(bits))

    def named_members(self, number: int, start: int = 0, depth: int = 0) -> Iterator[Member]:
        """The members that have names, with those of structures and unions that have none."""
        if depth > _DEEPEST:
            self._damaged(f"type {number} is made of itself")
        for member in self.members(number):
            if member.name:
                yield Member(member.name, member.type, start + member.bit, member.bits, member.bitfield)
            elif self.type(self.strip(member.type)).kind in _AGGREGATES:
                yield from self.named_members(member.type, start + member.bit, depth + 1)

    def member(self, number: int, path: str) -> Member | None:
        """The member at ``path`` ("arch.mmu"), bits counted from the start; None if there is none."""
        start, found = 0, None
        for name in path.split("."):
            if self.type(self.strip(number)).kind not in _AGGREGATES:
                return None
            found = next((m for m in self.named_members(number) if m.name == name), None)
            if found is None:
                return None
            found = Member(path, found.type, start + found.bit, found.bits, found.bitfield)
            start, number = found.bit, found.type
        return found

    def values(self, number: int) -> dict[str, int]:
        """The names and values of an enumeration."""
        number = self.strip(number)
        found, owner = self.type(number), self._owner(number)
        values = {}
        for n in range(found.parts):
            if found.kind == "enum":
                name, value = _NAME_AND_INFO.unpack_from(owner._data, found.at + 8 * n)
                top = 1 << 32
            else:
                name, low, high = _RECORD.unpack_from(owner._data, found.at + 12 * n)
                value, top = low | high << 32, 1 << 64
            negative = found.flag and value >= top // 2
            values[owner._string(name)] = value - top if negative else value
        return values

    def prototype(self, number: int) -> Prototype:
        """What a function, or the type of one, takes and returns."""
        number = self.strip(number)
        if self.type(number).kind == "function":
            number = self.type(number).target
        found, owner = self.type(number), self._owner(number)
        if found.kind != "prototype":
            owner._damaged(f"type {number} is no function's")
        pairs = [_NAME_AND_INFO.unpack_from(owner._data, found.at + 8 * n) for n in range(found.parts)]
        variadic = bool(pairs) and pairs[-1] == (0, 0)
        named = tuple(
            (owner._string(name), owner._reference(kind)) for name, kind in pairs[: len(pairs) - variadic]
        )
        return Prototype(found.target, named, variadic)

    # Types by name

    def _all(self, name: str) -> list[int]:
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
        while at >= 0:
            yield at + self._first_string
            at = self._strings.find(name + b"\0", at + 1)

    def find(self, kind: str, name: str) -> int | None:
        """The id of a "struct", "union", "enum", "typedef", "function" or "variable"; None if there is none.

        A module's own comes before its kernel's. An "enum" may be an enum64.

        Raises ConformanceError if one file has structures of that name that are not laid out alike.
        """
        if not name:
            return None
        kinds = {kind, "enum64"} if kind == "enum" else {kind}
        found = [number for number in self._all(name) if self.type(number).kind in kinds]
        if not found:
            return self._base.find(kind, name) if self._base is not None else None
        if kind in _AGGREGATES and len({self._shape(number) for number in found}) > 1:
            raise ConformanceError(
                f"{self.file}: there are {len(found)} different structures called {kind} {name}, "
                "so that it cannot be told which one is meant."
            )
        return found[0]

    def _shape(self, number: int) -> tuple[object, ...]:
        members = ((m.name, m.bit, m.bits) for m in self.members(number))
        return (self.type(number).size, *members)

    def aggregate(self, name: str) -> int | None:
        """The id of the structure or union of that name."""
        found = self.find("struct", name)
        return self.find("union", name) if found is None else found

    def function(self, name: str) -> Prototype | None:
        """The prototype of a function; None if BTF has none (then the compiler may have inlined it)."""
        number = self.find("function", name)
        return None if number is None else self.prototype(number)
