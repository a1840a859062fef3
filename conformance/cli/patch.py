# SPDX-License-Identifier: GPL-2.0-only
"""``conformance patch``: what each patch of a series changes, and whether it keeps its promise."""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.options import (
    budget_option,
    check_case,
    destinations,
    jobs_option,
    mode_option,
    property_options,
    seed_option,
)
from conformance.cli.run import deliver, watching
from conformance.errors import ConformanceError

if TYPE_CHECKING:
    from rich.console import Console

    from conformance.kernels import Kernel
    from conformance.review import Review
    from conformance.review.judging import Compare, SeriesReview

__all__ = ["comparing", "patch"]

_STDOUT = "- is stdout, the text then goes to stderr."


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--onto", default="6.1", show_default=True, metavar="SEL", help="The kernel without them.")
@property_options("Run")
@mode_option
@budget_option(2.0, "Comparing properties, for each patch.")
@seed_option(0)
@jobs_option
@click.option("--json", metavar="FILE|-", help=f"Also write JSON; {_STDOUT}")
@click.option("--sarif", metavar="FILE|-", help=f"Also write SARIF; {_STDOUT}")
@click.option("--mail", metavar="FILE|-", help=f"Also write this text to a file; {_STDOUT}")
@click.pass_context
def patch(ctx: click.Context, files: tuple[str, ...], onto: str, jobs: int, **given: Any) -> None:
    """Say what patches change: each on top of the one before, then all of them together.

    FILE is a mail, an mbox or a diff; - is stdin. Parts of a series are put in order. The patched code is
    compiled and run here, as you: read it first.

    Exit status: 0 behaviour was not seen to change, 1 it changes, 2 could not be judged.
    """
    check_case(given["case"], given["only"])
    places = destinations(given)
    with watching() as (progress, _):
        from conformance.review import judging
        from conformance.review.series import read_series

        command = shlex.join(["conformance", "patch", *files, "--onto", onto])
        compare = comparing(command, progress, **given)
        told = judging.judge(read_series(files), onto, compare, progress, jobs=jobs)
    ctx.exit(deliver(told.status, partial(_show, told), partial(_render, told), places))


def comparing(command: str, progress: Any, **plan: Any) -> Compare:
    """How two kernels are compared with a plan. ``command`` begins the one that shows a difference again.

    Raises ConformanceError about a plan that names what there is not.
    """
    from conformance.differential.wanted import check_wanted
    from conformance.review.difference import compare as compare_kernels
    from conformance.review.plan import Plan

    looking = Plan(**plan)
    check_wanted(looking.only, looking.modes, looking.case)

    def compare(before: Kernel, after: Kernel) -> Review:
        review = compare_kernels(before, after, looking, progress)
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


def _show(told: SeriesReview, console: Console) -> None:
    console.print(_render(told, "mail"), end="", soft_wrap=True)


def _render(told: SeriesReview, name: str) -> str:
    from conformance.reports import mail, sarif, series

    write = {"mail": mail.render_series, "sarif": sarif.render_series, "json": series.render}
    return write[name](told)
