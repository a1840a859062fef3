# SPDX-License-Identifier: GPL-2.0-only
"""``conformance patch``: what each patch of a series changes, and whether it keeps its promise."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import click

from conformance.cli.kept import kept
from conformance.cli.options import (
    budget_option,
    cc_option,
    check_case,
    destinations,
    fuzz_option,
    gate_options,
    jobs_option,
    mode_option,
    property_options,
    report_options,
    seed_option,
    time_limit_option,
)
from conformance.cli.run import deliver, watching
from conformance.errors import ConformanceError
from conformance.sandbox.processes import Ended

if TYPE_CHECKING:
    from conformance.kernels import Kernel
    from conformance.reports.files import Destination
    from conformance.review import Review
    from conformance.review.judging_series import Compare, Judged, Listener, SeriesReview
    from conformance.review.outcome import Gate

__all__ = ["comparing", "patch"]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|A..B|REV...")
@click.option("--onto", metavar="SEL", help="The kernel without them: 6.1; of commits, that before them.")
@fuzz_option
@property_options("Run")
@mode_option
@cc_option
@budget_option(2.0, "Comparing properties, for each patch.")
@seed_option(0)
@jobs_option
@gate_options
@click.option("--verbose", is_flag=True, help="Name every story and every function.")
@report_options
@time_limit_option
@click.pass_context
def patch(
    ctx: click.Context,
    files: tuple[str, ...],
    onto: str | None,
    jobs: int,
    fail_on: str,
    strict: bool,
    verbose: bool,
    **given: Any,
) -> None:
    """Say what patches change: each on top of the one before, then all of them together.

    FILE is a mail, an mbox or a diff; - is stdin. Parts of a series are put in order. A..B and REV are
    commits of the tree that --onto names, or of the current directory. The patched code is compiled and run
    here, as you: read it first. Each patch is shown as soon as it is judged.

    Exit status: 0 behaviour was not seen to change, 1 it changes, 2 could not be judged; --fail-on and
    --strict choose otherwise.
    """
    check_case(given["case"], given["only"])
    files = kept(files)
    places = destinations(given)
    del given["bisect"]  # Commands.main() acts on it: it also holds where the options cannot be read.
    screen = _screen(places)
    with watching() as (progress, _):
        from conformance.kernels.compilers import chosen
        from conformance.kernels.selector import DEFAULT
        from conformance.review import judging_series
        from conformance.review.commits import find_commits
        from conformance.review.outcome import FailOn, Gate
        from conformance.review.series import read_series

        gate = Gate(FailOn(fail_on), strict)
        commits = find_commits(files, onto)
        series = read_series(files, commits)
        onto = onto or DEFAULT if commits is None else commits.onto
        command = shlex.join(["conformance", "patch", *files, "--onto", onto, *chosen().arguments])
        compare = comparing(command, progress, **given)
        heard: list[judging_series.Judged] = []
        shown, wrote = _listener(verbose, screen, heard)
        try:
            told = judging_series.judge(series, onto, compare, progress, jobs=jobs, listener=shown)
        except Ended as ended:
            told = judging_series.cut_short(series, onto, heard, f"not reached: {ended}")
            progress(f"{ended}: {len(told.parts) - len(heard)} patches were not reached")
    render = partial(_render, told, given["seed"], gate, verbose)
    status = told.status(gate) or max(wrote)
    ctx.exit(deliver(status, lambda console: None, render, places))


def _listener(
    verbose: bool, stream: Callable[[], IO[str]], heard: list[Judged]
) -> tuple[Listener, list[int]]:
    """What shows each patch as soon as it is judged, and notes it in ``heard``; and what printing came to."""
    from conformance.cli.run import printed
    from conformance.reports.review_mail import heading, section
    from conformance.review.judging_series import Listener

    wrote: list[int] = [0]

    class Shown(Listener):
        """Prints as it hears."""

        def begin(self, count: int, base: str, notes: Sequence[str]) -> None:
            """The first lines."""
            wrote.append(printed(heading(count, base, notes), stream()))

        def tell(self, one: Judged) -> Judged:
            """A patch, or the whole."""
            heard.append(one)
            wrote.append(printed(section(one, verbose=verbose), stream()))
            return one

    return Shown(), wrote


def _screen(places: dict[str, Destination | None]) -> Callable[[], IO[str]]:
    """Where results are shown; on a terminal, above the bar that shows the progress."""
    screen = sys.stderr if None in places.values() else sys.stdout
    if screen.isatty():
        return lambda: sys.stderr if screen is sys.__stderr__ else sys.stdout
    return lambda: screen


def comparing(command: str, progress: Any, **plan: Any) -> Compare:
    """How two kernels are compared with a plan. ``command`` begins the one that shows a difference again.

    Raises ConformanceError about a plan that names what there is not.
    """
    from conformance.differential.selection import check_wanted
    from conformance.review.difference import compare as compare_kernels
    from conformance.review.plan import ReviewPlan

    looking = ReviewPlan(**plan)
    check_wanted(looking.only, looking.modes, looking.case)

    def compare(before: Kernel, after: Kernel, suspects: Sequence[str]) -> Review:
        review = compare_kernels(before, after, replace(looking, suspects=tuple(suspects)), progress)
        if looking.only and not review.functions:
            raise ConformanceError("No property that was asked for executes what it changes.")
        functions = []
        for one in review.functions:
            if one.difference is not None:
                # What it says is for diff, which cannot name a patch in the middle of a series.
                again = one.difference.again.replace("conformance diff", command, 1)
                one = replace(one, difference=replace(one.difference, again=again))
            functions.append(one)
        return replace(review, functions=tuple(functions))

    return compare


def _render(told: SeriesReview, seed: int, gate: Gate, verbose: bool, name: str) -> str:
    from conformance.reports import review_mail, sarif, series

    if name == "mail":
        return review_mail.render_series(told, verbose=verbose)
    if name in ("sarif", "json"):
        return sarif.render_series(told) if name == "sarif" else series.render(told)
    text: str = importlib.import_module(f"conformance.reports.{name}").render(
        series.as_report(told, seed, gate)
    )
    return text
