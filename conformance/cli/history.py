# SPDX-License-Identifier: GPL-2.0-only
"""``conformance history``: take each known fix out of a kernel and check that the suite notices."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from conformance.cli.options import budget_option, cc_option, destinations, jobs_option, report_options
from conformance.cli.run import tell, watching

__all__ = ["history"]


@click.command()
@click.option("--kernel", "kernels", multiple=True, metavar="SERIES", help="Take fixes out of this one only.")
@cc_option
@click.option("--only", multiple=True, metavar="GLOB", help="Commits, functions, properties or stories.")
@budget_option(1.0, "Comparing per property.")
@jobs_option
@report_options
@click.pass_context
def history(ctx: click.Context, **given: Any) -> None:
    """Take known fixes out of kernels, one by one, and hold what is left against the model, which has them.

    Where the model can do without the fix as well, the two must agree again.

    Exit status: 0 every missing fix was noticed, 1 one was not, 2 could not be judged.
    """
    del given["bisect"]
    places = destinations(given)
    with watching() as (progress, advance):
        from conformance.history.run_reverts import HistoryPlan, run

        found = run(HistoryPlan(**given), progress=progress, advance=advance)
    from conformance.reports.history import show

    ctx.exit(tell(found.report, places, partial(show, found)))
