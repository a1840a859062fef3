# SPDX-License-Identifier: GPL-2.0-only
"""``conformance history``: revert each known fix in a kernel, and check that the suite detects it."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from conformance.cli.options import (
    budget_option,
    cc_option,
    destinations,
    jobs_option,
    kernels_option,
    report_options,
)
from conformance.cli.run import watching, write_report

__all__ = ["history"]


@click.command()
@kernels_option("Revert fixes in this series only.  [default: every series with known fixes]")
@cc_option
@click.option(
    "--only", multiple=True, metavar="GLOB", help="Fixes by commit, function, property or scenario."
)
@budget_option(1.0, "Time to compare, for each property.")
@jobs_option
@report_options
@click.pass_context
def history(ctx: click.Context, **given: Any) -> None:
    """Revert known fixes in kernels, one by one, and compare the result with the model, which has them.

    Where the model can be run without the fix as well, the two must agree again.

    Exit status: 0 every reverted fix was detected, 1 one was not, 2 could not be judged.
    """
    del given["bisect"]
    places = destinations(given)
    with watching() as (progress, advance):
        from conformance.history.run_reverts import HistoryPlan, run

        found = run(HistoryPlan(**given), progress=progress, advance=advance)
    from conformance.reports.history import show

    ctx.exit(write_report(found.report, places, partial(show, found)))
