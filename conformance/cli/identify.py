# SPDX-License-Identifier: GPL-2.0-only
"""``conformance identify``: which upstream changes a kernel has, decided by its behaviour."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from conformance.cli.options import STDOUT, cc_option, patch_option
from conformance.cli.run import watching
from conformance.reports.files import Destination

__all__ = ["identify"]


@click.command()
@click.argument("selector", metavar="SEL")
@patch_option("on top")
@cc_option
@click.option("--stories/--no-stories", default=True, help="Also run the scenarios on its whole KVM.")
@click.option(
    "--json", "json_file", metavar="FILE|-", help="Also write JSON; - is stdout, in place of the text."
)
@click.pass_context
def identify(
    ctx: click.Context, selector: str, patches: tuple[str, ...], stories: bool, json_file: str | None
) -> None:
    """Find out which upstream changes the kernel SEL has: "6.1, plus these, without those".

    The behaviour of the kernel decides, not its version, so backports are found. Changes that no property
    and no scenario distinguishes are listed as not decided.

    Exit status: 0 it fits a profile, 1 it fits none, 2 could not be judged.
    """
    place = Destination("--json", Path(json_file)) if json_file not in (None, STDOUT) else None
    if place is not None:
        place.check()
    with watching() as (progress, _):
        # Imported here: help must not wait for it.
        from conformance.reports import identity
        from conformance.reports.terminal import Screen
        from conformance.review.identify import identify as look

        found = look(selector, [Path(patch) for patch in patches], progress, with_stories=stories)
    if json_file == STDOUT:
        sys.stdout.write(identity.render(found))
    else:
        click.echo("\n".join(identity.text(found, Screen().width)))
    if place is not None:
        place.write(identity.render(found))
    ctx.exit(found.status)
