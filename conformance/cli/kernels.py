# SPDX-License-Identifier: GPL-2.0-only
"""``conformance kernels``: list, fetch and show kernel sources, and vendor them for offline use."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.cli.options import cc_option
from conformance.errors import ConformanceError
from conformance.kernels import SERIES, Cache, expand, open_kernel
from conformance.kernels.archive import ascending
from conformance.kernels.catalogue import catalogue
from conformance.kernels.inventory import core_files, inventory, options, pin_series, size_of
from conformance.kernels.selector import Pinned, parse
from conformance.kernels.vendor import lay_out

__all__ = ["kernels"]


def say(line: str) -> None:
    """Print progress on stderr."""
    click.echo(line, err=True)


def console() -> Console:
    """The console for results; wide enough for a table if stdout is no terminal."""
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 200)


def megabytes(size: int) -> str:
    """A size in bytes as text in MB; empty for 0."""
    return f"{size / 1e6:.1f} MB" if size else ""


@click.group()
def kernels() -> None:
    """List, fetch, show and vendor the kernel sources that are compared."""


@kernels.command("list")
@click.option("--archive", is_flag=True, help="List every version in Debian's archive instead.")
@cc_option
def list_(archive: bool) -> None:
    """List the pinned kernels, and which of them are on this machine."""
    if archive:
        return list_archive()
    table = Table(
        "series", "pinned", "package", "from", "here", "version", "size", "drift", box=None, pad_edge=False
    )
    for row in inventory(Cache()):
        drift = Text(row.drift or "")
        version = row.version or ""
        pinned = row.pin
        suites = ", ".join(pinned.suites)
        size = megabytes(row.size)
        table.add_row(pinned.series, pinned.version, pinned.package, suites, row.place, version, size, drift)
    console().print(table)


def list_archive() -> None:
    """List the kernels of every suite by their selectors, newest first."""
    found: dict[str, list[str]] = {}
    for offer in catalogue(Cache(), say):
        found.setdefault(offer.version, []).append(offer.suite)
    table = Table("selector", "in", box=None, pad_edge=False)
    for version in reversed(ascending(found)):
        table.add_row(f"debian:{version}", ", ".join(found[version]))
    console().print(table)


@kernels.command()
@click.argument("selectors", metavar="SEL...", nargs=-1, required=True)
@cc_option
def fetch(selectors: tuple[str, ...]) -> None:
    """Fetch and prepare kernels into the cache."""
    for selector in expand(selectors):
        kernel = open_kernel(selector, progress=say)
        size = megabytes(size_of(kernel.root))
        click.echo(f"{kernel.title}: {kernel.version}, {size} kept, for {kernel.compiler.text}")
        if kernel.drift:
            click.echo(f"{kernel.title}: {kernel.drift}")


@kernels.command()
@click.argument("selector", metavar="SEL")
@cc_option
def show(selector: str) -> None:
    """Show a kernel: version, drift, core MMU files, configuration, size."""
    for name in expand([selector]):
        kernel = open_kernel(name, progress=say)
        files = core_files(kernel)
        out = console()
        facts = Table(box=None, show_header=False, pad_edge=False)
        facts.add_row("kernel", kernel.title)
        facts.add_row("version", kernel.version)
        facts.add_row("series", kernel.series or "not a pinned series")
        facts.add_row("drift", kernel.drift or "none")
        facts.add_row("compiler", kernel.compiler.text)
        facts.add_row("kept in", str(kernel.root))
        facts.add_row("size", megabytes(size_of(kernel.root)))
        facts.add_row("fingerprint", kernel.fingerprint)
        facts.add_row("options", " ".join(f"{option}={value}" for option, value in options(kernel).items()))
        out.print(facts)
        table = Table("core file", "sha256", "", box=None, pad_edge=False)
        for file in files:
            table.add_row(file.name, (file.digest or "")[:16], file.verdict)
        out.print()
        out.print(table)


@kernels.command()
@click.argument("selectors", metavar="SEL...", nargs=-1, required=True)
@cc_option
def vendor(selectors: tuple[str, ...]) -> None:
    """Copy kernels to vendor_headers/, so that this checkout builds them without network."""
    names = expand(selectors)
    for name in names:
        if not isinstance(parse(name), Pinned):
            raise ConformanceError(
                f"{name} cannot be vendored: only a series ({', '.join(SERIES)}) or all can."
            )
    for name in names:
        kernel = open_kernel(name, progress=say)
        place = lay_out(kernel.root, name, kernel.version)
        click.echo(f"{name}: {kernel.version} is in {place} ({megabytes(size_of(place))})")


@kernels.command()
@click.argument("series", metavar="SERIES", type=click.Choice(SERIES))
@click.argument("version", required=False)
def pin(series: str, version: str | None) -> None:
    """For maintainers: pin VERSION of a series; without VERSION, update the digests of the pinned one."""
    pinned = pin_series(series, version, Cache(), say)
    click.echo(f"{series}: pinned {pinned.package} {pinned.version} with {len(pinned.core)} core files")
