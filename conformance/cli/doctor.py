# SPDX-License-Identifier: GPL-2.0-only
"""``conformance doctor``: whether this machine has what the suite needs."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from conformance.cli.options import destinations
from conformance.cli.run import deliver

__all__ = ["doctor"]


@click.command()
@click.option("--online", is_flag=True, help="Also query the Debian archive for its list of packages.")
@click.option("--json", metavar="FILE|-", help="Also write JSON; - is stdout; the table then goes to stderr.")
@click.pass_context
def doctor(ctx: click.Context, online: bool, **given: Any) -> None:
    """Check confinement, compilers, tools, cache and limits of this machine.

    Nothing is changed, and nothing is fetched without --online.

    Exit status: 0 all that 'conformance run' needs is there and kernel code is confined, 2 otherwise.
    """
    places = destinations(given)
    # Imported here: help must not wait for it.
    from conformance.machine import examine
    from conformance.reports import machine as report

    facts = examine(online=online)
    status = 2 if any(fact.lacking for fact in facts) else 0
    ctx.exit(deliver(status, partial(report.show, facts), lambda name: report.render(facts), places))
