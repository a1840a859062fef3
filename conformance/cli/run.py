# SPDX-License-Identifier: GPL-2.0-only
"""``conformance run``: compare kernels with the model, show what came of it, and exit accordingly."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from conformance.cli.options import (
    budget_option,
    check_case,
    compilers_option,
    destinations,
    jobs_option,
    kernel_options,
    mode_option,
    oracle_options,
    property_options,
    report_options,
    seed_option,
    time_limit_option,
)
from conformance.deadline import disarm
from conformance.errors import ConformanceError
from conformance.reports.files import abandon
from conformance.reports.text import line

if TYPE_CHECKING:
    from rich.console import Console

    from conformance.differential.verdict import KernelReport, Report, Result
    from conformance.reports.files import Destination

__all__ = ["deliver", "each_compiler", "printed", "run", "tell", "watching"]

Progress = Callable[[str], None]
Advance = Callable[["Result"], None]


@click.command()
@kernel_options
@compilers_option
@property_options("Compare")
@click.option(
    "--engine", "engines", multiple=True, metavar="NAME", help="Explore with this one only, e.g. bulk."
)
@oracle_options
@mode_option
@budget_option(60.0, "Wall time of comparing a kernel, proofs included; fetching and compiling it is not.")
@seed_option()
@jobs_option
@time_limit_option
@report_options
@click.option(
    "--profile",
    type=click.Choice(["ci", "default", "nightly"]),
    default="default",
    show_default=True,
    envvar="CONFORMANCE_PROFILE",
    help="How the fuzz engine explores: repeatably, usually, or at length.",
)
@click.pass_context
def run(ctx: click.Context, compilers: tuple[str, ...], **given: Any) -> None:
    """Compare the model with real kernel code, property by property, in every mode.

    Exit status: 0 conforms, 1 a difference was found, 2 could not be judged.
    """
    check_case(given["case"], given["only"])
    places = destinations(given)
    del given["bisect"]  # Commands.main() acts on it: it also holds where the options cannot be read.
    given["patches"] = tuple(Path(patch) for patch in given["patches"])
    with watching() as (progress, advance):
        # Here and not above: numpy and cffi take longer to load than --help should.
        from conformance.differential.property_plan import PropertyPlan
        from conformance.differential.run_properties import run as compare

        def judge(seed: int | None) -> Report:
            plan = PropertyPlan(**given | {"seed": seed})
            return compare(plan, progress=progress, advance=advance)

        report = each_compiler(compilers, judge, given["seed"])
    ctx.exit(tell(report, places))


def each_compiler(
    compilers: Sequence[str], judge: Callable[[int | None], Report], seed: int | None = None
) -> Report:
    """One report of what is judged with each compiler, by the same seed; with none named the usual one."""
    from conformance.differential.verdict import Report
    from conformance.kernels.compilers import chosen, using

    names: list[str | None] = [*dict.fromkeys(compilers)] or [None]
    for name in names:
        # Before any of them takes its time.
        with using(name):
            chosen()
    kernels: list[KernelReport] = []
    spent: list[float | None] = []
    for name in names:
        with using(name):
            report = judge(seed)
        seed = report.seed
        kernels += report.kernels
        spent.append(report.seconds)
    return Report(kernels, seed, sum(filter(None, spent)) if any(spent) else None)


def tell(
    report: Report, places: dict[str, Destination | None], show: Callable[[Console], None] | None = None
) -> int:
    """Show the table, write the other formats, and return the exit status.

    ``show`` prints it otherwise than as a table of properties.
    """
    from conformance.reports import terminal

    def render(name: str) -> str:
        text: str = importlib.import_module(f"conformance.reports.{name}").render(report)
        return text

    return deliver(report.status, show or partial(terminal.show, report), render, places)


def deliver(
    status: int,
    show: Callable[[Console], None],
    render: Callable[[str], str],
    places: dict[str, Destination | None],
) -> int:
    """Show an outcome, write it in the other formats as ``render`` makes them, and return the exit status.

    A report that cannot be written turns "conforms" into "could not be judged", but never hides a
    difference: that one is on the screen.
    """
    from conformance.reports.terminal import Screen

    disarm()
    screen = sys.stderr if None in places.values() else sys.stdout
    status = _print(lambda: show(Screen(screen)), screen, status)
    for name, place in places.items():
        try:
            text = render(name)
            if place is None:
                status = _print(partial(sys.stdout.write, text), sys.stdout, status)
            else:
                place.write(text)
        except ConformanceError as problem:
            _whisper(f"conformance: {problem}")
            status = status or 2
    return status


def printed(text: str, stream: IO[str]) -> int:
    """Print a piece of the results at once, above a bar if there is one; 0, or 2 if it cannot be written."""
    # Not by a console: that would go past what keeps the bar below.
    return _print(partial(stream.write, text), stream, 0)


def _print(write: Callable[[], object], stream: IO[str], status: int) -> int:
    """Print results; the status where that fails: a reader who left (``| head``) has seen enough.

    ``write`` writes to ``stream`` and nowhere else, so that an error can be no other's.
    """
    try:
        write()
        stream.flush()
    except BrokenPipeError:
        abandon(stream)
    except OSError as problem:
        abandon(stream)
        _whisper(f"conformance: cannot write the results: {problem.strerror}.")
        return status or 2
    return status


@contextlib.contextmanager
def watching() -> Iterator[tuple[Progress, Advance]]:
    """Progress on stderr: a bar on a terminal, otherwise a line per step and per difference."""
    if not sys.stderr.isatty():
        yield _whisper, _alarm
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f} results"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bar:
        # How many results there will be depends on the kernels, so the bar moves without an end.
        task = bar.add_task("starting", total=None)

        def progress(message: str) -> None:
            bar.update(task, description=line(message))

        def advance(result: Result) -> None:
            bar.advance(task)
            if result.verdict.value == "FAIL":
                bar.console.print(Text(_found(result), style="bold red"), soft_wrap=True)

        yield progress, advance


def _whisper(message: str) -> None:
    # A closed stderr is no reason to stop comparing.
    with contextlib.suppress(OSError):
        click.echo(line(message), err=True)


def _alarm(result: Result) -> None:
    if result.verdict.value == "FAIL":
        _whisper(_found(result))


def _found(result: Result) -> str:
    return line(f"difference found: {result.property} {result.mode} by {result.engine}")
