# SPDX-License-Identifier: GPL-2.0-only
"""``conformance explore``: races under every schedule, on the model and on real kernel code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.options import (
    Count,
    cc_option,
    destinations,
    jobs_option,
    kernel_options,
    mode_option,
    output_file,
    report_options,
    seed_option,
    time_limit_option,
)
from conformance.cli.run import watching, write_report
from conformance.reports.files import Destination
from conformance.reports.text import escaped

if TYPE_CHECKING:
    from conformance.races.judging import Finding

__all__ = ["explore"]


@click.group()
def explore() -> None:
    """Run concurrent threads under every schedule, and check invariants.

    NAME is a race, a pattern such as '*log*', or a program: a setting, and threads with words for their
    steps, such as logged/vcpu0.write.read/host.discard.
    """


@explore.command("list")
def list_() -> None:
    """List the races, the invariants, and the changes that --without takes, with a line on each."""
    from conformance.cli.list import section
    from conformance.model.changes import RACES as CHANGES
    from conformance.races.invariants import INVARIANTS
    from conformance.races.settings import SETTINGS
    from conformance.races.stories import RACES
    from conformance.reports.terminal import Screen

    console = Screen()
    section(console, "races", [(race.name, race.description, "") for race in RACES.values()])
    section(console, "settings of drawn programs", [(one.name, one.text, "") for one in SETTINGS.values()])
    section(console, "invariants", [(one.name, one.sentence, "") for one in INVARIANTS.values()])
    section(
        console, "changes and precautions", [(name, change.effect, "") for name, change in CHANGES.items()]
    )


@explore.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@kernel_options
@cc_option
@click.option("--on", multiple=True, type=click.Choice(["model", "kvm"]), help="Explore on this side only.")
@click.option("--without", multiple=True, metavar="CHANGE", help="Explore on a model that lacks this change.")
@mode_option
@click.option(
    "--schedules",
    type=Count("schedules", 1 << 40),
    default=20_000,
    show_default=True,
    metavar="N",
    help="Run at most N of a race; if these are not all, N more with few preemptions or at random.",
)
@seed_option()
@click.option("--save", metavar="FILE", help="Save the first violation, for 'explore replay FILE'.")
@click.option("--html", metavar="FILE", help="Write a diagram of the first violation as HTML.")
@jobs_option
@time_limit_option
@report_options
@click.pass_context
def run(ctx: click.Context, names: tuple[str, ...], save: str | None, html: str | None, **given: Any) -> None:
    """Explore races: run their threads under every schedule, and check the invariants on each.

    The current variant of a race must violate no invariant. A historic variant lacks a fix and must violate
    the invariant that the fix restores. With --patch or --without only that variant is explored. With --seed
    schedules are random.

    Exit status: 0 as expected, 1 an invariant was violated (a historic variant: none), 2 not judged.
    """
    places = destinations(given)
    del given["bisect"]  # Commands.main() handles it.
    given["patches"] = tuple(Path(patch) for patch in given["patches"])
    files = {"--save": output_file("--save", save), "--html": output_file("--html", html)}
    with watching() as (progress, advance):
        from conformance.races.run_races import LIMITS, RacePlan
        from conformance.races.run_races import run as race

        report, found = race(RacePlan(names=names, **given), progress=progress, advance=advance)
    status = write_report(report, places)
    click.echo(f"\n{LIMITS}", err=None in places.values())
    if found:
        _write(found[0], files)
    ctx.exit(status)


@explore.command()
@click.argument("file")
@kernel_options
@cc_option
@click.option("--html", metavar="FILE", help="Write the diagram as HTML.")
@click.pass_context
def replay(
    ctx: click.Context, file: str, kernels: tuple[str, ...], patches: tuple[str, ...], html: str | None
) -> None:
    """Replay the schedule of a race file, and show its diagram.

    Exit status: 0 no invariant was violated, 1 one was, 2 could not be judged.
    """
    files = {"--html": output_file("--html", html)}
    with watching() as (progress, _):
        from conformance.races.replaying import replay_file

        found = replay_file(Path(file), kernels, tuple(Path(patch) for patch in patches), progress)
    click.echo("\n".join(map(escaped, found.lines())))
    _write(found, files)
    ctx.exit(1 if found.outcome.violation else 0)


@explore.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@kernel_options
@cc_option
@mode_option
@jobs_option
def bless(names: tuple[str, ...], **given: Any) -> None:
    """Write the minimised violation of each historic variant, with its diagram, under golden/races."""
    from conformance.races.goldens import write_all
    from conformance.races.run_races import RacePlan
    from conformance.scenarios.blessing import check_allowed

    check_allowed()
    given["patches"] = tuple(Path(patch) for patch in given["patches"])
    with watching() as (progress, advance):
        written = write_all(RacePlan(names=names, **given), progress, advance)
    click.echo(f"{len(written)} written")


def _write(found: Finding, files: dict[str, Path | None]) -> None:
    """Write the files that were asked for, and say so on stderr."""
    for option, path in files.items():
        if path is not None:
            Destination(option, path).write(found.page() if option == "--html" else found.text())
            click.echo(f"saved: {path}", file=sys.stderr)
