# SPDX-License-Identifier: GPL-2.0-only
"""``conformance prove``: proofs for every input on every host, or counterexamples."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import click

from conformance.cli.options import (
    Seconds,
    cc_option,
    destinations,
    jobs_option,
    kernel_options,
    mode_option,
    oracle_options,
    report_options,
    time_limit_option,
)
from conformance.cli.run import watching, write_report

__all__ = ["prove"]


@click.command()
@kernel_options
@cc_option
@click.option("--only", multiple=True, metavar="GLOB", help="Prove only properties of these names.")
@oracle_options
@mode_option
@click.option(
    "--between",
    nargs=2,
    metavar="SEL SEL",
    help="Compare the code of two kernels instead of a kernel with the model.",
)
@click.option(
    "--timeout",
    type=Seconds(),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="Time limit of the proof of each property.",
)
@jobs_option
@time_limit_option
@report_options
@click.pass_context
def prove(ctx: click.Context, between: tuple[str, str] | None, **given: Any) -> None:
    """Prove machine code equivalent to the model, or to other code, for every input on every host.

    A counterexample is replayed natively before it is reported. Properties that could not be proved are
    listed with the reason, and count as skipped.

    Exit status: 0 no property was refuted, 1 one was, 2 none could be judged.
    """
    if between and (given["kernels"] or given["patches"]):
        raise click.UsageError("--between names both kernels; leave out --kernel and --patch.")
    if between and (given["oracle"] != "shim" or given["module"] or given["vmlinux"]):
        raise click.UsageError("--between compares two shims; leave out --oracle, --module and --vmlinux.")
    places = destinations(given)
    del given["bisect"]  # Commands.main() handles it, also for errors in the options.
    with watching() as (progress, advance):
        from conformance.differential.engines.prove import require

        require()
        if between:
            from conformance.differential.proving.run_proofs import between as compare

            selection = given["only"], given["timeout"], given["jobs"]
            report = compare(between, *selection, progress, advance, given["modes"])
        else:
            from conformance.differential.property_plan import PropertyPlan
            from conformance.differential.run_properties import run

            given["patches"] = tuple(Path(patch) for patch in given["patches"])
            plan = PropertyPlan(**given, engines=("prove",), budget=math.inf)
            report = run(plan, progress=progress, advance=advance)
    from conformance.reports import proofs

    ctx.exit(write_report(report, places, partial(proofs.show, report)))
