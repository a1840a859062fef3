# SPDX-License-Identifier: GPL-2.0-only
"""``conformance lockstep``: random steps on a whole KVM and on the model, compared after each step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from conformance.cli.live_options import live_options, live_plan
from conformance.cli.options import (
    budget_option,
    cc_option,
    destinations,
    jobs_option,
    kcidb_option,
    kernel_options,
    mode_option,
    output_file,
    report_options,
    seed_option,
    time_limit_option,
)
from conformance.cli.run import watching, write_report

__all__ = ["lockstep"]


@click.command()
@kernel_options
@cc_option
@mode_option
@budget_option(60.0, "Time to compare, for each kernel.")
@seed_option()
@click.option("--save", metavar="FILE", help="Save a difference as a scenario file, for 'scenario run FILE'.")
@live_options
@jobs_option
@time_limit_option
@report_options
@kcidb_option
@click.pass_context
def lockstep(ctx: click.Context, **given: Any) -> None:
    """Run random steps on kernel and model in lockstep, and minimise a difference to a scenario.

    Without --mode all modes of the kernel share the time: those of scenarios, and those of nested guests,
    which are called nested-ept-ad, nested-legacy-npt and so on.

    Exit status: 0 conforms, 1 a difference was found, 2 could not be judged.
    """
    places = destinations(given)
    del given["bisect"]  # Commands.main() handles it.
    given["patches"] = tuple(Path(patch) for patch in given["patches"])
    given["save"] = output_file("--save", given["save"])
    with watching() as (progress, advance):
        from conformance.scenarios.run_lockstep import LockstepPlan, counts
        from conformance.scenarios.run_lockstep import run as walk

        live = live_plan(given)
        outcome = walk(LockstepPlan(**given, live=live), progress=progress, advance=advance)
    status = write_report(outcome.report, places)
    if outcome.steps:
        click.echo("\n".join(["", "steps compared", *counts(outcome.steps)]), err=None in places.values())
    if given["save"] is not None and status == 1:
        click.echo(f"saved: {given['save']}", file=sys.stderr)
    ctx.exit(status)
