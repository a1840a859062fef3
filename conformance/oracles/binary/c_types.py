# SPDX-License-Identifier: GPL-2.0-only
"""C declarators for types of BTF."""

from __future__ import annotations

import re
from collections.abc import Iterator

from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.records import AGGREGATES

__all__ = ["CTypes"]

_INTEGERS = {
    (1, False): "unsigned char",
    (1, True): "signed char",
    (2, False): "unsigned short",
    (2, True): "short",
    (4, False): "unsigned int",
    (4, True): "int",
    (8, False): "unsigned long long",
    (8, True): "long long",
}
"""The integer used for an enumeration that is not declared, by size and signedness."""


class CTypes:
    """Declarators by type. Subclasses define structures."""

    def __init__(self, btf: Btf, enums: set[str]) -> None:
        self.btf = btf
        self.enums = enums
        """The enumerations that are declared; others become integers."""
        self.mentioned: set[str] = set()
        """Structures and unions that have been referred to."""

    def define(self, number: int) -> None:
        """Define a named structure, unless it is defined."""
        raise NotImplementedError

    def body(self, number: int, depth: int) -> str:
        """The members of a structure, between braces."""
        raise NotImplementedError

    def spell(self, number: int, name: str = "", *, whole: bool = False, depth: int = 1) -> str:
        """C that declares ``name`` to be of a type; ``whole`` if what it is made of must be defined."""
        self.btf.step()
        number = self.btf.strip(number)
        found = self.btf.type(number)
        if found.kind == "pointer":
            return self._pointer(found.target, name)
        if found.kind == "array":
            return self.spell(found.target, f"{name}[{found.elements}]", whole=whole, depth=depth)
        if found.kind == "prototype":
            return self.prototype(number, name)
        if found.kind in AGGREGATES and not found.name:
            return f"{found.kind} {self.body(number, depth + 1)} {name}".rstrip()
        if found.kind in AGGREGATES and whole:
            self.define(number)
        return f"{self._base(number)} {name}".rstrip()

    def _base(self, number: int) -> str:
        """The name of a type that is no pointer, array or function."""
        found = self.btf.type(number)
        if found.kind in ("struct", "union", "forward"):
            kind = ("union" if found.flag else "struct") if found.kind == "forward" else found.kind
            title = f"{kind} {self.plain(found.name)}"
            self.mentioned.add(title)
            return title
        if found.kind in ("enum", "enum64"):
            if found.name in self.enums:
                return f"enum {self.plain(found.name)}"
            if (found.size, found.flag) not in _INTEGERS:
                self.btf.damaged(f"an enumeration has {found.size} bytes")
            return _INTEGERS[found.size, found.flag]
        return self.plain(found.name) if found.name else "void"

    def plain(self, name: str) -> str:
        """The name, which is to become part of C. Raises ConformanceError if it is more than a name."""
        if not re.fullmatch(r"[A-Za-z_]\w*(?: \w+)*", name, re.ASCII):
            self.btf.damaged(f"{name[:40]!r} is no name of a type or member")
        return name

    def _pointer(self, target: int, name: str) -> str:
        qualifiers = " ".join(self._qualifiers(target))
        inner = self.btf.strip(target)
        kind = self.btf.type(inner).kind
        if kind in ("array", "prototype"):
            return self.spell(inner, f"(*{name})")
        if kind in AGGREGATES and not self.btf.type(inner).name:
            return f"void *{name}"
        if kind == "pointer":
            return self.spell(inner, f"*{qualifiers} {name}" if qualifiers else f"*{name}")
        return f"{qualifiers} {self._base(inner)} *{name}".lstrip()

    def _qualifiers(self, number: int) -> Iterator[str]:
        """The qualifiers of what a pointer points to."""
        while number != self.btf.strip(number):
            found = self.btf.type(number)
            if found.kind in ("const", "volatile"):
                yield found.kind
            number = found.target

    def prototype(self, number: int, name: str) -> str:
        """C that declares a function of a type."""
        prototype = self.btf.prototype(number)
        parameters = [self.spell(kind) for _, kind in prototype.parameters]
        if prototype.variadic:
            parameters.append("...")
        return self.spell(prototype.result, f"{name}({', '.join(parameters) or 'void'})")

    def element(self, number: int) -> int:
        """The element type of an array, or of an array of arrays."""
        number = self.btf.strip(number)
        while self.btf.type(number).kind == "array":
            self.btf.step()
            number = self.btf.strip(self.btf.type(number).target)
        return number
