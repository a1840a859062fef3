# SPDX-License-Identifier: GPL-2.0-only
"""A campaign from its plan to the last row: its directory is claimed, and what is missing is carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conformance.campaigns.campaign import Campaign
from conformance.campaigns.cluster import opened
from conformance.campaigns.engine import Engine, Watch
from conformance.campaigns.guide import Guide
from conformance.campaigns.results import claimed, read
from conformance.campaigns.unit import Kind, Order, Patch
from conformance.errors import ConformanceError
from conformance.kernels import expand
from conformance.kernels.compilers import asked
from conformance.kernels.mails import MOST_BYTES
from conformance.kernels.reading import read_file
from conformance.sandbox.processes import Ended

__all__ = ["Means", "order_of", "run"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Means:
    """With what a campaign is carried out, which its results do not depend on.

    ``scheduler``: the address of Dask's, None for ``jobs`` processes on this machine. ``budget``: seconds of
    computing time, after which no further units are handed out.
    """

    out: Path
    scheduler: str | None = None
    jobs: int = 2
    resume: bool = False
    budget: float | None = None


def order_of(kernels: tuple[str, ...], patches: tuple[Path, ...], modes: tuple[str, ...], seed: int) -> Order:
    """What all units share. Raises ConformanceError for an unknown kernel or an unreadable patch."""
    contents = []
    for path in patches:
        try:
            contents.append(Patch(str(path), read_file(path, MOST_BYTES)))
        except OSError as problem:
            raise ConformanceError(f"--patch {path}: cannot be read: {problem.strerror}.") from problem
    return Order(tuple(expand(list(kernels))), tuple(contents), modes, seed, asked())


def run(
    kind: Kind, order: Order, means: Means, progress: Progress, watch: Watch, guide: Guide | None = None
) -> Campaign:
    """Carry out a campaign, or what is missing of it. Raises ConformanceError if that is not possible.

    A ``guide`` gives units what others have found. Rows in the file stay there, whatever ends the command.
    """
    units = kind.units()
    with claimed(means.out) as results:
        finished = results.finished(kind, resume=means.resume)
        left = [unit for unit in units if unit.id not in finished]
        if guide is not None:
            for unit, rows in results.rows().items():
                guide.learn(unit, rows)
        progress(f"{len(left)} of {len(units)} units are to be carried out; results go to {results.file}")
        if not left:
            results.begin(kind, len(units))
        else:
            with opened(kind, order.compiler, means.scheduler, means.jobs) as cluster:
                progress(f"scheduler {cluster.address} with {len(cluster.workers)} workers")
                dashboard = cluster.dashboard
                progress(f"dashboard {dashboard}" if dashboard else _NO_DASHBOARD)
                results.begin(kind, len(units))
                spent = sum(seconds for _, seconds in read(means.out).units)
                engine = Engine(kind, cluster, results, left, len(units), watch, means.budget, spent, guide)
                try:
                    engine.prepare()
                    engine.run()
                except Ended:
                    progress(f"{engine.done} of {len(units)} units are finished; go on with --resume")
                    raise
        if guide is not None:
            guide.close()
        return read(means.out)


_NO_DASHBOARD = "no dashboard: that needs bokeh where the scheduler runs"
