# SPDX-License-Identifier: GPL-2.0-only
"""``conformance campaign``: many units of work on this machine's cores or on a cluster, and their report."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.options import (
    Seconds,
    budget_option,
    cc_option,
    destinations,
    jobs_option,
    kcidb_option,
    kernel_options,
    mode_option,
    seed_option,
    time_limit_option,
)
from conformance.cli.run import deliver, note
from conformance.errors import ConformanceError
from conformance.reports.text import duration, line

if TYPE_CHECKING:
    from conformance.campaigns.campaign import Campaign
    from conformance.campaigns.engine import Status, Watch
    from conformance.campaigns.guide import Guide
    from conformance.campaigns.unit import Kind, Order

__all__ = ["campaign"]

Command = Callable[..., Any]

EVERY = 10.0
"""Seconds between lines of progress where there is no terminal."""


class Time(Seconds):
    """A time in seconds, or with a unit: 90, 90s, 30m, 8h, 2d."""

    name = "time"
    instead = "a time above zero, such as 90, 30m, 8h or 2d"

    def read(self, text: str) -> float:
        """The time in seconds."""
        number, unit = (text[:-1], text[-1]) if re.search(r"[0-9.][smhd]$", text) else (text, "s")
        return super().read(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def time_option(name: str, default: str, words: str) -> Callable[[Command], Command]:
    """An option that takes a time."""
    return click.option(name, type=Time(), default=default, show_default=True, metavar="TIME", help=words)


@click.group()
def campaign() -> None:
    """Carry out many units of work on Dask, and report what they found.

    Without --scheduler this machine's cores are used. Results are rows of a DuckDB file in the directory of
    the campaign; what is in it stays there whatever ends the command, and --resume goes on. Needs the extra
    'campaign': pip install '.[campaign]'.
    """


def means_options(out: str) -> Callable[[Command], Command]:
    """--scheduler, --jobs, --out, --resume and --time-limit: with what a campaign is carried out."""
    options = (
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Use Dask's scheduler at this address; without it, --jobs processes of this machine.",
        ),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            default=out,
            show_default=True,
            metavar="DIR",
            help="The directory of the results.",
        ),
        click.option("--resume", is_flag=True, help="Go on with the campaign in that directory."),
        jobs_option,
        time_limit_option,
        cc_option,
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@campaign.command()
@kernel_options
@mode_option
@time_option("--budget", "10m", "Computing time, of all workers together.")
@time_option("--unit", "30s", "The time of one unit: one mode of one kernel from one seed.")
@click.option(
    "--uniform",
    is_flag=True,
    help="Draw all stories alike; without it they are guided by what they reach in the kernel's MMU.",
)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Begin with the stories in this directory, and keep there those that reach most.  [default: only"
    " keep them, in the directory of the campaign]",
)
@seed_option(0)
@means_options("campaign-lockstep")
@click.pass_context
def lockstep(
    ctx: click.Context, budget: float, unit: float, uniform: bool, corpus: Path | None, **given: Any
) -> None:
    """Run lockstep in every mode of every kernel, from many seeds.

    Each mode gets one unit at least; a larger --budget with --resume adds further seeds. Units vary the
    stories of earlier ones that reached an edge of the MMU's control flow, or a state, that no other had.

    Exit status: 0 conforms, 1 a difference was found, 2 could not be judged.
    """

    def kind(order: Order) -> Kind:
        from conformance.campaigns.lockstep import Lockstep

        return Lockstep(order, unit, budget, guided=not uniform, folder=given["out"])

    def guide(kind: Any) -> Guide:
        from conformance.campaigns.lockstep_guide import LockstepGuide

        return LockstepGuide(kind, corpus)

    if uniform and corpus is not None:
        raise ConformanceError("--corpus is for guided lockstep; leave it or --uniform out.")
    ctx.exit(_report(_carried_out(kind, given, None if uniform else guide), {}))


@campaign.command()
@kernel_options
@click.option(
    "--at",
    multiple=True,
    metavar="PLACE",
    help="Only mutants in this folder or file, or on this line: mmu/, mmu/spte.c or mmu/spte.c:100.",
)
@click.option(
    "--operators",
    multiple=True,
    metavar="NAME|GROUP",
    help="Only these operators, or those of a group: sequential, concurrency, locks, atomics, rcu, ordering; "
    "* stands for any text.",
)
@click.option(
    "--budget",
    type=Time(),
    metavar="TIME",
    help="Computing time, of all workers together and with that of compiling mutants, after which no further "
    "mutant is judged.",
)
@seed_option(0)
@means_options("campaign-mutants")
@click.pass_context
def mutants(ctx: click.Context, at: tuple[str, ...], operators: tuple[str, ...], **given: Any) -> None:
    """Judge every mutant of the executed lines of a kernel's MMU: what detects it, or nothing.

    Mutants are those of 'coverage --compared' and of operators for concurrency, in random order: after a part
    of them the score is an estimate for all.

    Exit status: 0 measured, 2 could not be measured. A survivor is no difference, so it is never 1.
    """

    def kind(order: Order) -> Kind:
        from conformance.campaigns.mutants import Mutants

        return Mutants(order, at, operators)

    ctx.exit(_report(_carried_out(kind, given), {}))


@campaign.command()
@kernel_options
@mode_option
@time_option("--budget", "20m", "Computing time, of all workers together.")
@time_option("--unit", "20s", "The time of one unit: one race, or drawn programs of one mode.")
@seed_option(0)
@means_options("campaign-races")
@click.pass_context
def races(ctx: click.Context, budget: float, unit: float, **given: Any) -> None:
    """Explore races, and drawn programs of two or three threads, on the model and on kernels.

    No invariant may be violated under any schedule. Every race gets one unit at least, and as many units
    explore drawn programs; a larger --budget with --resume adds random schedules and further programs.

    Exit status: 0 conforms, 1 an invariant was violated, 2 could not be judged.
    """

    def kind(order: Order) -> Kind:
        from conformance.campaigns.races import Races

        return Races(order, unit, budget)

    ctx.exit(_report(_carried_out(kind, given), {}))


@campaign.command()
@click.argument("range_", metavar="A..B")
@click.option(
    "--tree",
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    default=".",
    metavar="PATH",
    help="The git tree of the commits, on every worker under this path.  [default: the current directory]",
)
@mode_option
@budget_option(2.0, "Time to compare properties, for each commit.")
@seed_option(0)
@means_options("campaign-commits")
@click.pass_context
def commits(ctx: click.Context, range_: str, tree: str, budget: float, **given: Any) -> None:
    """Judge each commit of a range that touches KVM's MMU, on top of those before it, as 'patch' does.

    Exit status: 0 no change of behaviour was found, 1 one was, 2 could not be judged.
    """

    def kind(order: Order) -> Kind:
        from conformance.campaigns.commits import Commits

        return Commits(order, tree, range_, budget)

    ctx.exit(_report(_carried_out(kind, given), {}))


@campaign.command("kernels")
@click.argument("only", nargs=-1, metavar="[VERSION]...")
@means_options("campaign-kernels")
@click.pass_context
def kernels_(ctx: click.Context, only: tuple[str, ...], **given: Any) -> None:
    """Judge every version that the archive has by the profile of the version before it.

    Each property and story is compared with the model that has the changes of the version before. If that
    does not fit, the changes that explain it are looked for, as 'identify' does. VERSION is one such as
    6.1.187-1, or the beginning of several, such as 6.1; without any, all are judged. With --resume, versions
    that are new in the archive are added.

    Exit status: 0 every version is as its number says, 1 one is not, 2 could not be judged.
    """

    def kind(order: Order) -> Kind:
        from conformance.campaigns.kernels import Kernels

        return Kernels(order, only)

    ctx.exit(_report(_carried_out(kind, given | {"seed": 0}), {}))


@campaign.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", metavar="FILE|-", help="Also write JSON; - is stdout, the table then goes to stderr.")
@click.option("--junit", metavar="FILE", help="Also write JUnit XML.")
@kcidb_option
@click.option("--html", metavar="FILE|DIR", help="Also write a page; in a directory that exists, index.html.")
@click.pass_context
def report(ctx: click.Context, folder: Path, html: str | None, **given: Any) -> None:
    """Show what the campaign in a directory has found by now; it may be running.

    Exit status: 0 conforms, 1 a difference was found, 2 could not be judged.
    """
    page = f"{html}/index.html" if html and Path(html).is_dir() else html
    places = destinations({**given, "html": page}, "html")
    _need("duckdb", *(["jinja2", "squarify"] if "html" in places else []))
    from conformance.campaigns.results import read

    ctx.exit(_report(read(folder), places))


def _need(*modules: str) -> None:
    from conformance.campaigns.extras import need

    need(*modules)


def _carried_out(
    make: Callable[[Order], Kind], given: dict[str, Any], guide: Callable[[Any], Guide] | None = None
) -> Campaign:
    """Carry out a campaign; ``given`` are the options that all kinds share."""
    _need("distributed", "duckdb")
    with _watching() as (progress, watch):
        # Imported here: help must not wait for Dask.
        from conformance.campaigns.run_campaign import Means, order_of, run
        from conformance.kernels.compilers import chosen

        chosen()
        order = order_of(
            given.get("kernels", ()),
            tuple(map(Path, given.get("patches", ()))),
            given.get("modes", ()),
            given["seed"],
        )
        means = Means(given["out"], given["scheduler"], given["jobs"], given["resume"], given.get("budget"))
        kind = make(order)
        return run(kind, order, means, progress, watch, None if guide is None else guide(kind))


def _report(found: Campaign, places: dict[str, Any]) -> int:
    """Show a campaign, write it in other forms, and return the exit status."""
    from conformance.reports.campaign_forms import render, show, status

    return deliver(status(found), partial(show, found), partial(render, found), places)


@contextlib.contextmanager
def _watching() -> Iterator[tuple[Callable[[str], None], Watch]]:
    """Show progress on stderr: a bar on a terminal, otherwise a line now and then."""
    if not sys.stderr.isatty():
        yield note, _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def progress(message: str) -> None:
            bar.console.print(Text(line(message)), soft_wrap=True)

        def watch(status: Status) -> None:
            bar.update(task, completed=status.done, total=status.planned, description=_words(status))

        yield progress, watch


class _Lines:
    """A line of progress at most every few seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, status: Status) -> None:
        import time

        if time.monotonic() >= self._next or status.done == status.planned:
            self._next = time.monotonic() + EVERY
            note(f"{status.done} of {status.planned} units; {_words(status)}")


def _words(status: Status) -> str:
    """What was found, what is running, and the time that is left."""
    found = ", ".join(f"{number} {verdict}" for verdict, number in status.verdicts.most_common())
    running = ", ".join(status.running[:4]) + (", ..." if len(status.running) > 4 else "")
    left = "" if status.left is None else f"about {duration(status.left)} left"
    workers = "1 worker" if status.workers == 1 else f"{status.workers} workers"
    return line("; ".join(filter(None, [found, left, workers, running])))
