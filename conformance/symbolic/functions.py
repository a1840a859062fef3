# SPDX-License-Identifier: GPL-2.0-only
"""Control flow graphs: a function's basic blocks, ordered so that forked paths merge before they continue.

A *point* is where a block begins: an address, shifted left by 8, plus the number of operations before it for
a point within an instruction. A function is everything that is reachable from its entry without calls and
returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from conformance.symbolic.instructions import FLAGS, NR_KEPT, Instruction, Jump, Op

__all__ = ["Block", "Function", "Point"]

Point = int
_GIVE_UP = 20_000
"""The largest number of instructions of a function."""


@dataclass
class Block:
    """A basic block: operations, and the jump that ends them; ``after`` is the point after a call or branch.

    ``slots`` are the constants in the slots beyond the kept ones.
    """

    point: Point
    ops: list[Op] = field(default_factory=list)
    slots: list[int | None] = field(default_factory=list)
    jump: Jump = field(default_factory=lambda: Jump("jump"))
    target: Point | None = None
    after: Point | None = None
    code: list[tuple[Any, ...]] | None = None
    """The compiled operations, once the executor has used the block."""

    def next(self) -> list[Point]:
        """Points that may come next within the function."""
        return [point for point in (self.after, self.target) if point is not None]


class Function:
    """The blocks of a function. ``extend`` adds those behind jumps whose targets become known later."""

    def __init__(
        self, entry: int, fetch: Callable[[int], Instruction], is_entry: Callable[[int], bool]
    ) -> None:
        self.entry = entry
        self._fetch = fetch
        self._is_entry = is_entry
        self._roots: dict[Point, set[Point]] = {entry << 8: set()}
        self.blocks: dict[Point, Block] = {}
        self.order: dict[Point, int] = {}
        self._build()

    def extend(self, point: Point, since: Point) -> None:
        """Add a point to which the block at ``since`` jumps, or to which a function that it calls returns."""
        known = self._roots.setdefault(point, set())
        if point not in self.blocks or since not in known:
            known.add(since)
            self._build()

    def _build(self) -> None:
        leaders = self._explore()
        self.blocks = {point: self._block(point, leaders) for point in leaders}
        edges = {point: block.next() for point, block in self.blocks.items()}
        for root, sources in self._roots.items():
            for source in sources:
                if source in edges:
                    edges[source] = [*edges[source], root]
        self.order = {point: n for n, point in enumerate(_ordered(list(self._roots), edges))}
        self._drop_dead_flags(edges)

    def _explore(self) -> set[Point]:
        """The points where blocks begin."""
        leaders = set(self._roots)
        seen: set[int] = set()
        work = [point >> 8 for point in leaders]
        while work:
            address = work.pop()
            while address not in seen:
                if len(seen) > _GIVE_UP:
                    break
                seen.add(address)
                instruction = self._fetch(address)
                after = address + instruction.length
                goes_on = True
                for at, jump in instruction.jumps:
                    if isinstance(jump.target, int) and jump.kind in ("branch", "jump"):
                        if jump.target < 0:
                            leaders.add(address << 8 | -1 - jump.target)
                        else:
                            leaders.add(jump.target << 8)
                            work.append(jump.target)
                    goes_on = jump.kind in ("branch", "call", "ud2") or at < len(instruction.ops)
                    if jump.kind in ("call", "ud2") and self._is_entry(after):
                        # It never returns: the code after it belongs to another function.
                        goes_on = False
                    elif jump.kind in ("branch", "call", "ud2"):
                        leaders.add(_behind(instruction, at))
                if not goes_on:
                    break
                address = after
        return {point for point in leaders if point >> 8 in seen}

    def _block(self, point: Point, leaders: set[Point]) -> Block:
        block = Block(point)
        address, skip = point >> 8, point & 0xFF
        while True:
            instruction = self._fetch(address)
            after = (address + instruction.length) << 8
            end = next(((at, jump) for at, jump in instruction.jumps if at >= skip), None)
            limit = len(instruction.ops) if end is None else end[0]
            if instruction.jumps:
                limit = min([limit, *(n for n in range(skip + 1, limit) if address << 8 | n in leaders)])
            self._append(block, instruction, instruction.ops[skip:limit])
            if end is not None and end[0] == limit:
                self._end(block, instruction, *end)
                return block
            if limit < len(instruction.ops):
                block.target = address << 8 | limit
                return block
            if after in leaders:
                block.target = after
                return block
            address, skip = after >> 8, 0

    def _append(self, block: Block, instruction: Instruction, ops: list[Op]) -> None:
        """Append an instruction's operations, with their slots renumbered after the block's own."""
        by = len(block.slots)

        def moved(slot: int) -> int:
            return slot + by if slot >= NR_KEPT else slot

        block.slots.extend([None] * (instruction.nr_slots - NR_KEPT))
        for slot, value in instruction.constants.items():
            block.slots[moved(slot) - NR_KEPT] = value
        for op in ops:
            at = moved(op.at) if op.name == "SELECT" else op.at
            block.ops.append(Op(op.name, moved(op.out), moved(op.a), moved(op.b), op.width, at))

    def _end(self, block: Block, instruction: Instruction, at: int, jump: Jump) -> None:
        where = jump.where
        if where >= NR_KEPT:
            where += len(block.slots) - (instruction.nr_slots - NR_KEPT)
        block.jump = Jump(jump.kind, jump.target, where)
        if jump.kind in ("branch", "jump"):
            inside = instruction.address << 8 | -1 - jump.target
            block.target = inside if jump.target < 0 else jump.target << 8
        if jump.kind in ("branch", "call", "ud2"):
            block.after = _behind(instruction, at)

    def _drop_dead_flags(self, edges: dict[Point, list[Point]]) -> None:
        """Remove dead code: operations whose only results are flags that are never read.

        Flags do not survive calls and returns: compilers do not rely on that, and the executor forgets them
        there.
        """
        live: dict[Point, frozenset[int]] = {point: frozenset() for point in self.blocks}
        changed = True
        while changed:
            changed = False
            for point in sorted(self.blocks, key=lambda p: -self.order.get(p, 0)):
                block = self.blocks[point]
                needed = self._live_in(block, live)
                if needed != live[point]:
                    live[point] = needed
                    changed = True
        for block in self.blocks.values():
            self._sweep(block, self._live_out(block, live))

    def _live_out(self, block: Block, live: dict[Point, frozenset[int]]) -> set[int]:
        kind = block.jump.kind
        if kind in ("call", "return", "none"):
            return set()
        if kind in ("indirect", "ud2"):
            return set(FLAGS)
        found: set[int] = set()
        for point in block.next():
            found |= live.get(point, FLAGS)
        return found

    def _live_in(self, block: Block, live: dict[Point, frozenset[int]]) -> frozenset[int]:
        needed = self._live_out(block, live)
        for _ in self._needed(block, needed):
            pass
        return frozenset(needed & FLAGS)

    def _sweep(self, block: Block, needed: set[int]) -> None:
        block.ops = list(self._needed(block, needed))[::-1]

    def _needed(self, block: Block, needed: set[int]) -> Iterator[Op]:
        """The live operations, last first; ``needed`` becomes the set of slots that are live before them."""
        if block.jump.where >= 0:
            needed.add(block.jump.where)
        for op in reversed(block.ops):
            kept = op.out < NR_KEPT and op.out not in FLAGS
            has_effect = op.name == "STORE" or (op.name == "LOAD" and op.at == 1)
            if not kept and not has_effect and op.out not in needed:
                continue
            needed.discard(op.out)
            needed.update((op.a, op.b))
            if op.name == "SELECT":
                needed.add(op.at)
            yield op


def _behind(instruction: Instruction, at: int) -> Point:
    """The point after a jump that follows ``at`` operations."""
    if at == len(instruction.ops):
        return (instruction.address + instruction.length) << 8
    return instruction.address << 8 | at + 1


def _ordered(roots: list[Point], edges: dict[Point, list[Point]]) -> list[Point]:
    """Points in topological order, ignoring the back edges of loops.

    The points of a loop are adjacent, so that the points after it wait until the loop has ended.
    """
    found: list[Point] = []
    for loop in _loops(roots, edges):
        if len(loop) == 1:
            found += loop
            continue
        members = set(loop)
        # The loop's header is the point by which it was reached.
        first = loop[0]
        inside = {
            point: [other for other in edges.get(point, ()) if other in members and other != first]
            for point in members
        }
        found += _ordered([first], inside)
    return found


def _loops(roots: list[Point], edges: dict[Point, list[Point]]) -> list[list[Point]]:
    """Strongly connected components in topological order (Tarjan), each with the point reached first."""
    index: dict[Point, int] = {}
    low: dict[Point, int] = {}
    stack: list[Point] = []
    on_stack: set[Point] = set()
    found: list[list[Point]] = []
    for root in roots:
        if root in index:
            continue
        work: list[tuple[Point, Iterator[Point]]] = []

        def visit(point: Point, work: list[tuple[Point, Iterator[Point]]] = work) -> None:
            index[point] = low[point] = len(index)
            stack.append(point)
            on_stack.add(point)
            work.append((point, iter(edges.get(point, ()))))

        visit(root)
        while work:
            point, others = work[-1]
            for other in others:
                if other not in index:
                    visit(other)
                    break
                if other in on_stack:
                    low[point] = min(low[point], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[point])
                if low[point] == index[point]:
                    at = stack.index(point)
                    found.append(stack[at:])
                    on_stack.difference_update(stack[at:])
                    del stack[at:]
    return found[::-1]
