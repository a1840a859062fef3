# SPDX-License-Identifier: GPL-2.0-only
"""Lifting: one instruction's p-code, from pypcode, lowered to the executor's operations."""

from __future__ import annotations

from functools import cache
from typing import Any

import pypcode

from conformance.symbolic.instructions import (
    NR_KEPT,
    NR_REGISTERS,
    REGISTER_WIDTHS,
    SLOTS,
    Instruction,
    Jump,
    Op,
)

__all__ = ["lift"]


@cache
def _context() -> Any:
    return pypcode.Context("x86:LE:64:default")


@cache
def _lock_marks() -> frozenset[int]:
    """The CALLOTHER numbers that SLEIGH emits around a locked instruction."""
    ops = _context().translate(bytes.fromhex("f0482106"), 0, max_instructions=1).ops
    return frozenset(op.inputs[0].offset for op in ops if op.opcode.name == "CALLOTHER")


def lift(code: bytes, address: int) -> Instruction:
    """The instruction at the beginning of ``code``, which lies at ``address``."""
    if code[:2] == b"\x0f\x0b":
        return Instruction(address, 2, jumps=[(0, Jump("ud2", address))])
    try:
        ops = _context().translate(code, address, max_instructions=1).ops
    except (pypcode.BadDataError, pypcode.UnimplError) as error:
        return Instruction(address, 1, jumps=[(0, Jump("none", str(error)))])
    length = sum(mark.size for mark in ops[0].inputs)
    return _Lifter(Instruction(address, length), ops[1:]).done()


class _Unknown(Exception):
    """The instruction uses something that the executor does not support."""


class _Lifter:
    def __init__(self, instruction: Instruction, ops: list[Any]) -> None:
        self._made = instruction
        self._ops = ops
        self._temporaries: dict[int, tuple[int, int]] = {}
        """Slots of temporaries by their offset, with their sizes in bits."""
        self._constants: dict[int, int] = {}
        self._begins: dict[int, int] = {}
        self._atomic = self._read_atomically = False
        # If the instruction jumps within itself, its temporaries must stay live across the jump.
        self._kept = NR_REGISTERS
        self._jumps_inside = any(
            op.opcode.name in ("CBRANCH", "BRANCH") and not self._skips(n) for n, op in enumerate(ops[:-1])
        )

    def done(self) -> Instruction:
        made = self._made
        at = 0
        try:
            while at < len(self._ops):
                self._begins[at] = len(made.ops)
                at = self._lower(at)
        except _Unknown as why:
            made.ops.clear()
            made.jumps = [(0, Jump("none", str(why)))]
            return made
        self._begins[at] = len(made.ops)
        for _, jump in made.jumps:
            if isinstance(jump.target, tuple):
                (index,) = jump.target
                if index >= len(self._ops):
                    jump.target = made.address + made.length
                else:
                    jump.target = -1 - self._begins[index]
        made.constants = {slot: value for value, slot in self._constants.items()}
        return made

    def _new(self) -> int:
        self._made.nr_slots += 1
        return self._made.nr_slots - 1

    def _new_kept(self, width: int) -> int:
        self._kept += 1
        if self._kept > NR_KEPT or width > 64:
            raise _Unknown("more live temporaries than there are slots for")
        return self._kept - 1

    def _constant(self, value: int) -> int:
        if value not in self._constants:
            self._constants[value] = self._new()
        return self._constants[value]

    def _emit(self, name: str, out: int, a: int, b: int, width: int, at: int = 0) -> None:
        if self._atomic and name in ("LOAD", "STORE"):
            at = int(name == "STORE" or not self._read_atomically)
            self._read_atomically = True
        self._made.ops.append(Op(name, out, a, b, width, at))

    # Varnodes

    def _register(self, offset: int, size: int) -> tuple[int, int, int]:
        """The slot of a register, the first bit within it, and the slot's width."""
        base = offset if offset in SLOTS and offset >= 0x200 else offset & ~7
        if base not in SLOTS:
            raise _Unknown(f"register {offset:#x} of {size} bytes")
        slot = SLOTS[base]
        if (offset - base + size) * 8 > REGISTER_WIDTHS[slot]:
            raise _Unknown(f"register {offset:#x} of {size} bytes")
        return slot, 8 * (offset - base), REGISTER_WIDTHS[slot]

    def _read(self, node: Any) -> int:
        space, offset, size = node.space.name, node.offset, node.size
        if space == "const":
            return self._constant(offset & ((1 << (8 * size)) - 1))
        if space == "register":
            slot, at, width = self._register(offset, size)
        elif space == "unique":
            slot, at, width = self._temporary(offset, size)
        elif space == "ram":
            out, address = self._new(), self._constant(offset)
            self._emit("LOAD", out, address, address, 8 * size)
            return out
        else:
            raise _Unknown(f"space {space}")
        if at == 0 and width == 8 * size:
            return slot
        out = self._new()
        self._emit("EXTRACT", out, slot, slot, 8 * size, at)
        return out

    def _temporary(self, offset: int, size: int) -> tuple[int, int, int]:
        for start, (slot, width) in self._temporaries.items():
            if start <= offset and offset + size <= start + width // 8:
                # Live temporaries are kept as words, so that paths can be merged without knowing their sizes.
                return slot, 8 * (offset - start), 64 if slot < NR_KEPT else width
        raise _Unknown("a temporary that was written in parts")

    def _write(self, node: Any) -> tuple[int, tuple[str, int, int] | None]:
        """The slot to compute into, and the operation, slot and bit that then store it, if it needs that."""
        space, offset, size = node.space.name, node.offset, node.size
        if space == "unique":
            known = self._temporaries.get(offset)
            if known is None or known[1] != 8 * size or not self._jumps_inside:
                known = (self._new_kept(8 * size) if self._jumps_inside else self._new(), 8 * size)
                for start, (_, width) in list(self._temporaries.items()):
                    if start < offset + size and offset < start + width // 8:
                        del self._temporaries[start]
                self._temporaries[offset] = known
            if self._jumps_inside and size < 8:
                return self._new(), ("EXTEND", known[0], 64 - 8 * size)
            return known[0], None
        if space == "ram":
            return self._new(), ("STORE", self._constant(offset), 0)
        if space != "register":
            raise _Unknown(f"space {space}")
        slot, at, width = self._register(offset, size)
        if at == 0 and width == 8 * size:
            return slot, None
        return self._new(), ("INSERT", slot, at)

    # Operations

    def _skips(self, n: int) -> int:
        """How many operations a conditional jump skips if they can be predicated instead, else 0.

        cmov is lifted to such a jump.
        """
        op = self._ops[n]
        if op.opcode.name != "CBRANCH":
            return 0
        target = self._target(n)
        if not isinstance(target, tuple):
            return 0
        skipped = self._ops[n + 1 : target[0]]
        impure = ("LOAD", "STORE", "CALLOTHER", "CBRANCH", "BRANCH", "CALL", "BRANCHIND", "CALLIND", "RETURN")
        if any(other.opcode.name in impure for other in skipped):
            return 0
        return len(skipped) if all(other.output.space.name == "register" for other in skipped) else 0

    def _target(self, n: int) -> int | tuple[int]:
        """The target: an address, or a tuple with the index of a p-code operation."""
        node = self._ops[n].inputs[0]
        if node.space.name == "const":
            return (n + (node.offset ^ 1 << 31) - (1 << 31),)
        end = self._made.address + self._made.length
        if node.offset == end and self._ops[n].opcode.name == "CBRANCH":
            return (len(self._ops),)
        return node.offset

    def _lower(self, n: int) -> int:
        """Lower operation ``n`` and return the index of the next one."""
        op = self._ops[n]
        name = op.opcode.name
        if name == "CBRANCH":
            skipped = self._skips(n)
            if skipped:
                self._predicate(n, skipped)
                return n + 1 + skipped
            self._jump(Jump("branch", self._target(n), self._read(op.inputs[1])), n)
        elif name == "BRANCH":
            self._jump(Jump("jump", self._target(n)), n)
        elif name == "CALL":
            self._jump(Jump("call", op.inputs[0].offset), n)
        elif name in ("CALLIND", "BRANCHIND", "RETURN"):
            kind = {"CALLIND": "call", "BRANCHIND": "indirect", "RETURN": "return"}[name]
            self._jump(Jump(kind, None, self._read(op.inputs[0])), n)
        elif name == "CALLOTHER":
            if op.output is not None or op.inputs[0].offset not in _lock_marks():
                raise _Unknown("its effect is not described in p-code")
            self._atomic = True
        elif name == "STORE":
            address, value = self._read(op.inputs[1]), self._read(op.inputs[2])
            self._emit("STORE", -1, address, value, 8 * op.inputs[2].size)
        else:
            self._compute(name, op)
        return n + 1

    def _jump(self, jump: Jump, n: int) -> None:
        self._made.jumps.append((len(self._made.ops), jump))
        if n + 1 < len(self._ops):
            # So that the operations after the jump have an index of their own.
            nothing = self._constant(0)
            self._emit("COPY", self._new(), nothing, nothing, 8)

    def _predicate(self, n: int, skipped: int) -> None:
        """Execute the operations that the jump skips, and select the old registers where it is taken."""
        condition = self._read(self._ops[n].inputs[1])
        kept = self._new()
        self._emit("COPY", kept, condition, condition, 8)
        for op in self._ops[n + 1 : n + 1 + skipped]:
            slot, _, width = self._register(op.output.offset, op.output.size)
            before = self._new()
            self._emit("COPY", before, slot, slot, width)
            self._compute(op.opcode.name, op)
            self._emit("SELECT", slot, before, kept, width, slot)

    def _compute(self, name: str, op: Any) -> None:
        inputs = [self._read(node) for node in op.inputs if name != "LOAD"]
        size, in_size = 8 * op.output.size, 8 * op.inputs[0].size
        if name == "LOAD":
            address = self._read(op.inputs[1])
            out, part = self._write(op.output)
            self._emit("LOAD", out, address, address, size)
            self._merge(out, part, size)
            return
        out, part = self._write(op.output)
        a, b = inputs[0], inputs[-1]
        if name == "INT_ZEXT":
            self._emit("EXTEND", out, a, a, in_size, size - in_size)
        elif name == "INT_SEXT":
            self._emit("SIGN", out, a, a, in_size, size - in_size)
        elif name == "SUBPIECE":
            at = 8 * op.inputs[1].offset
            kept = min(size, in_size - at)
            self._emit("EXTRACT", out, a, a, kept, at)
            if kept < size:
                self._emit("EXTEND", out, out, out, kept, size - kept)
        elif name == "PIECE":
            self._emit("PIECE", out, a, b, 8 * op.inputs[1].size, in_size)
        elif name in ("INT_LEFT", "INT_RIGHT", "INT_SRIGHT"):
            self._emit(name, out, a, self._places(b, 8 * op.inputs[1].size, in_size), in_size)
        elif name == "POPCOUNT":
            wide = self._new()
            self._emit(name, wide, a, a, in_size)
            self._emit("EXTRACT" if size <= in_size else "EXTEND", out, wide, wide, min(size, in_size),
                       max(size - in_size, 0))  # fmt: skip
        else:
            self._emit(name, out, a, b, in_size)
        self._merge(out, part, size)

    def _places(self, slot: int, size: int, width: int) -> int:
        """A shift count, extended or saturated to the width of the shifted value."""
        if size == width:
            return slot
        out = self._new()
        if size < width:
            self._emit("EXTEND", out, slot, slot, size, width - size)
        else:
            self._emit("PLACES", out, slot, slot, size, width)
        return out

    def _merge(self, out: int, part: tuple[str, int, int] | None, size: int) -> None:
        if part is not None:
            how, slot, at = part
            a, b = (out, out) if how == "EXTEND" else (slot, out)
            self._emit(how, -1 if how == "STORE" else slot, a, b, size, at)
