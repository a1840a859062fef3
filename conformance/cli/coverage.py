# SPDX-License-Identifier: GPL-2.0-only
"""``conformance coverage``: what the suite executes of a kernel's MMU, and what of that it compares."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from conformance.cli.options import (
    Count,
    cc_option,
    destinations,
    jobs_option,
    kernel_options,
    kernels_option,
    seed_option,
    time_limit_option,
)
from conformance.cli.run import deliver, watching
from conformance.errors import ConformanceError
from conformance.reports.files import Folder
from conformance.reports.text import escaped, line

if TYPE_CHECKING:
    from rich.console import Console

    from conformance.coverage.outcome import KernelCoverage

__all__ = ["coverage"]

_LAYERS = ("functions", "stories", "lockstep", "races")
_STATUS = "Exit status: 0 measured, 2 could not be measured. Coverage is no verdict, so it is never 1."


def _layers(ctx: click.Context, param: click.Parameter, text: str) -> tuple[str, ...]:
    """The layers of a list joined by commas, in their own order."""
    named = {name.strip() for name in text.split(",")}
    if unknown := sorted(named - set(_LAYERS)):
        given = ", ".join(repr(line(name)) for name in unknown)
        raise click.BadParameter(f"there is no layer {given}; pass some of {','.join(_LAYERS)}.")
    return tuple(name for name in _LAYERS if name in named)


@click.group(invoke_without_command=True, epilog=_STATUS)
@kernel_options
@click.option(
    "--by",
    "layers",
    default="functions,stories",
    show_default=True,
    callback=_layers,
    metavar="LAYER,...",
    help=f"Measure what these execute: {', '.join(_LAYERS)}.",
)
@click.option(
    "--compared",
    type=Count("mutants", 100_000),
    metavar="N",
    help="Plant N changes into executed lines, and count those that are detected.",
)
@seed_option(0)
@click.option("--html", type=click.Path(path_type=Path), metavar="DIR", help="Write pages with the source.")
@click.option("--json", metavar="FILE|-", help="Also write JSON; - is stdout, the table then goes to stderr.")
@click.option("--lcov", metavar="FILE", help="Write a tracefile for lcov; needs gcovr.")
@click.option("--cobertura", metavar="FILE", help="Write Cobertura XML, which diff-cover reads; needs gcovr.")
@cc_option
@jobs_option
@time_limit_option
@click.pass_context
def coverage(
    ctx: click.Context, html: Path | None, lcov: str | None, cobertura: str | None, **given: Any
) -> None:
    """Measure which lines of the MMU the suite executes, by layer, and with --compared how many it compares.

    Every measurement is cached. 'coverage bless' and 'coverage check' keep golden/SERIES/coverage.txt.
    """
    if ctx.invoked_subcommand is not None:
        return _check_no_options(ctx, ctx.invoked_subcommand)
    places = destinations({"json": given.pop("json"), "lcov": lcov, "cobertura": cobertura})
    folder = None if html is None else Folder("--html", html)
    if folder is not None:
        folder.check()
    with watching() as (progress, _):
        # Imported here: help must not wait for it.
        from conformance.coverage.run_coverage import CoveragePlan, run
        from conformance.review.kvm_state import keeping

        given["patches"] = tuple(map(Path, given["patches"]))
        plan = CoveragePlan(**given, keeping=keeping)
        plan.check_exports([name for name in places if name in ("lcov", "cobertura")])
        lacking = _lacking([*places, *(["html"] if folder else [])])
        measured, failed = run(plan, progress)
    for sentence in failed:
        click.echo(line(sentence), err=True)
    reports = {name: place for name, place in places.items() if name not in lacking}
    status = 2 if failed or lacking else 0
    status = deliver(status, partial(_show, measured), partial(_render, measured), reports)
    if folder is not None and "html" not in lacking:
        from conformance.coverage.scope import RULE
        from conformance.reports.coverage_html import pages

        folder.write(pages(measured, RULE))
    ctx.exit(status)


def _check_no_options(ctx: click.Context, command: str) -> None:
    """Raise UsageError if options stand before a subcommand, which would not have them."""
    for param in ctx.command.params:
        if param.name and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{param.opts[0]} is no option of '{command}' here; put it after '{command}'.", ctx
            )


def _lacking(forms: Sequence[str]) -> list[str]:
    """The forms that cannot be written, since a package is not installed; why is printed at once."""
    from conformance.coverage.extras import NEEDED, lacking

    sentences = {form: lacking(form) for form in forms if form in NEEDED}
    for form, sentence in sentences.items():
        if sentence:
            click.echo(f"conformance: --{form} is left out: {sentence}", err=True)
    return [form for form, sentence in sentences.items() if sentence]


def _show(measured: Sequence[KernelCoverage], console: Console) -> None:
    from conformance.coverage.scope import RULE
    from conformance.reports.coverage import show

    show(measured, RULE, console)


def _render(measured: Sequence[KernelCoverage], name: str) -> str:
    if name == "json":
        from conformance.coverage.scope import RULE
        from conformance.reports.coverage_json import render

        return render(measured, RULE)
    from conformance.coverage.formats import export

    return export(measured[0], name)


@coverage.command()
@kernel_options
@cc_option
@click.pass_context
def check(ctx: click.Context, kernels: tuple[str, ...], patches: tuple[str, ...]) -> None:
    """Report what was executed when coverage was blessed, and is not now.

    So it says which story no longer reaches the functions that it is about. Exit status: 0 all is executed,
    2 something is not, or could not be measured.
    """
    with watching() as (progress, _):
        from conformance.coverage.blessing import losses

        found = losses(kernels, tuple(map(Path, patches)), progress)
    for title, sentences in found.items():
        click.echo(line(f"{title}: {len(sentences) or 'no'} losses of coverage"))
        for sentence in sentences:
            click.echo(f"  {line(sentence)}")
    ctx.exit(2 if any(found.values()) else 0)


@coverage.command()
@kernels_option()
@cc_option
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.pass_context
def bless(ctx: click.Context, kernels: tuple[str, ...], yes: bool) -> None:
    """Write the coverage of kernels as that of their series, after showing what would change.

    Refuses to run in CI, and to write the coverage of a kernel on which a story does not execute what it is
    about.
    """
    from conformance.scenarios.goldens import in_ci

    if in_ci():
        raise ConformanceError(
            "bless does not run in CI: what is executed now would become the reference without review. "
            "Run it by hand and commit the diff."
        )
    with watching() as (progress, _):
        from conformance.coverage.blessing import propose

        proposals = propose(kernels, progress)
    allowed = [one for one in proposals if not one.refused]
    for proposal in proposals:
        click.echo("\n".join(map(escaped, proposal.shown)))
        for reason in proposal.refused:
            click.echo(line(f"not written: {reason}"))
    changed = [one for one in allowed if one.diff]
    if changed and (yes or not sys.stdin.isatty() or click.confirm("Write them?")):
        for proposal in changed:
            proposal.golden.write()
    ctx.exit(2 if len(allowed) < len(proposals) else 0)
