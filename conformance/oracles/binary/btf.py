# SPDX-License-Identifier: GPL-2.0-only
"""BTF, the kernel's own type information: structures, enumerations and prototypes by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.errors import ConformanceError
from conformance.oracles.binary.records import AGGREGATES, PAIR, SIZED, TRIPLE, Records, Type

__all__ = ["Btf", "Member", "Prototype"]

_TRANSPARENT = {"typedef", "volatile", "const", "restrict", "type tag"}
_DEEPEST = 64
"""Types are not nested deeper than this; damaged ones go round in circles."""


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


class Btf(Records):
    """What the types of a file, and of the kernel that it goes with, say."""

    def strip(self, number: int) -> int:
        """The id of a type without the names that are given to it and without qualifiers."""
        for _ in range(_DEEPEST):
            found = self.type(number)
            if found.kind not in _TRANSPARENT:
                return number
            number = found.target
        self.damaged(f"type {number} is made of itself")

    def size(self, number: int) -> int:
        """How many bytes a value of the type takes."""
        times = 1
        for _ in range(_DEEPEST):
            found = self.type(self.strip(number))
            if found.kind in SIZED:
                return times * found.size
            if found.kind == "pointer":
                return times * 8
            if found.kind != "array":
                return 0
            times, number = times * found.elements, found.target
        self.damaged(f"type {number} is made of itself")

    def members(self, number: int) -> tuple[Member, ...]:
        """The members of a structure or union, in order; those of one without a name are not gone into."""
        number = self.strip(number)
        found, owner = self.type(number), self.owner(number)
        if found.kind not in AGGREGATES:
            raise ValueError(f"{found.kind} {found.name} has no members")
        self.step(1 + found.parts)
        return tuple(self._member(owner, found, found.at + 12 * n) for n in range(found.parts))

    def _member(self, owner: Records, whole: Type, at: int) -> Member:
        name, kind, offset = TRIPLE.unpack_from(owner.data, at)
        target = owner.reference(kind)
        bit, bits = (offset & 0xFFFFFF, offset >> 24) if whole.flag else (offset, 0)
        width = bits or 8 * self.size(target)
        if bit + width > 8 * whole.size:
            owner.damaged(f"{whole.kind} {whole.name or 'without a name'} has members beyond its end")
        return Member(owner.string(name), target, bit, width, bool(bits))

    def named_members(self, number: int, start: int = 0, depth: int = 0) -> Iterator[Member]:
        """The members that have names, with those of structures and unions that have none."""
        if depth > _DEEPEST:
            self.damaged(f"type {number} is made of itself")
        for member in self.members(number):
            if member.name:
                yield Member(member.name, member.type, start + member.bit, member.bits, member.bitfield)
            elif self.type(self.strip(member.type)).kind in AGGREGATES:
                yield from self.named_members(member.type, start + member.bit, depth + 1)

    def member(self, number: int, path: str) -> Member | None:
        """The member at ``path`` ("arch.mmu"), bits counted from the start; None if it does not exist."""
        start, found = 0, None
        for name in path.split("."):
            if self.type(self.strip(number)).kind not in AGGREGATES:
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
        found, owner = self.type(number), self.owner(number)
        values = {}
        for n in range(found.parts):
            if found.kind == "enum":
                name, value = PAIR.unpack_from(owner.data, found.at + 8 * n)
                top = 1 << 32
            else:
                name, low, high = TRIPLE.unpack_from(owner.data, found.at + 12 * n)
                value, top = low | high << 32, 1 << 64
            negative = found.flag and value >= top // 2
            values[owner.string(name)] = value - top if negative else value
        return values

    def enumeration_with(self, name: str) -> dict[str, int]:
        """The names and values of this file's first enumeration that has a value of this name; else empty."""
        for number in range(self._first, len(self)):
            if self.type(number).kind in {"enum", "enum64"}:
                values = self.values(number)
                if name in values:
                    return values
        return {}

    def prototype(self, number: int) -> Prototype:
        """What a function, or the type of one, takes and returns."""
        number = self.strip(number)
        if self.type(number).kind == "function":
            number = self.type(number).target
        found, owner = self.type(number), self.owner(number)
        if found.kind != "prototype":
            owner.damaged(f"type {number} is no function's")
        pairs = [PAIR.unpack_from(owner.data, found.at + 8 * n) for n in range(found.parts)]
        variadic = bool(pairs) and pairs[-1] == (0, 0)
        named = tuple(
            (owner.string(name), owner.reference(kind)) for name, kind in pairs[: len(pairs) - variadic]
        )
        return Prototype(found.target, named, variadic)

    # Types by name

    def find(self, kind: str, name: str) -> int | None:
        """The id of a "struct", "union", "enum", "typedef", "function" or "variable"; None without one.

        A module's own comes before its kernel's. An "enum" may be an enum64.

        Raises ConformanceError if one file has structures of that name that are not laid out alike.
        """
        if not name:
            return None
        kinds = {kind, "enum64"} if kind == "enum" else {kind}
        for file in self.files():
            found = [number for number in file.named(name) if self.type(number).kind in kinds]
            if kind in AGGREGATES and len({self._shape(number) for number in found}) > 1:
                raise ConformanceError(
                    f"{file.file}: there are {len(found)} different structures called {kind} {name}, "
                    "so that it is not known which one is meant."
                )
            if found:
                return found[0]
        return None

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
