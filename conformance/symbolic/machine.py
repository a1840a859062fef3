# SPDX-License-Identifier: GPL-2.0-only
"""A machine with an image in its memory: configured as the native worker is, it runs entries on terms."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import z3

from conformance.oracles.image import Image, Site
from conformance.symbolic.code import Code
from conformance.symbolic.errors import CannotRun
from conformance.symbolic.executing import OnWrite, Run
from conformance.symbolic.formulas import Formulas
from conformance.symbolic.instructions import DF, GS_BASE, NR_KEPT, RDI, RDX, REGISTER_WIDTHS, RSI, RSP
from conformance.symbolic.memory import ARGUMENTS, END, STACK, Backing, load, store
from conformance.symbolic.path_conditions import PathConditions
from conformance.symbolic.paths import Path
from conformance.symbolic.solving import Queries
from conformance.symbolic.terms import Terms, Value
from conformance.symbolic.watched_word import count_writes

__all__ = ["Machine", "Outcome"]

NR_EVENTS = 7
SETTING_UP = 60.0
"""Seconds that a call on concrete values may take."""


@dataclass
class Outcome:
    """The outputs of an entry: its words, then the word of events, as ints or z3 terms of 64 bits.

    ``died`` is the condition under which the process would die, on a BUG or an unmapped access; ``total`` the
    condition under which execution ends at all, which should always hold. ``functions`` were executed.
    """

    words: list[int | z3.BitVecRef]
    died: z3.BoolRef
    total: z3.BoolRef
    functions: frozenset[str]


class Machine:
    """An image's memory and code. ``on_write`` is called before every write."""

    def __init__(self, image: Image, *, on_write: OnWrite | None = None) -> None:
        self.image = image
        self.on_write = on_write or count_writes(image)
        self._terms = Terms()
        self._formulas = Formulas(self._terms)
        self._overapproximate = Formulas(self._terms, overapproximate=True)
        self._backing = Backing(image, self._terms)
        self._code = Code(image, self._backing, self._terms)
        self._expected = [""] * NR_EVENTS

    def configure(
        self,
        host: Sequence[int | z3.BitVecRef],
        *,
        assuming: Sequence[z3.BoolRef] = (),
        seconds: float = SETTING_UP,
    ) -> None:
        """Set the masks up for a host, given in the order of HOST; with terms, for many hosts at once."""
        words = [word if isinstance(word, int) else self._formulas.value(word) for word in host]
        self._call("shim_configure", [ARGUMENTS], words, assuming, seconds)

    def expect(self, names: Sequence[str]) -> None:
        """Name the events that are counted, one byte each; any other event is counted in the last byte."""
        if len(names) > NR_EVENTS:
            raise ValueError(f"at most {NR_EVENTS} kinds of events can be counted, not {len(names)}")
        self._expected = [*names, *[""] * (NR_EVENTS - len(names))]
        if "shim_expect" not in self.image.symbols:
            return
        for slot, name in enumerate(self._expected):
            text = name.encode() + bytes(8 - len(name) % 8)
            words = [int.from_bytes(text[at : at + 8], "little") for at in range(0, len(text), 8)]
            self._call("shim_expect", [slot, ARGUMENTS], words)

    def _call(
        self,
        function: str,
        args: Sequence[int],
        pointed_to: Sequence[Value],
        assuming: Sequence[z3.BoolRef] = (),
        seconds: float = SETTING_UP,
    ) -> None:
        """Call a function and keep its changes to memory. ``pointed_to`` are words at ARGUMENTS."""
        words: dict[int, Value] = {(ARGUMENTS >> 3) + n: word for n, word in enumerate(pointed_to)}
        run = self._run(self._symbol(function), args, words, assuming, seconds)
        finished = 0 if run.finished is None else run.finished.condition
        if (
            run.finished is None
            or run.finished.arrays
            or run.queries.feasible(run.conditions.negate(finished))
        ):
            raise CannotRun(f"{function} did not return on every path")
        # The stack and the arguments are uninitialised for the next call.
        kept = {n: word for n, word in run.finished.words.items() if not self._backing.is_scratch(8 * n)}
        self._backing.update(kept)

    def write(self, symbol: str, value: int | z3.BitVecRef, size: int = 8) -> None:
        """Assign to a variable of ``size`` bytes."""
        made = self.value(value)
        words: dict[int, Value] = {}
        store(self._terms, words, self._backing, self._symbol(symbol), made, 8 * size)
        self._backing.update(words)

    def value(self, given: int | z3.BitVecRef) -> Value:
        """A number or a z3 term as the executor represents it."""
        return given if isinstance(given, int) else self._formulas.value(given)

    def read(self, symbol: str, size: int = 8) -> int | z3.BitVecRef:
        """The value of a variable of ``size`` bytes."""
        found = load(self._terms, {}, self._backing, self._symbol(symbol), 8 * size)
        return found if isinstance(found, int) else self._formulas.word(found, 8 * size)

    def run(
        self,
        entry: str,
        inputs: Sequence[int | z3.BitVecRef],
        *,
        assuming: Sequence[z3.BoolRef] = (),
        seconds: float,
    ) -> Outcome:
        """Run an entry on one case, without changing the machine. Raises CannotRun."""
        code = self.image.entries[entry]
        if len(inputs) != code.nr_in:
            raise ValueError(f"{entry} takes {code.nr_in} words, not {len(inputs)}")
        words: dict[int, Value] = {}
        for address, size in self.image.fresh:
            for at in range(address, address + size):
                store(self._terms, words, self._backing, at, 0, 8)
        first = ARGUMENTS >> 3
        for n, value in enumerate(inputs):
            words[first + n] = self.value(value)
        out = ARGUMENTS + 8 * (code.nr_in + 1)
        run = self._run(code.run, [ARGUMENTS, out, 1], words, assuming, seconds)
        finished = run.finished
        given: list[int | z3.BitVecRef] = []
        for n in range(code.nr_out + 1):
            value = 0 if finished is None else run.memory.load(finished, out + 8 * n, 64)
            given.append(value if isinstance(value, int) else self._formulas.word(value, 64))
        ended = run.conditions.either(run.died, 0 if finished is None else finished.condition)
        return Outcome(
            words=given,
            died=self._formulas.truth(run.conditions.term(run.died)),
            total=self._formulas.truth(run.conditions.term(ended)),
            functions=frozenset(run.functions),
        )

    def _run(
        self,
        address: int,
        args: Sequence[int],
        words: dict[int, Value],
        assuming: Sequence[z3.BoolRef],
        seconds: float,
    ) -> Run:
        deadline = time.monotonic() + seconds
        conditions = PathConditions(self._terms)
        queries = Queries(self._formulas, self._overapproximate, conditions, assuming, deadline)
        on_bug = self._bug if "shim_sites" in self.image.symbols else None
        run = Run(
            self._code, conditions, self._backing, queries, deadline, self.on_write, self._complain, on_bug
        )
        registers: list[Value] = [
            self._terms.unknown(f"register {n}", REGISTER_WIDTHS[n]) for n in range(NR_KEPT)
        ]
        for slot, value in zip((RDI, RSI, RDX), args, strict=False):
            registers[slot] = value
        registers[DF] = 0
        # The base of a module's per-CPU variables; a shim's are ordinary variables.
        own = self.image.symbols.get("shim_percpu")
        registers[GS_BASE] = own.address if own else 0
        # The ABI's alignment at a function's entry: 8 below a multiple of 16.
        registers[RSP] = STACK - 0x108
        words[(STACK - 0x108) >> 3] = END
        run.start(address, registers, words)
        return run

    def _complain(self, run: Run, path: Path, site: Site) -> None:
        """Count a WARN of the image, as shim_event() does."""
        muted = self.image.symbols.get("shim_events_muted")
        if muted is not None and run.memory.load(path, muted.address, 32) != 0:
            return
        name = f"{site.kind} {site.function}"
        slot = self._expected.index(name) if name in self._expected else NR_EVENTS
        events = self._symbol("shim_events")
        counted = self._terms.add(run.memory.load(path, events, 64), 1 << (8 * slot), 64)
        run.memory.store(path, events, counted, 64)

    def _bug(self, address: int) -> tuple[int, int]:
        """The address of shim_bug(), and its argument: the name that the image's table has for a BUG."""
        at, end = self._symbol("shim_sites"), self._symbol("shim_sites_end")
        while at < end:
            if self._backing.word(at >> 3) == address:
                name = self._backing.word((at >> 3) + 1)
                assert isinstance(name, int)
                return self._symbol("shim_bug"), name
            at += 24
        raise CannotRun(f"the image's table has no entry for the BUG at {address:#x}")

    def _symbol(self, name: str) -> int:
        try:
            return self.image.symbols[name].address
        except KeyError:
            raise CannotRun(f"the image has no symbol {name}") from None
