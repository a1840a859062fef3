# SPDX-License-Identifier: GPL-2.0-only
"""What stands in for the rest of the kernel: the written list, and the assembly made from it.

Stand-ins with behaviour are C, in c/; those that only return a number, or are only memory, are on the list in
standins.toml with the reason why that is faithful enough. Any other symbol that is undefined gets a page
without access rights: whoever calls or reads it ends the machine, with the symbol's name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["StandIn", "assembly", "load"]

_LIST = Path(__file__).with_name("standins.toml")


@dataclass(frozen=True)
class StandIn:
    """One symbol: a function that ``returns`` a number, or ``size`` bytes of zeroed memory."""

    symbol: str
    why: str
    returns: int = 0
    size: int = 0


def load() -> dict[str, StandIn]:
    """The list by symbol. Raises ValueError if a symbol is on it twice."""
    found: dict[str, StandIn] = {}
    for group in tomllib.loads(_LIST.read_text())["group"]:
        for symbol in group["symbols"]:
            if symbol in found:
                raise ValueError(f"{_LIST.name} has {symbol} twice")
            found[symbol] = StandIn(symbol, group["why"], group.get("returns", 0), group.get("size", 0))
    return found


def assembly(undefined: Iterable[str]) -> str:
    """Assembler source that defines each of the symbols, as the list says or as missing."""
    known = load()
    wanted = sorted(undefined)
    lines = [".text"]
    for stand_in in (known[symbol] for symbol in wanted if symbol in known and not known[symbol].size):
        lines += [*_global(stand_in.symbol), f"mov ${stand_in.returns}, %rax", "ret"]
    lines.append(".bss")
    for stand_in in (known[symbol] for symbol in wanted if symbol in known and known[symbol].size):
        lines += [".balign 64", *_global(stand_in.symbol), f".skip {stand_in.size}"]
    missing = [symbol for symbol in wanted if symbol not in known]
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
