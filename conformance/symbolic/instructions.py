# SPDX-License-Identifier: GPL-2.0-only
"""Instructions as operations on numbered slots.

The first slots are the registers. Those after them are an instruction's own: constants and intermediate
results. A register that is written or read in part becomes an operation of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CALLED",
    "CALLERS",
    "DF",
    "FLAGS",
    "GS_BASE",
    "NR_KEPT",
    "NR_REGISTERS",
    "RAX",
    "RDI",
    "RDX",
    "REGISTER_WIDTHS",
    "RSI",
    "RSP",
    "SLOTS",
    "Instruction",
    "Jump",
    "Op",
]

_GENERAL = [*range(0x00, 0x40, 8), *range(0x80, 0xC0, 8)]
_BASES = [0x110, 0x118]
_FLAG_BYTES = list(range(0x200, 0x215))
SLOTS = {offset: slot for slot, offset in enumerate([*_GENERAL, *_BASES, *_FLAG_BYTES, 0x288])}
"""Slots by the offset that SLEIGH gives registers: 16 general ones, bases of FS and GS, flags, RIP."""

RAX, RDX, RSP, RSI, RDI = (SLOTS[offset] for offset in (0x00, 0x10, 0x20, 0x30, 0x38))
CALLERS = tuple(SLOTS[offset] for offset in (0x18, 0x28, 0xA0, 0xA8, 0xB0, 0xB8, 0x20A))
"""RBX, RBP, R12 to R15 and DF, which a function leaves as they were."""
CALLED = tuple(SLOTS[offset] for offset in (0x00, 0x08, 0x10, 0x30, 0x38, 0x80, 0x88, 0x90, 0x98))
"""RAX, RCX, RDX, RSI, RDI, R8 to R11, which a function may leave as it likes."""
GS_BASE = SLOTS[0x118]
FLAGS = frozenset(SLOTS[offset] for offset in (0x200, 0x202, 0x204, 0x206, 0x207, 0x20B))
"""CF, PF, AF, ZF, SF, OF: they survive no call and no return."""
DF = SLOTS[0x20A]
NR_REGISTERS = len(SLOTS)
NR_KEPT = NR_REGISTERS + 32
"""Registers, and what survives inside an instruction that jumps within itself."""

_WIDTHS = [*[64] * 18, *[8] * len(_FLAG_BYTES), 64]
assert len(_WIDTHS) == NR_REGISTERS

REGISTER_WIDTHS = tuple(_WIDTHS + [64] * 32)
"""By slot; what survives inside an instruction is kept as a word."""


@dataclass
class Op:
    """``out`` becomes ``name`` of ``a`` and ``b``, of ``width`` bits.

    "LOAD" reads ``width`` bits at address ``a``, "STORE" writes ``b`` there; "EXTRACT" takes ``width``
    bits of a from bit ``at`` on, "INSERT" puts b there; "EXTEND" (zeros) and "SIGN" make ``at`` bits more;
    LOAD and STORE have 1 as ``at`` where the instruction reads and writes in one; of several such LOADs the
    first has. "PLACES" makes ``at`` bits of more, a number too big for them being the biggest; "SELECT"
    leaves a where the byte b is not 0 and takes slot ``at`` else.
    """

    name: str
    out: int
    a: int
    b: int
    width: int
    at: int = 0


@dataclass
class Jump:
    """How a run of operations ends, where it does not go on with the next instruction.

    ``kind`` is "branch" (to ``target`` if slot ``where`` is not 0), "jump", "call" (to ``target``, or where
    slot ``where`` says), "indirect", "return", "ud2", "none" (``target`` tells why nobody understands it).
    """

    kind: str
    target: Any = None
    where: int = -1


@dataclass
class Instruction:
    """One instruction: operations, and the jumps that come after some of them.

    ``jumps`` has pairs of the number of operations before it and the jump; a target is an address, or
    within the instruction the (negative) number of operations before it, less one.
    """

    address: int
    length: int
    ops: list[Op] = field(default_factory=list)
    jumps: list[tuple[int, Jump]] = field(default_factory=list)
    constants: dict[int, int] = field(default_factory=dict)
    nr_slots: int = NR_KEPT
