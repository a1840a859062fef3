# SPDX-License-Identifier: GPL-2.0-only
"""``conformance layout``: where structures and SPTE bits lie in the shipped kernel, and in the shim."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from conformance.cli.options import cc_option, destinations
from conformance.cli.run import deliver, watching

__all__ = ["layout"]


@click.command()
@click.option("--kernel", "kernels", multiple=True, metavar="SEL", help="Series, all, or debian:VERSION.")
@cc_option
@click.option("--module", metavar="PATH", help="Look at this kvm.ko instead; may be packed (xz, zstd, gzip).")
@click.option("--vmlinux", metavar="PATH", help="The vmlinux, vmlinuz or BTF of the module's kernel.")
@click.option("--json", metavar="FILE|-", help="Also write JSON; - is stdout, the table then goes to stderr.")
@click.pass_context
def layout(
    ctx: click.Context, kernels: tuple[str, ...], module: str | None, vmlinux: str | None, **given: Any
) -> None:
    """Print struct kvm_mmu_page, its role, the fault, and the bits of SPTEs, of the kernel that is shipped.

    Each place is compared with where the shim's compiler puts it, each constant with the model's. With
    --module, --kernel is what to compile beside it, also tree:PATH; by default the module's own series.

    Exit status: 0 all is equal, 1 something differs, 2 it could not be compared.
    """
    places = destinations(given)
    if module is not None and (len(kernels) > 1 or "all" in kernels):
        raise click.UsageError("--module is compared with one kernel; give --kernel once.")
    if vmlinux is not None and module is None:
        raise click.UsageError("--vmlinux belongs to a module; name it with --module PATH.")
    with watching() as (progress, _):
        # Here and not above: what they import takes longer to load than --help should.
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
