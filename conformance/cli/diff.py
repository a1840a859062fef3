# SPDX-License-Identifier: GPL-2.0-only
"""``conformance diff``: what changed between two kernels, and whether it changes behaviour."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.options import (
    budget_option,
    check_case,
    destinations,
    mode_option,
    property_options,
    report_options,
    seed_option,
)
from conformance.cli.run import deliver, watching

if TYPE_CHECKING:
    from rich.console import Console

    from conformance.review import Review

__all__ = ["diff"]


@click.command()
@click.argument("before", metavar="SEL")
@click.argument("after", metavar="SEL")
@click.option(
    "--patch",
    "patches",
    multiple=True,
    metavar="FILE",
    help="Apply a diff, mail or mbox to the second one.",
)
@property_options("Run")
@mode_option
@budget_option(2.0, "Comparing properties.")
@seed_option(0)
@report_options
@click.pass_context
def diff(ctx: click.Context, before: str, after: str, patches: tuple[str, ...], **given: Any) -> None:
    """Say of every function of the MMU whether it changed between two kernels, and whether it matters.

    Same text, same machine code (proved), no difference in so many cases, a difference with the smallest
    input, or changed and executed by nothing here.

    Exit status: 0 behaviour was not seen to change, 1 it changes, 2 could not be judged.
    """
    check_case(given["case"], given["only"])
    places = destinations(given)
    del given["bisect"]  # Commands.main() acts on it: it also holds where the options cannot be read.
    with watching() as (progress, _):
        from conformance.kernels import open_kernel
        from conformance.review import Plan, compare

        words = (before, after, *(word for patch in patches for word in ("--patch", patch)))
        plan = Plan(**given, arguments=words)
        kernels = (
            open_kernel(before, progress=progress),
            open_kernel(after, [Path(patch) for patch in patches], progress=progress),
        )
        review = compare(*kernels, plan, progress)
    ctx.exit(deliver(review.status, partial(_show, review), partial(_render, review, plan.seed), places))


def _show(review: Review, console: Console) -> None:
    from conformance.reports.review import show

    show(review, console)


def _render(review: Review, seed: int, name: str) -> str:
    from conformance.reports.review import as_report, render

    if name == "json":
        return render(review)
    module = importlib.import_module(f"conformance.reports.{name}")
    if name in ("mail", "sarif"):
        text: str = module.render_review(review)
    else:
        text = module.render(as_report(review, seed))
    return text
