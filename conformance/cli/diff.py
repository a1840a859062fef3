# SPDX-License-Identifier: GPL-2.0-only
"""``conformance diff``: which functions changed between two kernels, and whether behaviour did."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.options import (
    budget_option,
    cc_option,
    check_case,
    destinations,
    gate_options,
    mode_option,
    patch_option,
    property_options,
    report_options,
    seed_option,
    time_limit_option,
)
from conformance.cli.run import deliver, watching

if TYPE_CHECKING:
    from rich.console import Console

    from conformance.review import Review
    from conformance.review.outcome import Gate

__all__ = ["diff"]


@click.command()
@click.argument("before", metavar="SEL")
@click.argument("after", metavar="SEL")
@patch_option("to the second one")
@property_options("Run")
@mode_option
@cc_option
@budget_option(2.0, "Time to compare properties.")
@seed_option(0)
@gate_options
@report_options
@time_limit_option
@click.pass_context
def diff(
    ctx: click.Context,
    before: str,
    after: str,
    patches: tuple[str, ...],
    fail_on: str,
    strict: bool,
    **given: Any,
) -> None:
    """Compare every function of the MMU between two kernels.

    For each function the result is one of: same text; same machine code or proved equivalent; no difference
    in the cases that were run; a difference, with the smallest input; changed, but executed by no test.

    Exit status: 0 no change of behaviour was found, 1 one was, 2 could not be judged; --fail-on and
    --strict change that.
    """
    check_case(given["case"], given["only"])
    places = destinations(given)
    del given["bisect"]  # Commands.main() handles it, also for errors in the options.
    with watching() as (progress, _):
        from conformance.kernels import open_kernel
        from conformance.kernels.compilers import chosen
        from conformance.review import ReviewPlan, compare
        from conformance.review.outcome import FailOn, Gate, outcome_of

        words = (
            before,
            after,
            *(word for patch in patches for word in ("--patch", patch)),
            *chosen().arguments,
        )
        plan = ReviewPlan(**given, arguments=words)
        kernels = (
            open_kernel(before, progress=progress),
            open_kernel(after, [Path(patch) for patch in patches], progress=progress),
        )
        review = replace(compare(*kernels, plan, progress), notes=kernels[1].notes)
        gate = Gate(FailOn(fail_on), strict)
        status = gate.status(outcome_of(review, promised=False), review)
    ctx.exit(deliver(status, partial(_show, review), partial(_render, review, plan.seed, gate), places))


def _show(review: Review, console: Console) -> None:
    from conformance.reports.review import show

    show(review, console)


def _render(review: Review, seed: int, gate: Gate, name: str) -> str:
    from conformance.reports import review_mail, sarif
    from conformance.reports.review import as_report, render

    if name == "json":
        return render(review)
    if name in ("mail", "sarif"):
        return review_mail.render_review(review) if name == "mail" else sarif.render_review(review)
    module = importlib.import_module(f"conformance.reports.{name}")
    text: str = module.render(as_report(review, seed, gate))
    return text
