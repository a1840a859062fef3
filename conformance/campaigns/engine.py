# SPDX-License-Identifier: GPL-2.0-only
"""The engine: units go from the plan to the cluster, and their rows to the file, each once.

A unit whose worker dies is carried out by another one. If the scheduler is lost, all units that are under way
are submitted again as soon as it answers. A unit is written when its rows arrive, in one transaction; the
command is the only writer. Whatever ends the command, what was written stays.
"""

from __future__ import annotations

import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from distributed import Future

from conformance.campaigns.cluster import Cluster
from conformance.campaigns.guide import Guide
from conformance.campaigns.results import Results
from conformance.campaigns.unit import Done, Kind, Unit, suite_version
from conformance.campaigns.worker import prepare, work
from conformance.differential.verdict import Verdict
from conformance.errors import ConformanceError
from conformance.sandbox.processes import Ended

__all__ = ["Engine", "Status", "Watch"]

AHEAD = 2
"""The number of units that wait at the scheduler for each worker, so that none is idle."""

WITHOUT_WORKERS = 600.0
"""Seconds to wait for workers after all were lost."""

INTERVAL = 0.25
"""Seconds to wait for rows before the next look at the cluster."""

REFUSALS = 40
"""How often in a row a scheduler that is there may refuse a unit, once for each INTERVAL."""

LOOKING = 2.0
"""Seconds after which the workers are counted again."""


@dataclass(frozen=True)
class Status:
    """The progress of a campaign. ``left``: the estimate of the remaining seconds, None if not known yet."""

    done: int
    planned: int
    workers: int
    running: tuple[str, ...]
    verdicts: Counter[str]
    left: float | None


Watch = Callable[[Status], None]


@dataclass
class Engine:
    """Carries out units of a kind on a cluster.

    ``budget``: seconds of computing time, of all workers together; None without a limit.
    """

    kind: Kind
    cluster: Cluster
    results: Results
    units: Sequence[Unit]
    planned: int
    """The number of units of the whole campaign, those included that are finished already."""
    watch: Watch
    budget: float | None = None
    spent: float = 0.0
    """Computing time of the units that are finished."""
    guide: Guide | None = None
    """What gives units the findings of others; without it all are independent."""
    _waiting: deque[Unit] = field(default_factory=deque)
    _flying: dict[str, tuple[Unit, Future[Any]]] = field(default_factory=dict)
    _landed: queue.SimpleQueue[tuple[int, Unit, Done | BaseException]] = field(
        default_factory=queue.SimpleQueue
    )
    _connection: int = 0
    _attempts: Counter[str] = field(default_factory=Counter)
    _verdicts: Counter[str] = field(default_factory=Counter)
    _finished: int = 0
    _written: int = 0
    _refusals: int = 0
    _workers: int = 1
    _begun: float = field(default_factory=time.monotonic)
    _seen: float = field(default_factory=time.monotonic)
    """When there were workers."""
    _looked: float = 0.0
    """When the workers were counted."""

    def prepare(self) -> None:
        """Prepare each host that has workers now.

        Raises ConformanceError if nothing can be prepared, or if a host cannot prepare what others can: its
        workers would fail at once, so that they would be given most of the units.
        """
        hosts = {one["host"]: address for address, one in self.cluster.workers.items()}
        tasks = {
            (host, what): self.cluster.submit(
                prepare, self.kind, what, key=f"prepare-{host}-{number}", worker=address
            )
            for host, address in hosts.items()
            for number, what in enumerate(self.kind.preparations())
        }
        answers = {}
        for place, task in tasks.items():
            try:
                answers[place] = str(task.result())
            except Exception:  # The worker or the scheduler died: units prepare what is missing.
                answers[place] = ""
        if answers and all(answers.values()):
            raise ConformanceError(next(iter(answers.values())))
        for (host, what), why in answers.items():
            if why and not all(answers[other, what] for other in hosts):
                raise ConformanceError(
                    f"{host} cannot prepare {what}, which other machines can: {why} "
                    "End its workers, or give it what it lacks, and go on with --resume."
                )

    def __post_init__(self) -> None:
        self._waiting.extend(self.units)

    def run(self) -> None:
        """Carry out the units, and write their rows, until all are or the budget is used up.

        Raises ConformanceError if units cannot be carried out or their rows cannot be written.
        """
        self._begun = self._seen = time.monotonic()
        try:
            while self._waiting or self._flying:
                if self.budget is not None and self.spent >= self.budget:
                    return
                self._look()
                self._submit()
                arrived = self._arrived(INTERVAL)
                self._write(arrived)
                if self.guide is not None:
                    for done in arrived:
                        self.guide.learn(done.unit.id, done.rows)
                self.watch(self._status())
        except Ended:
            self._write(self._arrived(0))
            raise

    def _write(self, arrived: Sequence[Done]) -> None:
        self.results.write(arrived)
        self._written += len(arrived)

    def _look(self) -> None:
        """Count the workers, and go on with a scheduler that was restarted."""
        if self.cluster.lost:
            self._connection += 1
            self._waiting.extendleft(unit for unit, _ in [*self._flying.values()][::-1])
            self._flying.clear()
            self.cluster.reconnect()
        if time.monotonic() - self._looked < LOOKING:
            return
        self._looked = time.monotonic()
        self._workers = len(self.cluster.workers)
        if self._workers:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > WITHOUT_WORKERS:
            raise ConformanceError(
                f"The scheduler {self.cluster.address} has had no workers for {WITHOUT_WORKERS:g} s. "
                "Start some, and go on with --resume."
            )

    def _submit(self) -> None:
        while len(self._flying) < max(self._workers, 1) * (1 + AHEAD):
            unit = self._next()
            if unit is None:
                return
            self._attempts[unit.id] += 1
            key = f"{unit.kind}-{unit.id}-{self._attempts[unit.id]}"
            try:
                future = self.cluster.submit(work, self.kind, unit, suite_version(), key=key)
            except Exception as problem:  # The scheduler may have been lost at this moment.
                self._waiting.appendleft(unit)
                self._refusals += 1
                if self._refusals > REFUSALS:
                    raise ConformanceError(
                        f"The scheduler {self.cluster.address} takes no units ({type(problem).__name__}: "
                        f"{problem})."
                    ) from problem
                return
            self._refusals = 0
            self._flying[unit.id] = unit, future
            future.add_done_callback(partial(self._land, self._connection, unit))

    def _next(self) -> Unit | None:
        """The next unit; None if each waits for rows of others, or all are under way."""
        for at, unit in enumerate(self._waiting):
            supplied = unit if self.guide is None else self.guide.supplied(unit)
            if supplied is not None:
                del self._waiting[at]
                return supplied
        return None

    def _land(self, connection: int, unit: Unit, future: Future[Any]) -> None:
        """Called in a thread of Dask when a unit is finished or lost: fetch its rows."""
        try:
            found = future.result(timeout=30)
        except BaseException as problem:
            found = problem
        self._landed.put((connection, unit, found))

    def _arrived(self, patience: float) -> list[Done]:
        """The units whose rows have arrived, after waiting for a first one."""
        found: list[Done] = []
        end = time.monotonic() + patience
        while True:
            try:
                connection, unit, landed = self._landed.get(timeout=max(end - time.monotonic(), 0.001))
            except queue.Empty:
                return found
            if connection != self._connection or unit.id not in self._flying:
                continue
            del self._flying[unit.id]
            done = self._judged(unit, landed)
            if done is None:
                self._waiting.appendleft(unit)
                continue
            found.append(done)
            self.spent += done.seconds
            self._finished += 1
            self._verdicts.update(row.verdict for row in done.rows)

    def _judged(self, unit: Unit, landed: Done | BaseException) -> Done | None:
        """The rows of a unit; None if it is to be carried out again."""
        if isinstance(landed, Done):
            if landed.suite != suite_version():
                raise ConformanceError(
                    f"A worker on {landed.host} has version {landed.suite} of the suite, where this command "
                    f"is {suite_version()}. Install the same version there, and go on with --resume."
                )
            return landed
        if type(landed).__name__ == "KilledWorker":
            reason = "each worker that was given it died, as happens when memory runs out"
            return Done(unit, "", 0.0, (unit.row(Verdict.ERROR.value, reason),), suite_version())
        if type(landed).__name__ in ("CancelledError", "FutureCancelledError", "TimeoutError"):
            return None
        raise ConformanceError(
            f"The scheduler {self.cluster.address} cannot carry out units "
            f"({type(landed).__name__}: {landed}). It needs the same version of the suite as its workers."
        )

    @property
    def done(self) -> int:
        """The number of units whose rows are in the file."""
        return self.planned - len(self.units) + self._written

    def _status(self) -> Status:
        left = None
        if self._finished:
            remaining = len(self._waiting) + len(self._flying)
            left = (time.monotonic() - self._begun) / self._finished * remaining
            if self.budget is not None:
                left = min(left, max(self.budget - self.spent, 0.0) / max(self._workers, 1))
        return Status(
            done=self.done,
            planned=self.planned,
            workers=self._workers,
            running=tuple(unit.label for unit, _ in [*self._flying.values()][: self._workers]),
            verdicts=self._verdicts,
            left=left,
        )
