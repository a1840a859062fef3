# SPDX-License-Identifier: GPL-2.0-only
"""``conformance scenario``: list, run, show and bless scenarios on a whole KVM and on the model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from conformance.cli.kept import kept
from conformance.cli.live_options import live_options, live_plan
from conformance.cli.options import (
    cc_option,
    compilers_option,
    destinations,
    jobs_option,
    kcidb_option,
    kernel_option,
    kernel_options,
    mode_option,
    report_options,
    time_limit_option,
)
from conformance.cli.run import each_compiler, watching, write_report
from conformance.reports.text import escaped, line

__all__ = ["scenario"]


@click.group()
def scenario() -> None:
    """Run scenarios, step by step, on a kernel's whole KVM and on the model.

    NAME is a scenario, a pattern such as '*dirty*', or the path of a file that lockstep saved.
    """


@scenario.command("list")
@kernel_option("Mark the scenarios that this kernel cannot run, and why.")
@cc_option
def list_(kernel: str | None) -> None:
    """List the scenarios, with a line on each."""
    from conformance.cli.list import section
    from conformance.reports.terminal import Screen
    from conformance.scenarios.listing import listing

    with watching() as (progress, _):
        found = listing(kernel, progress)
    console = Screen()
    for theme, rows in found.items():
        section(console, theme, rows)


@scenario.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@kernel_options
@compilers_option
@mode_option
@live_options
@jobs_option
@time_limit_option
@report_options
@kcidb_option
@click.pass_context
def run(ctx: click.Context, names: tuple[str, ...], compilers: tuple[str, ...], **given: Any) -> None:
    """Run scenarios, and compare all observations after every step.

    Exit status: 0 conforms, 1 a difference was found, 2 could not be judged.
    """
    places = destinations(given)
    with watching() as (progress, advance):
        # Imported here: help must not wait for it.
        from conformance.scenarios.run_scenarios import ScenarioPlan
        from conformance.scenarios.run_scenarios import run as play

        live = live_plan(given)
        plan = ScenarioPlan(
            given["kernels"], _paths(given["patches"]), kept(names), given["modes"], given["jobs"], live
        )
        report = each_compiler(compilers, lambda seed: play(plan, progress=progress, advance=advance))
    ctx.exit(write_report(report, places))


@scenario.command()
@click.argument("name")
@kernel_options
@cc_option
@mode_option
@live_options
def show(
    name: str, kernels: tuple[str, ...], patches: tuple[str, ...], modes: tuple[str, ...], **given: Any
) -> None:
    """Show a scenario and its transcript.

    The transcript is the golden one; with --kernel, --patch or --oracle live that of the kernel.
    """
    from conformance.scenarios.listing import blessed, described, transcripts

    click.echo("\n".join(map(escaped, described(name))))
    live = live_plan(given)
    if kernels or patches or live:
        with watching() as (progress, _):
            lines = transcripts(name, kernels, _paths(patches), modes, live, progress)
    else:
        lines = blessed(name, modes)
    click.echo("\n".join(map(escaped, ["", *lines])))


@scenario.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@kernel_options
@cc_option
@mode_option
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.pass_context
def bless(ctx: click.Context, names: tuple[str, ...], yes: bool, **given: Any) -> None:
    """Write the kernel's transcripts as the golden ones, after showing what would change.

    Refuses to run in CI, and to write a transcript on which kernel and model do not agree.
    """
    from conformance.scenarios.blessing import check_allowed, propose_all

    check_allowed()
    with watching() as (progress, _):
        proposal = propose_all(names, given["kernels"], _paths(given["patches"]), given["modes"], progress)
    for golden, diff in proposal.changed:
        if golden.blessed() is None:
            click.echo(f"new: {golden.path} ({len(golden.lines)} lines)")
        else:
            click.echo("\n".join(map(escaped, diff)))
    for result in proposal.refused:
        click.echo(line(f"not written: {result.property} {result.mode}: {result.verdict}, {result.reason}"))
    counts = (len(proposal.changed), proposal.unchanged, len(proposal.refused))
    click.echo("{} to write, {} unchanged, {} refused".format(*counts))
    if proposal.changed and (yes or not sys.stdin.isatty() or click.confirm("Write them?")):
        for golden, _ in proposal.changed:
            golden.write()
    ctx.exit(2 if proposal.refused else 0)


def _paths(patches: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(Path(patch) for patch in patches)
