# SPDX-License-Identifier: GPL-2.0-only
"""Observations as text: return codes, memslots, TLB entries and page table entries."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from itertools import groupby

from conformance.interface.access import FETCH, MMIO_EXIT, READ, WRITE, End, Exit
from conformance.interface.observation import (
    Observation,
    RetiredTable,
    RootView,
    SlotView,
    TableEntry,
    TlbEntry,
    VcpuView,
)
from conformance.interface.outcomes import AccessOutcome, DirtyLog, ExecuteOutcome, Leaks, Position, Unmapping
from conformance.interface.steps import KINDS, LOG, READONLY
from conformance.model.semantics import Semantics
from conformance.model.spte.decode.text import describe
from conformance.scenarios.shadow_text import error_text, memory_facts, shadow_facts
from conformance.scenarios.steps import Step

__all__ = [
    "decoded",
    "facts",
    "outcome",
    "path",
    "ranges",
    "retired_text",
    "root_text",
    "slot_text",
    "tlb_text",
    "vcpu_text",
]

_ENDS = {
    End.DONE: "done", End.GAVE_UP: "gave up", End.EMULATED: "emulated", End.FAILED: "error",
    End.EXCEPTION: "exception", End.NESTED_EXIT: "exit to L1", End.USERSPACE: "exit to userspace",
}  # fmt: skip
_EXIT_CODES = frozenset(Exit)
_LEVELS = {1: "4K", 2: "2M", 3: "1G", 4: "512G"}


def outcome(step: Step, values: Sequence[int]) -> str:
    """The outcome of a step."""
    kind = KINDS[step.kind].outcome
    if kind is AccessOutcome:
        exits, end = AccessOutcome.read(values)
        return ", ".join([*map(_exit, exits), _ENDS[end]])
    if kind is ExecuteOutcome:
        return _executed(ExecuteOutcome.read(values))
    if kind is DirtyLog and len(values) > 1:
        code, bitmap = DirtyLog.read(values)
        return f"{_code(code)}, dirty {ranges(bitmap)}"
    if kind is Position and len(values) == len(Position._fields):
        reader = Position.read(values)
        place = f"at level {reader.level} gfn {reader.gfn:#x}: {reader.spte:#018x}"
        return place if reader.valid else "at the end"
    if kind is Leaks and len(values) == len(Leaks._fields):
        return "leaked {} objects, {} pages, {} references to host pages".format(*Leaks.read(values))
    if kind is Unmapping and len(values) == len(Unmapping._fields):
        code, unmapped, *left = Unmapping.read(values)
        mapped = ", ".join(f"{n} of {_LEVELS[level]}" for level, n in enumerate(left, start=1))
        return f"{_code(code)}, {f'meanwhile unmapped, {mapped} left' if unmapped else 'not unmapped'}"
    return ", ".join(map(_code, values)) or "nothing"


def _executed(done: ExecuteOutcome) -> str:
    """How an instruction went: its exits, and its end with what is known of that."""
    first, second, third = done.words
    more = {
        End.DONE: f"{_LEVELS.get(first, first)} pfn {second:#x}, {third:#x}",
        End.EMULATED: f"{third:#x}",
        End.FAILED: _code(first),
        End.EXCEPTION: f"{first}, error {error_text(second)}, address {third:#x}",
        End.NESTED_EXIT: f"error {error_text(first)}, address {second:#x}, qualification {third:#x}",
        End.USERSPACE: f"{first}, address {second:#x}, {'write' if third else 'read'}",
    }
    exits = [f"{error_text(error)}: {_exit(handled)}" for error, handled in done.exits]
    end = f"{_ENDS[done.end]} {more[done.end]}" if done.end in more else _ENDS[done.end]
    return ", ".join([*exits, end])


def _exit(code: int) -> str:
    if code < 0:
        return _code(code)
    mmio, handled = divmod(code, MMIO_EXIT)
    name = Exit(handled).name.lower() if handled in _EXIT_CODES else str(handled)
    return f"MMIO exit, {name}" if mmio else name


def _code(value: int) -> str:
    name = errno.errorcode.get(-value) if value < 0 else None
    return f"-{name}" if name else str(value)


def ranges(words: Sequence[int]) -> str:
    """The set bits of a bitmap as ranges of offsets."""
    offsets = [64 * at + bit for at, word in enumerate(words) for bit in range(64) if word >> bit & 1]
    found = []
    for _, run in groupby(enumerate(offsets), lambda pair: pair[1] - pair[0]):
        run_of = [offset for _, offset in run]
        found.append(f"{run_of[0]:#x}" if len(run_of) == 1 else f"{run_of[0]:#x}-{run_of[-1]:#x}")
    return ",".join(found) or "none"


def path(index: int, root: RootView, entry: TableEntry) -> str:
    """Where an entry is, from the root of this index down."""
    above = "".join(f" > level {root.level - depth} gfn {gfn:#x}" for depth, gfn in enumerate(entry.path[1:]))
    space = f"root {index}{' of SMM' if root.as_id else ''}{', invalid' if root.invalid else ''}"
    return f"{space}{above} > level {entry.level} gfn {entry.gfn:#x}"


def decoded(k: Semantics, entry: TableEntry) -> str:
    """An entry's value, raw and decoded."""
    what = "a table" if entry.child else describe(k, entry.spte)
    return f"{entry.spte:#018x} {what}"


def facts(k: Semantics, step: Step, observation: Observation) -> Iterator[tuple[str, str]]:
    """Everything observed, one fact at a time: its name, and its value as text.

    The serial numbers of tables are left out: they differ between machines that agree.
    """
    yield "outcome", outcome(step, observation.outcome)
    yield "events", ", ".join(observation.events) or "none"
    if observation.state is not None:
        for name, value in observation.state._asdict().items():
            yield name, str(value)
    for number, vcpu in enumerate(observation.vcpus):
        yield f"vCPU {number}", vcpu_text(vcpu)
    for number, tlb in enumerate(observation.tlb):
        for cached in tlb:
            yield f"TLB of vCPU {number}, root {cached.root}, gfn {cached.gfn:#x}", tlb_text(cached)
    for slot in observation.slots:
        yield f"memslot {slot.id} of address space {slot.as_id}", slot_text(slot)
    for index, root in enumerate(observation.roots):
        yield f"root {index}", root_text(root)
        for entry in root.entries():
            yield path(index, root, entry), decoded(k, entry)
    for number, table in enumerate(observation.retired):
        yield f"retired table {number}", retired_text(table)
    yield from memory_facts(observation.memory)
    if observation.shadow is not None:
        yield from shadow_facts(k, observation.shadow)


def vcpu_text(vcpu: VcpuView) -> str:
    """A vCPU's state."""
    parts = [f"root {vcpu.root}" if vcpu.root >= 0 else "no root", f"{vcpu.flushes} flushes"]
    parts += ["flush requested"] if vcpu.tlb_flush_requested else []
    parts += [f"requests {vcpu.other_requests:#x}"] if vcpu.other_requests else []
    parts += ["in SMM"] if vcpu.smm else []
    return ", ".join(parts)


def tlb_text(entry: TlbEntry) -> str:
    """The page that a TLB entry maps, and its rights."""
    rights = (("R", READ), ("W", WRITE), ("X", FETCH))
    letters = "".join(letter if entry.rights & bit else "-" for letter, bit in rights)
    return f"{_LEVELS[entry.level]} pfn {entry.pfn:#x} {letters}{' dirty' if entry.dirty else ''}"


def slot_text(slot: SlotView) -> str:
    """A memslot with its dirty bitmap."""
    names = [name for name, bit in (("log", LOG), ("readonly", READONLY)) if slot.flags & bit]
    dirty = f", dirty {ranges(slot.dirty_bitmap)}" if slot.dirty_bitmap else ""
    return f"gfn {slot.gfn:#x}, {slot.npages} pages{''.join(f', {name}' for name in names)}{dirty}"


def root_text(root: RootView) -> str:
    """A root of the TDP MMU."""
    space = "address space 1" if root.as_id else "address space 0"
    return f"{space}, {'invalid' if root.invalid else 'valid'}, {root.references} references"


def retired_text(table: RetiredTable) -> str:
    """A table that waits for its grace period."""
    return f"level {table.level} gfn {table.gfn:#x}, {table.frozen} entries frozen, {table.present} present"
