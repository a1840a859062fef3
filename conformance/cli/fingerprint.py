# SPDX-License-Identifier: GPL-2.0-only
"""``conformance fingerprint``: digests of what a kernel answers on published inputs, shown and blessed."""

from __future__ import annotations

import sys

import click

from conformance.cli.options import cc_option
from conformance.cli.run import watching
from conformance.errors import ConformanceError
from conformance.reports.text import escaped, line

__all__ = ["fingerprint"]


@click.group()
def fingerprint() -> None:
    """Digests of what a kernel answers on a published set of inputs, a line per property and mode.

    'conformance run' compares a kernel with what was blessed for its series (golden/SERIES/semantics.txt).
    """


@fingerprint.command()
@click.option("--kernel", default="6.1", show_default=True, metavar="SEL", help="The kernel to ask.")
@cc_option
def show(kernel: str) -> None:
    """Print the fingerprints of a kernel."""
    with watching() as (progress, _):
        from conformance.differential.blessing import propose

        proposals = propose([kernel], progress)
    for proposal in proposals:
        click.echo("\n".join(map(escaped, proposal.fingerprints.lines)))


@fingerprint.command()
@click.option(
    "--kernel", "kernels", multiple=True, metavar="SEL", help="The kernels to bless; 'all' is usual."
)
@cc_option
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.pass_context
def bless(ctx: click.Context, kernels: tuple[str, ...], yes: bool) -> None:
    """Make what kernels answer now their series' fingerprints, after showing what would change.

    Refuses to run in CI, and to write what kernel and model do not agree on.
    """
    from conformance.scenarios.goldens import in_ci

    if in_ci():
        raise ConformanceError(
            "bless does not run in CI: what the kernel does now would become what is right without anybody "
            "having read it. Run it by hand and commit the diff."
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
