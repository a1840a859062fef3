# SPDX-License-Identifier: GPL-2.0-only
"""C declarations from BTF: structures of their true size with the selected members at their offsets.

What is not wanted becomes gaps, so that a few structures can be declared without all that they refer to. The
declarations check themselves: each is followed by static assertions of its size and of its members' offsets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from conformance.errors import ConformanceError
from conformance.oracles.binary.btf import Btf, Member
from conformance.oracles.binary.c_types import CTypes
from conformance.oracles.binary.records import AGGREGATES

__all__ = ["ALL", "Declarations", "declare"]

ALL = "*"
"""For a path: every member that the structure itself has."""


@dataclass(frozen=True)
class Declarations:
    """A header, and what could not be declared."""

    text: str
    missing: tuple[str, ...]
    """What was selected but does not exist: "struct kvm_page_fault", "kvm.arch.x", "make_spte()"."""


def declare(
    btf: Btf,
    fields: Mapping[str, Iterable[str]],
    *,
    typedefs: Iterable[str] = (),
    enums: Iterable[str] = (),
    functions: Iterable[str] = (),
) -> Declarations:
    """A C header that declares what is selected and exists.

    fields: structures and unions by name, each with paths of its members ("arch.mmu", or ALL). For
    an array of arrays BTF mostly has only the total number of elements: a path may say how they are to be
    declared ("rsvd_bits_mask[2][5]").
    typedefs, enums, functions: by name; functions as extern declarations.

    A macro says of each that it exists: HAVE_TYPE_kvm_page_fault, HAVE_FIELD_kvm__arch__mmu,
    HAVE_ENUM_pg_level, HAVE_FUNCTION_make_spte. Everything is spelled by the types that names stand for.

    Raises ConformanceError where the types are damaged.
    """
    try:
        return _declared(btf, fields, typedefs, enums, functions)
    except RecursionError:
        btf.damaged("its types are made of themselves")


def _declared(
    btf: Btf,
    fields: Mapping[str, Iterable[str]],
    typedefs: Iterable[str],
    enums: Iterable[str],
    functions: Iterable[str],
) -> Declarations:
    writer = _Writer(btf, {name for name in enums if btf.find("enum", name) is not None})
    macros: list[str] = []
    missing: list[str] = []

    def found(there: bool, macro: str, title: str) -> bool:
        if there:
            macros.append(f"#define {macro} 1")
        else:
            missing.append(title)
        return there

    roots: list[tuple[int, list[str]]] = []
    for name, paths in fields.items():
        number = btf.aggregate(name)
        if not found(number is not None, f"HAVE_TYPE_{name}", name) or number is None:
            continue
        there = []
        for path, shape in _expanded(btf, number, paths):
            exists = btf.member(number, path) is not None
            if found(exists, f"HAVE_FIELD_{name}__{path.replace('.', '__')}", f"{name}.{path}"):
                writer.want(number, path, shape)
                there.append(path)
        roots.append((number, there))
    for name in enums:
        if found(name in writer.enums, f"HAVE_ENUM_{name}", f"enum {name}"):
            writer.enum(name)
    for name in typedefs:
        number = btf.find("typedef", name)
        if found(number is not None, f"HAVE_TYPE_{name}", name) and number is not None:
            writer.out.append(f"typedef {writer.spell(number, name, whole=True)};")
    for number, there in roots:
        writer.define(number)
        writer.check(number, there)
    for name in functions:
        prototype = btf.find("function", name)
        if found(prototype is not None, f"HAVE_FUNCTION_{name}", f"{name}()") and prototype is not None:
            writer.function(prototype, name)
    return Declarations("\n".join([*macros, *writer.forwards(), *writer.out, ""]), tuple(missing))


def _expanded(btf: Btf, number: int, paths: Iterable[str]) -> Iterable[tuple[str, str]]:
    """The paths, ALL replaced by what it means, each with the shape that is asked for its array."""
    shapes: dict[str, str] = {}
    for path in paths:
        name, bracket, shape = path.partition("[")
        if name == ALL:
            shapes = {member.name: "" for member in btf.named_members(number)} | shapes
        else:
            shapes[name] = bracket + shape
    return shapes.items()


class _Writer(CTypes):
    """Declarations in the order that C requires."""

    def __init__(self, btf: Btf, enums: set[str]) -> None:
        super().__init__(btf, enums)
        self.out: list[str] = []
        self._wanted: dict[int, set[int]] = {}
        self._shapes: dict[tuple[int, str], str] = {}
        self._defined: dict[str, int] = {}
        self._gaps = 0
        self._aligned: dict[int, int | None] = {}

    def want(self, number: int, path: str, shape: str = "") -> None:
        """Select the member at ``path``, which is there, and all that it lies in."""
        first, _, rest = path.partition(".")
        found = self._select(self.btf.strip(number), first)
        assert found is not None
        owner, member = found
        if rest:
            self.want(member.type, rest, shape)
        elif shape:
            self._shape(owner, member, shape)

    def _select(self, number: int, name: str) -> tuple[int, Member] | None:
        """Select a member, by itself or in one without a name; what has it, and the member."""
        for index, member in enumerate(self.btf.members(number)):
            found: tuple[int, Member] | None = None
            if member.name == name:
                found = number, member
            elif not member.name and self.btf.type(self.btf.strip(member.type)).kind in AGGREGATES:
                found = self._select(self.btf.strip(member.type), name)
            if found is not None:
                self._wanted.setdefault(number, set()).add(index)
                return found
        return None

    def _shape(self, owner: int, member: Member, shape: str) -> None:
        """Declare an array as an array of arrays."""
        there = self.btf.size(member.type) // max(1, self.btf.size(self.element(member.type)))
        if math.prod(map(int, re.findall("[0-9]+", shape))) != there:
            raise ConformanceError(
                f"{self.btf.file}: {member.name} has {there} elements, which are not those of {shape}."
            )
        self._shapes[owner, member.name] = shape

    def forwards(self) -> list[str]:
        """Declarations of all structures that anything points to."""
        return [f"{name};" for name in sorted(self.mentioned)]

    def enum(self, name: str) -> None:
        """Declare an enumeration with its values."""
        number = self.btf.find("enum", name)
        assert number is not None
        values = "".join(f"\t{self.plain(value)} = {n},\n" for value, n in self.btf.values(number).items())
        self.out.append(f"enum {name} {{\n{values}}};")

    def function(self, number: int, name: str) -> None:
        """Declare a function; what it takes and returns by value is defined."""
        prototype = self.btf.prototype(number)
        for kind in (prototype.result, *(kind for _, kind in prototype.parameters)):
            if self.btf.type(self.btf.strip(kind)).kind in AGGREGATES:
                self.define(kind)
        self.out.append(f"extern {self.prototype(number, name)};")

    def define(self, number: int) -> None:
        """Define a named structure, unless it is defined."""
        number = self.btf.strip(number)
        found = self.btf.type(number)
        if not found.name:
            return
        title = f"{found.kind} {self.plain(found.name)}"
        if title in self._defined:
            if self.btf.size(self._defined[title]) != found.size:
                raise ConformanceError(f"{self.btf.file}: there are two different structures {title}.")
            return
        self._defined[title] = number
        self.mentioned.add(title)
        self.out.append(f"{title} {self.body(number, 1)};")

    def check(self, number: int, paths: Iterable[str]) -> None:
        """Assert that the compiler's layout is BTF's."""
        found = self.btf.type(number)
        title = f"{found.kind} {found.name}"
        self.out.append(f'_Static_assert(sizeof({title}) == {found.size}, "{title}");')
        for path in paths:
            member = self.btf.member(number, path)
            assert member is not None
            if not member.bitfield:
                at = member.bit // 8
                self.out.append(f'_Static_assert(__builtin_offsetof({title}, {path}) == {at}, "{path}");')

    # Bodies

    def body(self, number: int, depth: int) -> str:
        """The members between braces, and attributes for the alignment."""
        found, members = self.btf.type(number), self.btf.members(number)
        chosen = sorted(
            (members[index] for index in self._wanted.get(number, ())), key=lambda m: (m.bit, m.bit + m.bits)
        )
        lines: list[str] = []
        at = 0
        for member in chosen:
            if found.kind == "struct":
                lines += self._gap(at, member.bit)
            lines.append(self._member(number, member, depth))
            at = member.bit + member.bits
        lines += self._gap(at if found.kind == "struct" else 0, 8 * found.size)
        tabs = "\t" * depth
        inside = "".join(f"{tabs}{line};\n" for line in lines)
        alignment = self._natural(number)
        attribute = "packed" if alignment is None else f"aligned({alignment})"
        return f"{{\n{inside}{tabs[1:]}}} __attribute__(({attribute}))"

    def _gap(self, start: int, end: int) -> Iterator[str]:
        """Padding from bit ``start`` to ``end``."""
        if start % 8 and start < end:
            odd = min(8 - start % 8, end - start)
            yield f"unsigned char :{odd}"
            start += odd
        if end - start >= 8:
            yield f"unsigned char gap_{self._gaps}[{(end - start) // 8}]"
            self._gaps += 1
        if start < end and (end - start) % 8:
            yield f"unsigned char :{(end - start) % 8}"

    def _member(self, owner: int, member: Member, depth: int) -> str:
        kind, name = member.type, self.plain(member.name) if member.name else ""
        if member.bitfield:
            name += f":{member.bits}"
        if shape := self._shapes.get((owner, name)):
            kind, name = self.element(kind), name + shape
        return self.spell(kind, name, whole=True, depth=depth)

    def _alignment(self, number: int) -> int:
        """The natural alignment of a type, in bytes."""
        number = self.btf.strip(number)
        found = self.btf.type(number)
        if found.kind == "array":
            return self._alignment(found.target)
        if found.kind in AGGREGATES:
            return self._natural(number) or 1
        return max(1, self.btf.size(number))

    def _natural(self, number: int) -> int | None:
        """A structure's alignment; None if a member lies where the compiler would not put it by itself."""
        if number not in self._aligned:
            members = self.btf.members(number)
            most = max((self._alignment(member.type) for member in members), default=1)
            odd = self.btf.size(number) % most or any(map(self._is_odd, members))
            self._aligned[number] = None if odd else most
        return self._aligned[number]

    def _is_odd(self, member: Member) -> bool:
        """Whether a member at that offset requires __packed."""
        if not member.bitfield:
            return bool(member.bit % (8 * self._alignment(member.type)))
        unit = 8 * max(1, self.btf.size(member.type))
        return member.bit // unit != (member.bit + member.bits - 1) // unit
