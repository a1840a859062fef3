# SPDX-License-Identifier: GPL-2.0-only
"""Calling single functions of a kernel in a child process, which may crash or hang."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.errors import ConformanceError, KernelCodeDied
from conformance.oracles.conversing import Broken, Conversation, Ended, Silent, bounds_of, failure_of
from conformance.oracles.coverage import Counters, executed, read_counters
from conformance.oracles.hosts import HOST
from conformance.oracles.lacking import Lacking, broke_off, written
from conformance.oracles.serving import AT, CELLS, INPUTS, OUTPUTS, SHARED_BYTES
from conformance.sandbox.policy import GIB

__all__ = ["NR_EVENTS", "Entry", "FunctionOracle", "KernelDied"]

NR_EVENTS = 7
"""How many kinds of events a run can distinguish; an eighth counter is for all others."""

MEMORY = 2 * GIB
"""Bytes of address space of the process: that of Python, the shared memory, and as much again and more."""


@dataclass(frozen=True)
class Entry:
    """A function that can be called: words of input, and of output without events."""

    index: int
    nr_in: int
    nr_out: int


class KernelDied(KernelCodeDied):
    """Kernel code ended its process, or did not return (``hung``), in case ``at`` of the batch."""

    def __init__(self, how: str, at: int, hung: bool = False) -> None:
        super().__init__(how, at, hung)
        self.at = at
        self.hung = hung


class _WroteNoAnswer(KernelDied):
    """Kernel code overwrote answers, some time before case ``at``."""


class FunctionOracle:
    """A kernel's functions, over columns of words. A context manager; not to be shared among threads.

    ``worker`` is the script that serves, see serving.py, and ``what`` it is to load. ``patience`` is how many
    seconds of processor time a batch may take before kernel code counts as hanging. ``more`` are further
    arguments of the worker's own.
    """

    def __init__(self, worker: Path, what: Path, *, patience: float = 10.0, more: Sequence[Any] = ()) -> None:
        self._worker = worker
        self._more = more
        self._what = what
        self._patience = patience
        self._bounds = bounds_of(patience)
        self._conversation: Conversation | None = None
        self._host: list[int] = []
        self._expected: list[str] = []
        self._deadly: dict[tuple[int, ...], KernelDied] = {}
        self._counted = Counters()
        self._running: tuple[Entry, NDArray[np.uint64]] | None = None
        self.why_not: Mapping[str, str] = {}
        """Why functions that are no entries cannot be called here."""
        self.unexpected = ""
        """The last event of the last run that was not among the expected ones."""
        self.entries: dict[str, Entry] = self._begin(self._talk())

    def __enter__(self) -> FunctionOracle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        self._host, self._expected = [], []
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.close()

    def configure(self, host: Mapping[str, int], events: Sequence[str] = ()) -> None:
        """Bring the masks to those of a host; name the ``events`` to be counted, each in its byte.

        Does nothing where it is so already. Raises KernelDied, at case 0, if the mask setters crash or hang
        on this host, at once where they did before.
        """
        if len(events) > NR_EVENTS:
            raise ValueError(f"at most {NR_EVENTS} kinds of events can be distinguished, not {len(events)}")
        wanted = [int(host[name]) for name in HOST]
        names = [*events, *[""] * (NR_EVENTS - len(events))]
        if wanted != self._host:
            self._set_masks(wanted)
        if names != self._expected:
            self._expected = names
            self._ask("expect", names)

    def _set_masks(self, host: list[int]) -> None:
        if tuple(host) in self._deadly:
            raise self._deadly[tuple(host)]
        self._host = host
        try:
            self._ask("configure", host)
        except KernelDied as died:
            self._deadly[tuple(host)] = KernelDied(f"{died.how}, in the mask setters", 0, hung=died.hung)
            raise self._deadly[tuple(host)] from None

    def capacity(self, entry: Entry) -> int:
        """How many cases fit into one batch."""
        return CELLS // max(entry.nr_in, entry.nr_out + 1)

    def submit(self, entry: Entry, batch: NDArray[np.uint64]) -> None:
        """Start running ``entry`` on a batch: a row a column, ``entry.nr_in`` of them.

        The batch must not change before collect().
        """
        columns, n = batch.shape
        if columns != entry.nr_in:
            raise ValueError(f"the entry takes {entry.nr_in} columns, not {columns}")
        self._ready()
        self._inputs[: columns * n].reshape(columns, n)[:] = batch
        self._at[:] = 0
        self._send("run", entry.index, n)
        self._running = (entry, batch)

    def collect(self) -> NDArray[np.uint64]:
        """What the submitted batch gave: a row a column, the last counting events. Valid until the next.

        Raises KernelDied if kernel code crashed or hung, Lacking if it needed what the suite or the system
        lacks; the next batch then runs in a new process.
        """
        assert self._running is not None, "nothing was submitted"
        entry, batch = self._running
        self._running = None
        n = batch.shape[1]
        host, expected = self._host, self._expected
        try:
            self.unexpected = written(self._receive(str, n))
        except _WroteNoAnswer as died:
            raise KernelDied(died.how, self._writer(entry, batch, host, expected)) from None
        rows = entry.nr_out + 1
        return self._outputs[: rows * n].reshape(rows, n)

    def _writer(self, entry: Entry, batch: NDArray[np.uint64], host: list[int], expected: list[str]) -> int:
        """The first case that writes to the answers, found by bisection: it is noticed some cases later."""
        good, bad = 0, batch.shape[1]
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                self._set_masks(host)
                self._ask("expect", expected)
                self.submit(entry, batch[:, :middle])
                self._receive(str, middle)
                good = middle
            except KernelDied:
                bad = middle
        self._running = None
        return bad - 1

    def run(self, entry: Entry, batch: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """submit() and collect()."""
        self.submit(entry, batch)
        return self.collect()

    def coverage(self) -> Counters:
        """What was executed since this was last called, in a library that counts it; see build_shim().

        What a process executed that has died is not known. Raises KernelDied, Lacking.
        """
        size = self._ask("coverage", form=int)
        if not 0 <= size <= 8 * CELLS:
            raise _WroteNoAnswer("broke off: it wrote what is not an answer", 0)
        try:
            now = read_counters(self._outputs.view(np.uint8)[:size].tobytes(), self._what)
            since, self._counted = now - self._counted, now
        except ValueError:
            raise _WroteNoAnswer("broke off: its counters cannot be read", 0) from None
        return since

    def executed(self) -> set[str]:
        """The names of the functions that were executed since coverage() or this was last called."""
        return executed(self._what, self.coverage())

    def _ask(self, *request: Any, form: type = NoneType) -> Any:
        self._send(*request)
        return self._receive(form, 1)

    def _send(self, *request: Any) -> None:
        self._ready().ask(*request)

    def _ready(self) -> Conversation:
        """The conversation, with a process that has loaded the functions."""
        conversation = self._talk()
        if not conversation.alive:
            self._begin(conversation)
        return conversation

    def _talk(self) -> Conversation:
        """The conversation; a new one if the last is over."""
        if self._conversation is None or self._conversation.closed:
            self._conversation = Conversation(
                self._worker, [str(self._what)], size=SHARED_BYTES, read=[self._what], memory=MEMORY
            )
            memory = self._conversation.memory
            self._at = np.frombuffer(memory, np.uint64, 8, AT)
            self._inputs = np.frombuffer(memory, np.uint64, CELLS, INPUTS)
            self._outputs = np.frombuffer(memory, np.uint64, CELLS, OUTPUTS)
        return self._conversation

    def _begin(self, conversation: Conversation) -> dict[str, Entry]:
        """Have the functions loaded by a new process; which there are."""
        self._at[:] = 0
        self._counted = Counters()
        conversation.begin(self._patience, *self._more)
        answer = self._receive((list, dict), 1)
        if isinstance(answer, dict):
            # Before any kernel code has run.
            self.close()
            raise ConformanceError(str(answer.get("refused")))
        try:
            return {
                str(name): Entry(index, *(range(1 << 10)[int(number)] for number in (nr_in, nr_out)))
                for index, (name, nr_in, nr_out) in enumerate(answer)
            }
        except (TypeError, ValueError, IndexError):
            self.close()
            raise _WroteNoAnswer("broke off: it wrote what is not an answer", 0) from None

    def _receive(self, form: type | tuple[type, ...], n: int) -> Any:
        """The answer about n cases, of a form."""
        conversation = self._talk()
        try:
            answer = conversation.hear(self._bounds)
            if not isinstance(answer, form):
                raise conversation.broken("wrote what is not an answer")
        except (Broken, Silent) as problem:
            self._host, self._expected = [], []
            how, hung = failure_of(problem)
            died = KernelDied if hung else _WroteNoAnswer
            raise died(how, self._case(n), hung) from None
        except Ended as ended:
            self._host, self._expected = [], []
            raise self._death(ended.code, self._case(n)) from None
        return answer

    def _case(self, n: int) -> int:
        """The last case that ran, of n; the number is written by kernel code."""
        return min(int(self._at[0]), n - 1)

    def _death(self, code: int, at: int) -> KernelDied | Lacking:
        """The exception for a process that ended with this code."""
        hung = code == -signal.SIGVTALRM
        how = f"did not come back within {self._patience:g} s of processor time" if hung else broke_off(code)
        return how if isinstance(how, Lacking) else KernelDied(self._explained(how), at, hung=hung)

    def _explained(self, how: str) -> str:
        """How kernel code died, with further details."""
        return how
