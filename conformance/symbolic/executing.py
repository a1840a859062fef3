# SPDX-License-Identifier: GPL-2.0-only
"""The symbolic executor: machine code on values that may depend on inputs.

Where a branch depends on inputs, both sides are followed. Of all pending paths the one at the earliest point
is executed next, so that forked paths reach the point where they meet, and are merged, before the code after
it runs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from conformance.oracles.image import Site
from conformance.symbolic.code import Code
from conformance.symbolic.errors import CannotRun
from conformance.symbolic.functions import Block
from conformance.symbolic.instructions import CALLEE_SAVED, CALLER_SAVED, FLAGS, NR_KEPT, RDI, RSP
from conformance.symbolic.memory import END, Backing, Unmapped
from conformance.symbolic.path_conditions import Condition, PathConditions
from conformance.symbolic.paths import Frame, Path, merge
from conformance.symbolic.pointers import LIMIT, Pointers
from conformance.symbolic.solving import Queries
from conformance.symbolic.terms import Term, Terms, Value

__all__ = ["OnBug", "OnComplaint", "OnWrite", "Run"]

MOST_STEPS = 1_000_000
"""The largest number of blocks that a run may execute."""
WARNS = "__SCT__WARN_trap"
"""Called by modules of v6.19 and later for a WARN with a message, with the address of its bug table entry."""
FORKS = 6
"""How often a branch forks before the solver is asked which of its sides are feasible."""


OnWrite = Callable[["Run", Path, Value, bool], None]
"""Called before each write with the address, and whether it is part of an atomic read-modify-write."""
OnComplaint = Callable[["Run", Path, Site], None]
"""Called for each WARN, before execution continues."""
OnBug = Callable[[int], tuple[int, int]]
"""Returns, for the address of a BUG, the function that handles it and its argument."""


class _Unknown(Exception):
    """An operation that the executor does not support."""


@dataclass
class Run:
    """One execution. ``finished`` is the merged path that returned; ``died`` is the condition under which
    the process dies instead.
    """

    code: Code
    conditions: PathConditions
    backing: Backing
    queries: Queries
    deadline: float
    on_write: OnWrite | None = None
    on_complaint: OnComplaint | None = None
    on_bug: OnBug | None = None

    def __post_init__(self) -> None:
        self.terms: Terms = self.code.terms
        self.memory = Pointers(
            self.code.image, self.terms, self.conditions, self.backing, self.queries, self._die
        )
        self.died: Condition = 0
        self.finished: Path | None = None
        self.steps = 0
        self.functions: set[str] = set()
        self._pending: dict[tuple[object, ...], Path] = {}
        self._forks: Counter[tuple[object, ...]] = Counter()
        self._where = ""
        self._callee_saved: dict[int, Value] = {}
        warns = self.code.image.symbols.get(WARNS)
        self._warns = warns.address if warns and self.code.image.sites else None

    def start(self, address: int, registers: list[Value], words: dict[int, Value]) -> None:
        """Execute the function at an address until all paths have ended."""
        function = self.code.function(address)
        self.functions.add(self.code.name(address))
        stack = registers[RSP]
        assert isinstance(stack, int)
        self._callee_saved = {slot: registers[slot] for slot in CALLEE_SAVED} | {RSP: stack + 8}
        self._put(Path(function, address << 8, 1, registers, words))
        try:
            while self._pending:
                path = self._next()
                alone = not self._pending
                going = self._step(path)
                while going is not None and alone and not self._pending:
                    going = self._step(going)
                if going is not None:
                    self._put(going)
        except CannotRun as why:
            raise CannotRun(f"{why}, in {self._where}") from None
        except RecursionError:
            raise CannotRun(f"its formulas are nested too deeply, in {self._where}") from None

    def _next(self) -> Path:
        if len(self._pending) == 1:
            return self._pending.popitem()[1]
        place = min(self._pending, key=lambda place: self._pending[place].order())
        return self._pending.pop(place)

    def _put(self, path: Path) -> None:
        place = path.place()
        other = self._pending.get(place)
        if other is not None:
            path = merge(other, path, self.terms, self.conditions, self.backing)
        self._pending[place] = path

    def _step(self, path: Path) -> Path | None:
        """Execute one block.

        Returns the path that continues; None if it ended or forked, in which case its parts are pending.
        """
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise CannotRun(f"it did not end after {MOST_STEPS} steps")
        if not self.steps & 0x3F and time.monotonic() > self.deadline:
            raise CannotRun(f"it did not end in time, after {self.steps} steps")
        function = path.function
        block = function.blocks.get(path.point)
        self._where = self.code.name(function.entry)
        if block is None:
            self._give_up(path, f"it jumps to {path.point >> 8:#x}, which is not the start of a block")
            return None
        try:
            values = self._execute(path, block)
        except _Unknown as unknown:
            self._give_up(path, f"it uses {unknown}, which is not supported")
            return None
        except Unmapped:
            self._die(path, path.condition)
            return None
        if path.condition == 0:
            return None
        return self._leave(path, block, values)

    def _execute(self, path: Path, block: Block) -> list[Value]:
        values: list[Value] = path.registers + block.slots  # type: ignore[operator]
        for how, out, a, b, width in block.code or self.code.compiled(block):
            if how.__class__ is not str:
                values[out] = how(values[a], values[b], width)
            elif how == "LOAD":
                if self.on_write is not None and width[1] == 1:
                    self.on_write(self, path, values[a], True)
                values[out] = self.memory.load(path, values[a], width[0])
            elif how == "STORE":
                if self.on_write is not None and width[1] == 0:
                    self.on_write(self, path, values[a], False)
                self.memory.store(path, values[a], values[b], width[0])
            elif how == "SELECT":
                condition = self.terms.extract(values[b], 0, 1)
                values[out] = self.terms.ite(condition, values[a], values[width[1]], width[0])
            else:
                raise _Unknown(width)
        path.registers = values[:NR_KEPT]
        return values

    # Leaving a block

    def _leave(self, path: Path, block: Block, values: list[Value]) -> Path | None:
        jump = block.jump
        kind = jump.kind
        if kind == "jump":
            assert block.target is not None
            path.point = block.target
            return path
        if kind == "branch":
            return self._branch(path, block, self.terms.extract(values[jump.where], 0, 1))
        if kind == "ud2":
            return self._complain(path, block)
        if kind == "none":
            self._give_up(path, f"it reaches an instruction that is not supported: {jump.target}")
            return None
        target = jump.target if jump.where < 0 else values[jump.where]
        if isinstance(target, Term):
            self._go_each(path, block, target)
            return None
        return self._go(path, block, target)

    def _go(self, path: Path, block: Block, target: int) -> Path | None:
        kind = block.jump.kind
        if kind == "call" and target == self._warns:
            self._warn_each(path, block)
            return None
        if kind == "call":
            return self._call(path, block, target)
        if kind == "return":
            self._forget_flags(path)
        return self._return(path, block, target)

    def _go_each(self, path: Path, block: Block, target: Term) -> None:
        """Fork for each value of a jump target that depends on inputs."""
        addresses = self.queries.values(target, path.condition, LIMIT)
        if addresses is None:
            raise CannotRun(f"it jumps to an address with more than {LIMIT} values, at {block.point >> 8:#x}")
        for address in addresses:
            here = self.conditions.of(self.terms.eq(target, address, 64))
            condition = self.conditions.both(path.condition, here)
            going = self._go(path.fork(condition, path.point), block, address)
            if going is not None:
                self._put(going)

    def _branch(self, path: Path, block: Block, bit: Value) -> Path | None:
        assert block.target is not None and block.after is not None
        condition = self.conditions.of(bit)
        taken = self.conditions.both(path.condition, condition)
        passed = self.conditions.both(path.condition, self.conditions.negate(condition))
        if taken and passed:
            place = path.place()
            self._forks[place] += 1
            if self._forks[place] > FORKS:
                taken = taken if self.queries.feasible(taken) else 0
                passed = passed if self.queries.feasible(passed) else 0
        if taken and passed:
            self._put(path.fork(taken, block.target))
            path.condition, path.point = passed, block.after
            self._put(path)
            return None
        if not taken and not passed:
            return None
        path.condition = taken or passed
        path.point = block.target if taken else block.after
        return path

    def _call(self, path: Path, block: Block, target: int) -> Path:
        slot = path.registers[RSP]
        assert block.after is not None
        if not isinstance(slot, int):
            raise CannotRun("the stack pointer depends on inputs")
        self._forget_flags(path)
        path.frames = (*path.frames, Frame(path.function, block.point, block.after >> 8, slot))
        path.function = self.code.function(target)
        path.point = target << 8
        self.functions.add(self.code.name(target))
        return path

    def _return(self, path: Path, block: Block, target: int) -> Path | None:
        """Continue at ``target``, and drop the frames that lie below the stack pointer."""
        if target == END:
            self._finish(path)
            return None
        stack = path.registers[RSP]
        if not isinstance(stack, int):
            raise CannotRun("the stack pointer depends on inputs")
        since = block.point
        while path.frames and path.frames[-1].slot < stack:
            frame = path.frames[-1]
            path.frames, path.function, since = path.frames[:-1], frame.function, frame.point
        point = target << 8
        if point not in path.function.blocks:
            if self.code.is_entry(target):
                path.function = self.code.function(target)
                self.functions.add(self.code.name(target))
            else:
                path.function.extend(point, since)
        path.point = point
        return path

    def _finish(self, path: Path) -> None:
        """End the path; it dies under the condition that it changed a callee-saved register."""
        kept = 1
        for slot in self._callee_saved:
            kept = self.conditions.both(kept, self._is_kept(path.registers[slot], self._callee_saved[slot]))
        self._die(path, self.conditions.both(path.condition, self.conditions.negate(kept)))
        if path.condition == 0:
            return
        other = self.finished
        if other is not None:
            path = merge(other, path, self.terms, self.conditions, self.backing)
        self.finished = path

    def _is_kept(self, value: Value, before: Value) -> Condition:
        """The condition under which ``value`` equals ``before``."""
        if value is before or value == before:
            return 1
        if isinstance(value, Term) and value.op == "ite":
            condition, a, b = value.args
            of = self.conditions.of(condition)
            return self.conditions.choose(of, self._is_kept(a, before), self._is_kept(b, before))
        return 0

    def _forget_flags(self, path: Path) -> None:
        nothing = self.terms.unknown("flags", 8)
        for slot in FLAGS:
            path.registers[slot] = nothing

    def _complain(self, path: Path, block: Block) -> Path | None:
        site = self.code.image.sites.get(block.jump.target)
        if site is not None and site.kind == "BUG" and self.on_bug is not None:
            return self._bug(path, *self.on_bug(block.jump.target))
        if site is None or site.kind != "WARN":
            self._die(path, path.condition)
            return None
        if self.on_complaint is not None:
            self.on_complaint(self, path, site)
        assert block.after is not None
        if block.after not in path.function.blocks:
            path.function.extend(block.after, block.point)
        path.point = block.after
        return path

    def _warn_each(self, path: Path, block: Block) -> None:
        """Count a WARN for each possible entry: compilers let several WARNs share one call."""
        given = path.registers[RDI]
        entries = [given] if isinstance(given, int) else self.queries.values(given, path.condition, LIMIT)
        stack = path.registers[RSP]
        assert block.after is not None
        if entries is None or not isinstance(stack, int):
            raise CannotRun(f"more than {LIMIT} WARNs share one call")
        for entry in entries:
            here = self.conditions.of(self.terms.eq(given, entry, 64))
            condition = self.conditions.both(path.condition, here)
            one = path.fork(condition, block.after)
            distance = self.memory.load(one, entry, 32)
            site = None
            if isinstance(distance, int):
                site = self.code.image.sites.get(entry + distance - ((distance & 1 << 31) << 1))
            if site is None:
                raise CannotRun(f"it WARNs with an entry that is not in its bug table, at {entry:#x}")
            if self.on_complaint is not None:
                self.on_complaint(self, one, site)
            for slot in CALLER_SAVED:
                one.registers[slot] = self.terms.unknown("after a WARN", 64)
            one.registers[RSP] = stack + 8
            self._forget_flags(one)
            self._put(one)

    def _bug(self, path: Path, function: int, argument: int) -> Path:
        """Call a function that does not return, with an aligned stack."""
        stack = path.registers[RSP]
        if not isinstance(stack, int):
            raise CannotRun("the stack pointer depends on inputs")
        path.registers[RSP] = (stack & ~15) - 8
        path.registers[RDI] = argument
        path.function, path.point = self.code.function(function), function << 8
        self.functions.add(self.code.name(function))
        return path

    def _give_up(self, path: Path, why: str) -> None:
        """Raise CannotRun unless the path is infeasible."""
        if self.queries.feasible(path.condition):
            raise CannotRun(f"{why}, at {path.point >> 8:#x}")

    def _die(self, path: Path, condition: Condition) -> None:
        """Under ``condition`` the process dies here: remove that part of the path."""
        self.died = self.conditions.either(self.died, condition)
        path.condition = self.conditions.both(path.condition, self.conditions.negate(condition))
