# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns: two workers against one on units of lockstep, and what the engine adds to a unit's time.

A unit walks for a fixed time, so what counts is the number of compared steps. Processes without Dask carry
out such units as well: how much two of them do shows whether two cores are free.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from figures import Figure, per_second

from conformance.campaigns.cluster import Cluster, opened
from conformance.campaigns.engine import Engine
from conformance.campaigns.lockstep import Lockstep
from conformance.campaigns.results import claimed, read
from conformance.campaigns.run_campaign import order_of
from conformance.campaigns.unit import Row, Unit, suite_version
from conformance.campaigns.worker import work
from conformance.kernels.cache import temporary
from conformance.workers import Workers, workers

__all__ = ["campaigning"]

MODE = "ept-ad"
SECONDS = 5.0
"""Of a unit."""
UNITS = 4
"""For each worker, in one repetition."""
DOUBLE, SHARE = 1.8, 0.05
"""What two workers should do at least of what one does; what the engine may add to a unit's time."""
BUSY = (
    f"Where two processes without Dask do less than {DOUBLE} times the work of one, two cores are not free,"
    " and two workers are compared with them alone."
)


@dataclass(frozen=True)
class _Measured:
    """What was measured while units were carried out.

    ``rate``: compared steps a second, of all workers. ``between``: the workers' time in which no unit ran, as
    a share of that in which one did. ``own``: the processor time of this process, which has the scheduler
    and writes the results, as the same share.
    """

    rate: float
    between: float
    own: float


Run = Callable[[Sequence[Unit]], tuple[Sequence[Row], float]]
"""Carries out units; their rows, and the seconds that the units took together."""


def campaigning(repeats: int) -> list[Figure]:
    """The figures on kernel 6.1 in one mode. Raises ConformanceError, RuntimeError."""
    kind = Lockstep(order_of(("6.1",), (), (MODE,), 1), SECONDS, 1e5, guided=False)
    units = iter(kind.units())
    found: dict[tuple[str, int], list[_Measured]] = {}
    with ExitStack() as stack:
        place = stack.enter_context(temporary("bench"))
        runs: dict[tuple[str, int], Run] = {}
        for jobs in (1, 2):
            cluster = stack.enter_context(opened(kind, kind.order.compiler, None, jobs))
            runs["Dask", jobs] = _Campaign(kind, cluster, place / f"{jobs}")
            runs["alone", jobs] = _Alone(kind, stack.enter_context(workers(jobs)))
        for repeat in range(repeats + 1):
            for key, run in runs.items():
                measured = _measured(run, key[1], units)
                # The first time, each process makes the kernel ready.
                if repeat:
                    found.setdefault(key, []).append(measured)
    return _figures(found)


def _figures(found: dict[tuple[str, int], list[_Measured]]) -> list[Figure]:
    rate = {key: statistics.median(one.rate for one in each) for key, each in found.items()}
    alone, dask = rate["alone", 2] / rate["alone", 1], rate["Dask", 2] / rate["Dask", 1]
    free = alone >= DOUBLE
    engine = [
        (
            f"time between units, {jobs} at a time",
            statistics.median(one.between for one in found["Dask", jobs]),
        )
        for jobs in (1, 2)
    ]
    own = statistics.median(one.own for one in found["Dask", 2])
    engine.append(("processor time of command and scheduler", own))
    return [
        Figure(f"one process without Dask, lockstep {MODE}, steps", per_second(rate["alone", 1]), "1"),
        Figure("two processes without Dask", per_second(rate["alone", 2]), f"{alone:.3g}"),
        Figure("one worker of a campaign", per_second(rate["Dask", 1]), "1"),
        Figure(
            "two workers of a campaign",
            per_second(rate["Dask", 2]),
            f"{dask:.3g}",
            f"≥ {DOUBLE} × one worker",
            dask >= DOUBLE if free else None,
            BUSY,
        ),
        Figure(
            "  to two processes without Dask",
            "",
            f"{dask / alone:.3g}",
            f"≥ {DOUBLE / 2:g}",
            dask / alone >= DOUBLE / 2,
        ),
        *(
            Figure(
                f"{what}, to that of units of {SECONDS:g} s", "", f"{share:.3f}", f"≤ {SHARE}", share <= SHARE
            )
            for what, share in engine
        ),
    ]


def _measured(run: Run, jobs: int, units: Iterator[Unit]) -> _Measured:
    """Carry out the next units."""
    start, own = time.monotonic(), time.process_time()
    rows, busy = run([*islice(units, UNITS * jobs)])
    took, own = time.monotonic() - start, time.process_time() - own
    if wrong := [row.reason for row in rows if row.verdict != "PASS"]:
        raise RuntimeError(f"a unit was not compared, so that figures say nothing: {wrong[0]}")
    return _Measured(sum(row.steps for row in rows) / took, took * jobs / busy - 1, own / busy)


class _Campaign:
    """Carries out units on a cluster, each time with results of their own."""

    def __init__(self, kind: Lockstep, cluster: Cluster, place: Path) -> None:
        self._kind, self._cluster, self._place = kind, cluster, place
        self._made = 0

    def __call__(self, units: Sequence[Unit]) -> tuple[Sequence[Row], float]:
        self._made += 1
        with claimed(self._place / f"{self._made}") as results:
            results.begin(self._kind, len(units))
            Engine(self._kind, self._cluster, results, units, len(units), lambda status: None).run()
            found = read(results.folder)
        return found.rows, found.seconds


class _Alone:
    """Carries out units in processes without Dask."""

    def __init__(self, kind: Lockstep, pool: Workers) -> None:
        self._kind, self._pool = kind, pool

    def __call__(self, units: Sequence[Unit]) -> tuple[Sequence[Row], float]:
        futures = [self._pool.submit(work, self._kind, unit, suite_version()) for unit in units]
        done = [future.result() for future in futures]
        return [row for one in done for row in one.rows], sum(one.seconds for one in done)
