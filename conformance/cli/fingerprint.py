# SPDX-License-Identifier: GPL-2.0-only
"""``conformance fingerprint``: digests of a kernel's answers to published inputs, shown and blessed."""

from __future__ import annotations

import sys

import click

from conformance.cli.options import cc_option, kernels_option
from conformance.cli.run import watching
from conformance.errors import ConformanceError
from conformance.reports.text import escaped, line

__all__ = ["fingerprint"]


@click.group()
def fingerprint() -> None:
    """Digests of a kernel's answers to a published set of inputs, a line per property and mode.

    'conformance run' compares a kernel with the digests that were blessed for its series, in
    golden/SERIES/semantics.txt.
    """


@fingerprint.command()
@kernels_option()
@cc_option
def show(kernels: tuple[str, ...]) -> None:
    """Print the fingerprints of kernels."""
    with watching() as (progress, _):
        from conformance.differential.blessing import propose

        proposals = propose(kernels, progress)
    for proposal in proposals:
        click.echo("\n".join(map(escaped, proposal.fingerprints.lines)))


@fingerprint.command()
@kernels_option()
@cc_option
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.pass_context
def bless(ctx: click.Context, kernels: tuple[str, ...], yes: bool) -> None:
    """Write the fingerprints of kernels as those of their series, after showing what would change.

    Refuses to run in CI, and to write a line on which kernel and model do not agree.
    """
    from conformance.scenarios.goldens import in_ci

    if in_ci():
        raise ConformanceError(
            "bless does not run in CI: what the kernel does now would become the reference without review. "
            "Run it by hand and commit the diff."
        )
    with watching() as (progress, _):
        from conformance.differential.blessing import propose

        proposals = propose(kernels, progress)
    changed = [proposal for proposal in proposals if proposal.diff]
    for proposal in proposals:
        click.echo("\n".join(map(escaped, proposal.diff)) or f"{proposal.fingerprints.path}: unchanged")
        for place in proposal.refused:
            click.echo(line(f"not written: {place}: kernel and model do not agree"))
    if changed and (yes or not sys.stdin.isatty() or click.confirm("Write them?")):
        for proposal in changed:
            proposal.fingerprints.write()
    ctx.exit(2 if any(proposal.refused for proposal in proposals) else 0)
