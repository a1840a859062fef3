# SPDX-License-Identifier: GPL-2.0-only
"""Instructions as operations on numbered slots.

The first slots are the registers. The slots after them belong to one instruction: constants and temporaries.
Reading or writing part of a register is an operation of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CALLEE_SAVED",
    "CALLER_SAVED",
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
CALLEE_SAVED = tuple(SLOTS[offset] for offset in (0x18, 0x28, 0xA0, 0xA8, 0xB0, 0xB8, 0x20A))
"""RBX, RBP, R12 to R15 and DF, which a function must preserve."""
CALLER_SAVED = tuple(SLOTS[offset] for offset in (0x00, 0x08, 0x10, 0x30, 0x38, 0x80, 0x88, 0x90, 0x98))
"""RAX, RCX, RDX, RSI, RDI, R8 to R11, which a function may change."""
GS_BASE = SLOTS[0x118]
FLAGS = frozenset(SLOTS[offset] for offset in (0x200, 0x202, 0x204, 0x206, 0x207, 0x20B))
"""CF, PF, AF, ZF, SF, OF: undefined after a call or return."""
DF = SLOTS[0x20A]
NR_REGISTERS = len(SLOTS)
NR_KEPT = NR_REGISTERS + 32
"""Registers, and temporaries that stay live across jumps inside an instruction."""

_WIDTHS = [*[64] * 18, *[8] * len(_FLAG_BYTES), 64]
assert len(_WIDTHS) == NR_REGISTERS

REGISTER_WIDTHS = tuple(_WIDTHS + [64] * 32)
"""By slot; temporaries that stay live are kept as words."""


@dataclass
class Op:
    """``out`` is assigned ``name`` of ``a`` and ``b``, of ``width`` bits.

    "LOAD" reads ``width`` bits at address ``a``, "STORE" writes ``b`` there; ``at`` is 1 if the instruction
    is an atomic read-modify-write (of several such LOADs only for the first). "EXTRACT" takes ``width`` bits
    of a from bit ``at``, "INSERT" replaces them by b. "EXTEND" (zero) and "SIGN" extend by ``at`` bits.
    "PLACES" narrows a shift count to ``at`` bits and saturates it. "SELECT" is a if the byte b is not 0, else
    slot ``at``.
    """

    name: str
    out: int
    a: int
    b: int
    width: int
    at: int = 0


@dataclass
class Jump:
    """How a sequence of operations ends, if it does not fall through to the next instruction.

    ``kind`` is "branch" (to ``target`` if slot ``where`` is not 0), "jump", "call" (to ``target``, or where
    slot ``where`` says), "indirect", "return", "ud2", "none" (not supported; ``target`` is the reason).
    """

    kind: str
    target: Any = None
    where: int = -1


@dataclass
class Instruction:
    """One instruction: operations, and the jumps between them.

    ``jumps`` holds pairs: the number of operations before the jump, and the jump. A target is an address or,
    for a target inside the instruction, -1 minus the number of operations before it.
    """

    address: int
    length: int
    ops: list[Op] = field(default_factory=list)
    jumps: list[tuple[int, Jump]] = field(default_factory=list)
    constants: dict[int, int] = field(default_factory=dict)
    nr_slots: int = NR_KEPT
