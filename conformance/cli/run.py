# SPDX-License-Identifier: GPL-2.0-only
"""``conformance run``: compares kernels with the model; and how any command shows progress and results."""

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
    kcidb_option,
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

__all__ = ["deliver", "each_compiler", "note", "print_part", "run", "watching", "write_report"]

Progress = Callable[[str], None]
Advance = Callable[["Result"], None]


@click.command()
@kernel_options
@compilers_option
@property_options("Compare")
@click.option(
    "--engine", "engines", multiple=True, metavar="NAME", help="Use this engine only, such as bulk."
)
@oracle_options
@mode_option
@budget_option(60.0, "Wall time to compare a kernel, proofs included, without fetching and compiling it.")
@seed_option()
@jobs_option
@time_limit_option
@report_options
@kcidb_option
@click.option(
    "--profile",
    type=click.Choice(["ci", "default", "nightly"]),
    default="default",
    show_default=True,
    envvar="CONFORMANCE_PROFILE",
    help="Settings of the fuzz engine: ci is reproducible, nightly runs longer.",
)
@click.pass_context
def run(ctx: click.Context, compilers: tuple[str, ...], **given: Any) -> None:
    """Compare the model with real kernel code, property by property, in every mode.

    Exit status: 0 conforms, 1 a difference was found, 2 could not be judged.
    """
    check_case(given["case"], given["only"])
    places = destinations(given)
    del given["bisect"]  # Commands.main() handles it, also for errors in the options.
    given["patches"] = tuple(Path(patch) for patch in given["patches"])
    with watching() as (progress, advance):
        # Imported here: help must not wait for numpy and cffi.
        from conformance.differential.property_plan import PropertyPlan
        from conformance.differential.run_properties import run as compare

        def judge(seed: int | None) -> Report:
            plan = PropertyPlan(**given | {"seed": seed})
            return compare(plan, progress=progress, advance=advance)

        report = each_compiler(compilers, judge, given["seed"])
    ctx.exit(write_report(report, places))


def each_compiler(
    compilers: Sequence[str], judge: Callable[[int | None], Report], seed: int | None = None
) -> Report:
    """The results of judge() with each compiler and the same seed; with the default one if none is named."""
    from conformance.differential.verdict import Report
    from conformance.kernels.compilers import chosen, using

    names: list[str | None] = [*dict.fromkeys(compilers)] or [None]
    for name in names:
        # Check all of them before the first run.
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


def write_report(
    report: Report, places: dict[str, Destination | None], show: Callable[[Console], None] | None = None
) -> int:
    """Show a report, write it in the other formats, and return the exit status.

    ``show`` prints the report; by default as a table of properties.
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
    """Show an outcome, write it to ``places`` in the formats that ``render`` makes, and return the status.

    A report that cannot be written turns status 0 into 2. A difference stays status 1: it is on the screen.
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
            note(f"conformance: {problem}")
            status = status or 2
    return status


def print_part(text: str, stream: IO[str]) -> int:
    """Print a part of the results, above a progress bar if there is one; 0, or 2 if it cannot be written."""
    # Not by a console, which would bypass the redirection that keeps the bar below.
    return _print(partial(stream.write, text), stream, 0)


def _print(write: Callable[[], object], stream: IO[str], status: int) -> int:
    """Call ``write``, which writes to ``stream`` only, and return the exit status.

    A broken pipe (``| head``) leaves the status as it is; any other error turns 0 into 2.
    """
    try:
        write()
        stream.flush()
    except BrokenPipeError:
        abandon(stream)
    except OSError as problem:
        abandon(stream)
        note(f"conformance: cannot write the results: {problem.strerror}.")
        return status or 2
    return status


@contextlib.contextmanager
def watching() -> Iterator[tuple[Progress, Advance]]:
    """Show progress on stderr: a bar on a terminal, otherwise a line for each step and difference.

    Yields a function for messages, and one for results.
    """
    if not sys.stderr.isatty():
        yield note, _note_difference
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
        # The number of results depends on the kernels, so the bar has no end.
        task = bar.add_task("starting", total=None)

        def progress(message: str) -> None:
            bar.update(task, description=line(message))

        def advance(result: Result) -> None:
            bar.advance(task)
            if result.verdict.value == "FAIL":
                bar.console.print(Text(_found(result), style="bold red"), soft_wrap=True)

        yield progress, advance


def note(message: str) -> None:
    """Print a message on stderr, on one line."""
    # A closed stderr must not end the comparison.
    with contextlib.suppress(OSError):
        click.echo(line(message), err=True)


def _note_difference(result: Result) -> None:
    if result.verdict.value == "FAIL":
        note(_found(result))


def _found(result: Result) -> str:
    return line(f"difference found: {result.property} {result.mode} by {result.engine}")
