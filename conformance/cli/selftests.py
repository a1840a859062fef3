# SPDX-License-Identifier: GPL-2.0-only
"""``conformance selftests``: run KVM's own selftests of the MMU in an emulated machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from conformance.cli.live_options import image_options
from conformance.cli.options import (
    cc_option,
    destinations,
    kernel_options,
    mode_option,
    report_options,
    time_limit_option,
)
from conformance.cli.run import watching, write_report

__all__ = ["selftests"]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME-GLOB]...")
@kernel_options
@cc_option
@mode_option
@image_options
@time_limit_option
@report_options
@click.pass_context
def selftests(ctx: click.Context, names: tuple[str, ...], **given: Any) -> None:
    """Run KVM's own selftests of the MMU, built from a kernel's source, in a machine that QEMU emulates.

    NAME-GLOB is a selftest, such as dirty_log_test, or a pattern; without one all are run.

    Exit status: 0 all pass, 1 one failed or the kernel complained, 2 could not be judged.
    """
    places = destinations(given)
    with watching() as (progress, advance):
        # Imported here: help must not wait for it.
        from conformance.selftests.run_selftests import SelftestPlan, run

        plan = SelftestPlan(
            given["kernels"],
            tuple(Path(patch) for patch in given["patches"]),
            names,
            given["modes"],
            given["image"],
            given["modules"],
        )
        report = run(plan, progress=progress, advance=advance)
    ctx.exit(write_report(report, places))
