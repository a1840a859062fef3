# SPDX-License-Identifier: GPL-2.0-only
"""``conformance layout``: the layout of structures and SPTEs, in the shipped kernel and in the shim."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from conformance.cli.options import cc_option, destinations, kernels_option
from conformance.cli.run import deliver, watching

__all__ = ["layout"]


@click.command()
@kernels_option("Series, all, or debian:VERSION.  [default: 6.1]")
@cc_option
@click.option(
    "--module", metavar="PATH", help="Examine this kvm.ko instead; may be compressed (xz, zstd, gzip)."
)
@click.option("--vmlinux", metavar="PATH", help="The vmlinux, vmlinuz or BTF of the module's kernel.")
@click.option("--json", metavar="FILE|-", help="Also write JSON; - is stdout; the table then goes to stderr.")
@click.pass_context
def layout(
    ctx: click.Context, kernels: tuple[str, ...], module: str | None, vmlinux: str | None, **given: Any
) -> None:
    """Print the layout of struct kvm_mmu_page, its role, struct kvm_page_fault and SPTEs, as shipped.

    Each offset is compared with that in the shim, each constant with the model's. With --module, --kernel
    is the kernel to compile beside it, also tree:PATH; by default that of the module's series.

    Exit status: 0 all are equal, 1 one differs, 2 could not be compared.
    """
    places = destinations(given)
    if module is not None and (len(kernels) > 1 or "all" in kernels):
        raise click.UsageError("--module is compared with one kernel; pass --kernel once.")
    if vmlinux is not None and module is None:
        raise click.UsageError("--vmlinux belongs to a module; pass that with --module PATH.")
    with watching() as (progress, _):
        # Imported here: help must not wait for it.
        from conformance.kernels import expand
        from conformance.layout import look
        from conformance.reports import layout as report

        if module is not None:
            types = None if vmlinux is None else Path(vmlinux)
            selector = expand(kernels)[0] if kernels else None
            found = [look(selector, progress, module=Path(module), vmlinux=types)]
        else:
            found = [look(selector, progress) for selector in expand(kernels)]
    statuses = {one.status for one in found}
    status = 1 if 1 in statuses else max(statuses)
    ctx.exit(deliver(status, partial(report.show, found), lambda name: report.render(found), places))
