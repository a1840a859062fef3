# SPDX-License-Identifier: GPL-2.0-only
"""Asking single functions of a kernel, in a child process that may crash or hang without taking us along."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.errors import ConformanceError
from conformance.oracles.common import HOST, import_path
from conformance.oracles.lacking import KERNELS_OWN, Lacking, no_process
from conformance.oracles.serving import AT, CELLS, INPUTS, OUTPUTS, SHARED_BYTES

__all__ = ["NR_EVENTS", "Entry", "FunctionOracle", "KernelDied"]

NR_EVENTS = 7
"""How many kinds of events a run can tell apart; any other is counted together in an eighth counter."""

SLEEPING = 30
"""How many times as much wall time as processor time a batch may take, unless others keep the processors."""


@dataclass(frozen=True)
class Entry:
    """One function that there is an answer for: how many words go in, and come out besides events."""

    index: int
    nr_in: int
    nr_out: int


class KernelDied(Exception):
    """Kernel code ended the child process, or did not come back (``hung``), on case ``at`` of the batch."""

    def __init__(self, how: str, at: int, *, hung: bool = False) -> None:
        super().__init__(how)
        self.how = how
        self.at = at
        self.hung = hung


class FunctionOracle:
    """A kernel's functions, over columns of words. A context manager; not to be shared among threads.

    ``worker`` is the script that serves, see serving.py, and ``what`` it is to load. ``patience`` is how many
    seconds of processor time a batch may take before kernel code counts as hanging. ``more`` are further
    arguments of the worker's own.
    """

    def __init__(self, worker: Path, what: Path, *, patience: float = 10.0, more: Sequence[str] = ()) -> None:
        self._worker = worker
        self._more = more
        self._what = what
        self._patience = patience
        try:
            self._fd = os.memfd_create("conformance-functions")
            os.ftruncate(self._fd, SHARED_BYTES)
            self._shared = mmap.mmap(self._fd, SHARED_BYTES)
        except OSError as problem:
            raise no_process(problem) from problem
        self._at = np.frombuffer(self._shared, np.uint64, 8, AT)
        self._inputs = np.frombuffer(self._shared, np.uint64, CELLS, INPUTS)
        self._outputs = np.frombuffer(self._shared, np.uint64, CELLS, OUTPUTS)
        self._child: subprocess.Popen[str] | None = None
        self._host: list[int] = []
        self._expected: list[str] = []
        self._deadly: dict[tuple[int, ...], KernelDied] = {}
        self._running: tuple[Entry, int] | None = None
        self.why_not: Mapping[str, str] = {}
        """Of functions that are no entries, why this oracle cannot be asked about them."""
        self.unexpected = ""
        """The last event of the last run that was not among the expected ones."""
        self.entries: dict[str, Entry] = {
            name: Entry(index, nr_in, nr_out)
            for index, (name, nr_in, nr_out) in enumerate(self._ask("entries"))
        }

    def __enter__(self) -> FunctionOracle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child process."""
        self._end_child()
        os.close(self._fd)

    def configure(self, host: Mapping[str, int], events: Sequence[str] = ()) -> None:
        """Bring the masks to those of a host; name the ``events`` to be counted, each in its byte.

        Does nothing where it is so already. Raises KernelDied, at case 0, if the mask setters crash or hang
        on this host, at once where they did before.
        """
        if len(events) > NR_EVENTS:
            raise ValueError(f"at most {NR_EVENTS} kinds of events can be told apart, not {len(events)}")
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
        """Start running ``entry`` on a batch: a row a column, ``entry.nr_in`` of them."""
        columns, n = batch.shape
        if columns != entry.nr_in:
            raise ValueError(f"the entry takes {entry.nr_in} columns, not {columns}")
        self._inputs[: columns * n].reshape(columns, n)[:] = batch
        self._at[:] = 0
        self._send("run", entry.index, n)
        self._running = (entry, n)

    def collect(self) -> NDArray[np.uint64]:
        """What the submitted batch gave: a row a column, the last counting events. Valid until the next.

        Raises KernelDied if kernel code crashed or hung, Lacking if it needed what the suite or the system
        lacks; the next batch then runs in a new process.
        """
        assert self._running is not None, "nothing was submitted"
        entry, n = self._running
        self._running = None
        self.unexpected = self._receive()
        rows = entry.nr_out + 1
        return self._outputs[: rows * n].reshape(rows, n)

    def run(self, entry: Entry, batch: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """submit() and collect()."""
        self.submit(entry, batch)
        return self.collect()

    def covered(self) -> list[int]:
        """The offsets in a shim of the kernel's functions that ran since this was last asked.

        Only one that is traced knows; see build_shim().
        """
        found: list[int] = self._ask("covered")
        return found

    def _ask(self, *request: Any) -> Any:
        self._send(*request)
        return self._receive()

    def _send(self, *request: Any) -> None:
        if self._child is None:
            self._start_child()
        assert self._child is not None and self._child.stdin is not None
        # Of a child that has died the answer will be missing; that is told there.
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()

    def _receive(self) -> Any:
        assert self._child is not None and self._child.stdout is not None
        # The child watches its own processor time; this is for kernel code that sleeps.
        spent = -1.0
        while not select.select([self._child.stdout], [], [], SLEEPING * self._patience)[0]:
            before, spent = spent, _processor_time(self._child.pid)
            if spent <= before:
                self._end_child()
                raise KernelDied("did not come back", int(self._at[0]), hung=True)
        line = self._child.stdout.readline()
        if not line:
            # No kernel code runs in this one, which only waits for those in which it does.
            status = self._child.wait()
            self._end_child()
            raise no_process(status)
        answer = json.loads(line)
        if isinstance(answer, dict) and "refused" in answer:
            self._end_child()
            raise ConformanceError(answer["refused"])
        if isinstance(answer, dict):
            self._host, self._expected = [], []
            raise self._death(answer["died"], answer["code"])
        return answer

    def _death(self, how: str, code: int) -> KernelDied | Lacking:
        """What it means that a process ended with this code, ``how`` in words."""
        if -code not in {*KERNELS_OWN, signal.SIGVTALRM}:
            return no_process(code)
        return KernelDied(self._explained(how), int(self._at[0]), hung=code == -signal.SIGVTALRM)

    def _explained(self, how: str) -> str:
        """How kernel code died, with what is known of it besides."""
        return how

    def _start_child(self) -> None:
        try:
            self._child = self._new_child()
        except OSError as problem:
            raise no_process(problem) from problem

    def _new_child(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, str(self._worker), str(self._what)),
                *(str(self._fd), str(self._patience), *self._more),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._fd],
            text=True,
            # By its path, and finding this package: whatever lies in the current directory.
            env={**os.environ, "PYTHONPATH": import_path()},
            start_new_session=True,
        )

    def _end_child(self) -> None:
        child, self._child = self._child, None
        self._host, self._expected = [], []
        if child is not None:
            # With the process that it forked, which may be hanging.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            for pipe in (child.stdin, child.stdout):
                with contextlib.suppress(BrokenPipeError):
                    if pipe is not None:
                        pipe.close()


def _processor_time(pid: int) -> float:
    """Seconds that the children of a process have had of a processor; they may be kept from it by others."""
    total = 0.0
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total
