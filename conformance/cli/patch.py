# SPDX-License-Identifier: GPL-2.0-only
"""``conformance patch``: what each patch of a series changes, and whether it changes what it claims."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
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
    kcidb_option,
    mode_option,
    property_options,
    report_options,
    seed_option,
    time_limit_option,
)
from conformance.cli.run import deliver, watching
from conformance.sandbox.processes import Ended

if TYPE_CHECKING:
    from conformance.reports.files import Destination
    from conformance.review.judging_series import Listener
    from conformance.review.outcome import Gate
    from conformance.review.series_review import Judged, SeriesReview

__all__ = ["patch"]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|A..B|REV...")
@click.option(
    "--onto", metavar="SEL", help="The kernel to apply them to.  [default: 6.1; for commits, their parent]"
)
@fuzz_option
@property_options("Run")
@mode_option
@cc_option
@budget_option(2.0, "Time to compare properties, for each patch.")
@seed_option(0)
@jobs_option
@gate_options
@click.option("--verbose", is_flag=True, help="Name every scenario and every function.")
@report_options
@kcidb_option
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
    """Review patches: each on top of the one before, then all of them together.

    FILE is a mail, an mbox or a diff; - is stdin. The parts of a series are sorted. A..B and REV are commits
    in the tree of --onto, or in the current directory. The patched code is compiled and run on this machine,
    as your user: read it first. The review of each patch is shown as soon as it is done.

    Exit status: 0 no change of behaviour was found, 1 one was, 2 could not be judged; --fail-on and
    --strict change that.
    """
    check_case(given["case"], given["only"])
    files = kept(files)
    places = destinations(given)
    begun = datetime.now(timezone.utc)
    del given["bisect"]  # Commands.main() handles it, also for errors in the options.
    screen = _screen(places)
    with watching() as (progress, _):
        from conformance.kernels.compilers import chosen
        from conformance.kernels.selector import DEFAULT
        from conformance.review import judging_series
        from conformance.review.commits import find_commits
        from conformance.review.comparing import comparing
        from conformance.review.outcome import FailOn, Gate
        from conformance.review.series import read_series
        from conformance.review.series_review import cut_short

        gate = Gate(FailOn(fail_on), strict)
        commits = find_commits(files, onto)
        series = read_series(files, commits)
        onto = onto or DEFAULT if commits is None else commits.onto
        command = shlex.join(["conformance", "patch", *files, "--onto", onto, *chosen().arguments])
        compare = comparing(command, progress, **given)
        done: list[Judged] = []
        shown, wrote = _listener(verbose, screen, done)
        try:
            review = judging_series.judge(series, onto, compare, progress, jobs=jobs, listener=shown)
        except Ended as ended:
            review = cut_short(series, onto, done, f"not reached: {ended}")
            progress(f"{ended}: {len(review.parts) - len(done)} patches were not reached")

    def render(name: str) -> str:
        from conformance.reports import kcidb
        from conformance.reports.series import as_report

        if name == "kcidb":
            return kcidb.render(as_report(review, given["seed"], gate), begun)
        return _render(review, given["seed"], gate, verbose, name)

    status = review.status(gate) or max(wrote)
    ctx.exit(deliver(status, lambda console: None, render, places))


def _listener(verbose: bool, stream: Callable[[], IO[str]], done: list[Judged]) -> tuple[Listener, list[int]]:
    """A listener that prints each review and appends it to ``done``; and the statuses of printing."""
    from conformance.cli.run import print_part
    from conformance.reports.review_mail import heading, section
    from conformance.review.judging_series import Listener

    wrote: list[int] = [0]

    class Shown(Listener):
        """Prints each part at once."""

        def begin(self, count: int, base: str, notes: Sequence[str]) -> None:
            """Print the heading."""
            wrote.append(print_part(heading(count, base, notes), stream()))

        def receive(self, one: Judged) -> Judged:
            """Print the review of a patch, or of the whole series."""
            done.append(one)
            wrote.append(print_part(section(one, verbose=verbose), stream()))
            return one

    return Shown(), wrote


def _screen(places: dict[str, Destination | None]) -> Callable[[], IO[str]]:
    """The stream for results; on a terminal the one that keeps the progress bar below."""
    screen = sys.stderr if None in places.values() else sys.stdout
    if screen.isatty():
        return lambda: sys.stderr if screen is sys.__stderr__ else sys.stdout
    return lambda: screen


def _render(review: SeriesReview, seed: int, gate: Gate, verbose: bool, name: str) -> str:
    from conformance.reports import review_mail, sarif, series

    if name == "mail":
        return review_mail.render_series(review, verbose=verbose)
    if name in ("sarif", "json"):
        return sarif.render_series(review) if name == "sarif" else series.render(review)
    text: str = importlib.import_module(f"conformance.reports.{name}").render(
        series.as_report(review, seed, gate)
    )
    return text
