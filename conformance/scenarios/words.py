# SPDX-License-Identifier: GPL-2.0-only
"""Observations in words: return codes, memslots, TLB and page table entries as people say them."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from itertools import groupby

from conformance.model.semantics import Semantics
from conformance.model.spte.decode import describe
from conformance.scenarios.observing import Entry, Observation, Root, root_entries, roots
from conformance.scenarios.steps import Step
from conformance.scenarios.view import MMIO

__all__ = ["decoded", "facts", "outcome", "path", "ranges"]

_EXITS = {10: "retry", 11: "emulate", 12: "invalid", 13: "fixed", 14: "spurious", 15: "write-protected"}
_ENDS = ("done", "gave up", "emulated", "error")
_LEVELS = {1: "4K", 2: "2M", 3: "1G", 4: "512G"}


def outcome(step: Step, values: Sequence[int]) -> str:
    """What a step came to."""
    if step.kind == "access":
        return ", ".join([*(_exit(code) for code in values[:-1]), _ENDS[values[-1]]])
    if step.kind == "get_dirty_log" and len(values) > 1:
        return f"{_code(values[0])}, dirty {ranges(values[1:])}"
    if step.kind.startswith("walk_") and len(values) == 4:
        valid, level, gfn, spte = values
        return f"at level {level} gfn {gfn:#x}: {spte:#018x}" if valid else "at the end"
    if step.kind == "destroy" and len(values) == 3:
        return "leaked {} objects, {} pages, {} references to host pages".format(*values)
    if step.kind == "delete_while_unmapping" and len(values) == 5:
        mapped = ", ".join(f"{n} of {_LEVELS[level]}" for level, n in enumerate(values[2:], start=1))
        return f"{_code(values[0])}, {f'meanwhile unmapped, {mapped} left' if values[1] else 'not unmapped'}"
    return ", ".join(map(_code, values)) or "nothing"


def _exit(code: int) -> str:
    if code < 0:
        return _code(code)
    if code >= MMIO:
        return f"MMIO exit, {_EXITS.get(code - MMIO, str(code - MMIO))}"
    return _EXITS.get(code, str(code))


def _code(value: int) -> str:
    name = errno.errorcode.get(-value) if value < 0 else None
    return f"-{name}" if name else str(value)


def ranges(words: Sequence[int]) -> str:
    """The set bits of a bitmap as ranges of offsets."""
    offsets = [64 * at + bit for at, word in enumerate(words) for bit in range(64) if word >> bit & 1]
    told = []
    for _, run in groupby(enumerate(offsets), lambda pair: pair[1] - pair[0]):
        run_of = [offset for _, offset in run]
        told.append(f"{run_of[0]:#x}" if len(run_of) == 1 else f"{run_of[0]:#x}-{run_of[-1]:#x}")
    return ",".join(told) or "none"


def path(root: Root, entry: Entry) -> str:
    """Where an entry is, from its root down."""
    above = "".join(f" > level {root.level - depth} gfn {gfn:#x}" for depth, gfn in enumerate(entry.path[1:]))
    space = f"root {root.index}{' of SMM' if root.as_id else ''}{', invalid' if root.invalid else ''}"
    return f"{space}{above} > level {entry.level} gfn {entry.gfn:#x}"


def decoded(k: Semantics, entry: Entry) -> str:
    """An entry's value, raw and in words."""
    what = "a table" if entry.child else describe(k, entry.spte)
    return f"{entry.spte:#018x} {what}"


def facts(k: Semantics, step: Step, observation: Observation) -> Iterator[tuple[str, str]]:
    """Everything observed, one fact at a time: what it is of, and its value in words.

    The serial numbers of tables are left out: they differ between machines that agree.
    """
    yield "outcome", outcome(step, observation["outcome"])
    yield "events", ", ".join(observation["events"]) or "none"
    for name, value in observation["state"].items():
        yield name, str(value)
    for vcpu, (root, flush, requests, flushes, smm) in enumerate(observation["vcpus"]):
        yield f"vCPU {vcpu}", vcpu_words(root, flush, requests, flushes, smm)
    for vcpu, cached in enumerate(observation["tlb"]):
        for entry in cached:
            yield f"TLB of vCPU {vcpu}, root {entry[0]}, gfn {entry[1]:#x}", tlb_words(entry)
    for slot in observation["slots"]:
        yield f"memslot {slot[1]} of address space {slot[0]}", slot_words(slot)
    for root in roots(observation):
        yield f"root {root.index}", root_words(root)
        for entry in root_entries(root):
            yield path(root, entry), decoded(k, entry)
    for number, (level, gfn, _serial, frozen, present) in enumerate(observation["retired"]):
        yield f"retired table {number}", retired_words(level, gfn, frozen, present)


def vcpu_words(root: int, flush: int, requests: int, flushes: int, smm: int) -> str:
    """A vCPU's state."""
    parts = [f"root {root}" if root >= 0 else "no root", f"{flushes} flushes"]
    parts += ["flush requested"] if flush else []
    parts += [f"requests {requests:#x}"] if requests else []
    parts += ["in SMM"] if smm else []
    return ", ".join(parts)


def tlb_words(entry: Sequence[int]) -> str:
    """A TLB entry: what it maps and allows."""
    _root, _gfn, level, pfn, rights, dirty = entry
    letters = "".join(letter if rights & bit else "-" for letter, bit in (("R", 1), ("W", 2), ("X", 4)))
    return f"{_LEVELS[level]} pfn {pfn:#x} {letters}{' dirty' if dirty else ''}"


def slot_words(slot: Sequence[int]) -> str:
    """A memslot with its dirty bitmap."""
    _as_id, _id, gfn, npages, flags, *words = slot
    names = [name for name, bit in (("log", 1), ("readonly", 2)) if flags & bit]
    dirty = f", dirty {ranges(words)}" if words else ""
    return f"gfn {gfn:#x}, {npages} pages{''.join(f', {name}' for name in names)}{dirty}"


def root_words(root: Root) -> str:
    """A root of the TDP MMU."""
    space = "address space 1" if root.as_id else "address space 0"
    return f"{space}, {'invalid' if root.invalid else 'valid'}, {root.references} references"


def retired_words(level: int, gfn: int, frozen: int, present: int) -> str:
    """A table that waits for its grace period."""
    return f"level {level} gfn {gfn:#x}, {frozen} entries frozen, {present} present"
