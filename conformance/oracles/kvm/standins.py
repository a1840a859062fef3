# SPDX-License-Identifier: GPL-2.0-only
"""Stand-ins for the rest of the kernel: the list in standins.toml, and the assembly generated from it.

Stand-ins with behaviour are C, in c/. Those that only return a number, that are only memory, or that do the
same as another function are listed in standins.toml, by name or as a family, each with the reason why that
is faithful. Any other undefined symbol gets a page without access rights: kernel code that calls or reads it
ends the machine with the symbol's name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from conformance.oracles.common import lines_naming

__all__ = ["Family", "StandIn", "assembly", "choose", "declarations", "families", "load"]

_LIST = Path(__file__).with_name("standins.toml")


@dataclass(frozen=True)
class StandIn:
    """One symbol: a function that ``returns`` a number, ``size`` bytes of memory, or an alias of a function.

    Memory is zeroed, but for its first word, which is ``begins`` or the address of a function that does
    nothing (``calls_nothing``). ``same_as`` names the function that is called in the symbol's place.
    """

    symbol: str
    why: str
    returns: int = 0
    size: int = 0
    begins: int = 0
    calls_nothing: bool = False
    same_as: str = ""


@dataclass(frozen=True)
class Family:
    """Symbols that are recognised by ``pattern``, and by how the kernel's headers declare them.

    ``declared`` is a pattern for a line of a header, in which ``{symbol}`` is the symbol; none if empty.
    ``stand_in`` is as of a StandIn; its ``same_as`` may refer to groups of the pattern.
    """

    pattern: str
    declared: str
    stand_in: StandIn

    def stands_in(self, symbol: str, declarations: Iterable[str]) -> StandIn | None:
        """The stand-in for a symbol with these declarations; None if it is no member."""
        found = re.fullmatch(self.pattern, symbol)
        if found is None:
            return None
        if self.declared:
            line_pattern = re.compile(self.declared.replace("{symbol}", re.escape(symbol)))
            if not any(line_pattern.search(line) for line in declarations):
                return None
        same_as = found.expand(self.stand_in.same_as)
        return None if same_as == symbol else replace(self.stand_in, symbol=symbol, same_as=same_as)


@lru_cache(maxsize=1)
def load() -> dict[str, StandIn]:
    """The symbols that are listed by name. Raises ValueError if one is listed twice."""
    found: dict[str, StandIn] = {}
    for group in _groups():
        for symbol in group.get("symbols", ()):
            if symbol in found:
                raise ValueError(f"{_LIST.name} has {symbol} twice")
            found[symbol] = _stand_in(symbol, group)
    return found


@lru_cache(maxsize=1)
def families() -> tuple[Family, ...]:
    """The families, in the order of the list."""
    return tuple(
        Family(pattern, group.get("declared", ""), _stand_in("", group))
        for group in _groups()
        for pattern in group.get("patterns", ())
    )


def _groups() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = tomllib.loads(_LIST.read_text())["group"]
    return groups


def _stand_in(symbol: str, group: dict[str, Any]) -> StandIn:
    given = {key: value for key, value in group.items() if key not in ("symbols", "patterns", "declared")}
    return StandIn(symbol, **given)


def choose(
    undefined: Iterable[str],
    declarations: dict[str, list[str]],
    *,
    called: Collection[str] = (),
    provided: Collection[str] = (),
) -> dict[str, StandIn | None]:
    """The stand-in for each symbol, sorted by name; None if the list has none.

    declarations: the lines of headers that name it.
    called: symbols that kernel code calls: memory cannot stand in for them.
    provided: the functions that can have an alias.
    """
    chosen: dict[str, StandIn | None] = {}
    for symbol in sorted(undefined):
        lines = declarations.get(symbol, [])
        known = load().get(symbol)
        members = (family.stands_in(symbol, lines) for family in families())
        fitting = [one for one in (known, *members) if one is not None and _fits(one, called, provided)]
        chosen[symbol] = fitting[0] if fitting else None
    return chosen


def _fits(one: StandIn, called: Collection[str], provided: Collection[str]) -> bool:
    if one.same_as:
        return one.same_as in provided
    return not (one.size and one.symbol in called)


def declarations(source: Path, generated: Path, symbols: Iterable[str]) -> dict[str, list[str]]:
    """The lines of a kernel's headers, and of KVM's own files, that name each of the symbols."""
    headers = [source / "include", source / "arch/x86/include", generated]
    return lines_naming(symbols, [*headers, source / "arch/x86/kvm", source / "virt/kvm"], "*.[ch]")


def assembly(chosen: dict[str, StandIn | None]) -> str:
    """Assembler source that defines each symbol, as its stand-in or as missing."""
    there = [one for one in chosen.values() if one is not None]
    lines = [".text", "standin_nothing:", "mov $0, %rax", "ret"]
    for one in there:
        if one.same_as:
            lines += [*_global(one.symbol), f"jmp {one.same_as}"]
        elif not one.size:
            lines += [*_global(one.symbol), f"mov ${one.returns}, %rax", "ret"]
    lines.append(".data")
    for one in there:
        if one.begins or one.calls_nothing:
            first = "standin_nothing" if one.calls_nothing else one.begins
            lines += [".balign 64", *_global(one.symbol), f".quad {first}", f".skip {one.size - 8}"]
    lines.append(".bss")
    for one in there:
        if one.size and not one.begins and not one.calls_nothing:
            lines += [".balign 64", *_global(one.symbol), f".skip {one.size}"]
    missing = [symbol for symbol, one in chosen.items() if one is None]
    lines += [".balign 4096", *_global("env_missing_start")]
    for symbol in missing:
        lines += [*_global(symbol), ".skip 4096"]
    lines += _global("env_missing_end")
    lines += ['.section .data.rel.ro,"aw"', *_global("env_missing_names")]
    lines += [f".quad {n}f" for n in range(1000, 1000 + len(missing))]
    lines.append(".section .rodata")
    for n, symbol in enumerate(missing, 1000):
        lines.append(f'{n}: .asciz "{symbol}"')
    lines += ['.section .note.GNU-stack,"",@progbits', ""]
    return "\n".join(lines)


def _global(symbol: str) -> list[str]:
    return [f".globl {symbol}", f".hidden {symbol}", f"{symbol}:"]
