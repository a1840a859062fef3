# SPDX-License-Identifier: GPL-2.0-only
"""``conformance trace``: hold the records of running kernels against the model's rules."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.options import destinations, kernel_option, output_file, report_options
from conformance.cli.profiles import profiles_of
from conformance.cli.run import deliver
from conformance.errors import ConformanceError
from conformance.reports.files import Destination
from conformance.reports.text import line

if TYPE_CHECKING:
    from rich.console import Console

    from conformance.model.modes import Mode
    from conformance.model.profiles import Profile
    from conformance.traces.outcome import Outcome

__all__ = ["trace"]

RECORD = "record"


class _Number(click.ParamType):
    """An unsigned number, hex with or without 0x, as traces print it."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number as an int."""
        try:
            number = int(str(value), 16)
        except ValueError:
            number = -1
        if number < 0 or number >> 64:
            self.fail(
                f"{line(str(value))!r} is no hex number of 64 bits; pass it as the trace has it.", param, ctx
            )
        return number


@click.command()
@click.argument("files", metavar="FILE|-... | record -- COMMAND", nargs=-1, required=True)
@kernel_option("Series, debian:VERSION or tree:PATH[@REV] of the traced kernel.  [default: inferred]")
@click.option("--mode", metavar="NAME", help="The mode of the traced host.  [default: inferred]")
@click.option(
    "--maxphyaddr",
    "phys_bits",
    type=click.IntRange(32, 52),
    metavar="N",
    help="Physical address bits of the traced host.  [default: inferred]",
)
@click.option("--gfn", type=_Number(), metavar="N", help="Also print the life of this guest frame.")
@click.option("--sptep", type=_Number(), metavar="N", help="Also print the life of the SPTE at this address.")
@click.option("--html", metavar="FILE", help="Draw that life, or that of the first finding, as a timeline.")
@report_options
@click.pass_context
def trace(ctx: click.Context, files: Sequence[str], **given: Any) -> None:
    """Check traces of the KVM MMU on a running host: no kernel, no root and no virtual machine is needed.

    A FILE is what tracefs, 'trace-cmd report', 'perf script' or bpftrace prints, plain or compressed, or a
    trace.dat; - is stdin. The kernel, the mode and the host's address bits are inferred from the SPTEs. A
    violation is proved by one event; a suspicion has innocent explanations, which are named.

    'record -- COMMAND' prints how to record what is checked while COMMAND runs.

    Exit status: 0 no violation, 1 a violation, 2 could not be judged.
    """
    if files[0] == RECORD:
        from conformance.traces.recording import recording

        click.echo(recording(files[1:]), nl=False)
        return
    del given["bisect"]
    places = destinations(given)
    html = output_file("--html", given["html"])
    if html is not None and len(files) > 1:
        raise ConformanceError("--html draws one trace; pass one FILE.")
    if given["gfn"] is not None and given["sptep"] is not None:
        raise click.UsageError("--gfn and --sptep exclude each other.")
    outcomes = _judged(files, _kernel(given["kernel"]), _mode(given["mode"]), given["phys_bits"])
    from conformance.reports.trace import report_of, show, show_life
    from conformance.traces.life import life_of

    chosen = given["gfn"], given["sptep"]
    if html is not None:
        from conformance.reports.trace_html import page

        Destination("--html", html).write(page(life_of(outcomes[0], *chosen), outcomes[0]))

    def print_all(console: Console) -> None:
        show(outcomes, console)
        if chosen != (None, None):
            for outcome in outcomes:
                show_life(life_of(outcome, *chosen), outcome, console)

    report = report_of(outcomes)

    def render(name: str) -> str:
        text: str = importlib.import_module(f"conformance.reports.{name}").render(report)
        return text

    ctx.exit(deliver(report.status, print_all, render, places))


def _judged(
    files: Sequence[str], kernel: tuple[str, Profile] | None, mode: Mode | None, phys_bits: int | None
) -> list[Outcome]:
    from conformance.traces.checking import check
    from conformance.traces.files import STDIN, read_trace

    if files.count(STDIN) > 1:
        raise ConformanceError("Stdin can be read once only: name - once.")
    return [check(read_trace(name), kernel=kernel, mode=mode, phys_bits=phys_bits) for name in files]


def _kernel(selector: str | None) -> tuple[str, Profile] | None:
    if selector is None:
        return None
    kernels = profiles_of(selector)
    if len(kernels) > 1:
        raise ConformanceError("A trace is of one kernel; name one with --kernel, or leave it out.")
    return kernels[0]


def _mode(name: str | None) -> Mode | None:
    from conformance.model.modes import MODES

    if name is not None and name not in MODES:
        raise ConformanceError(f"there is no mode {line(name)}; there are {', '.join(MODES)}.")
    return None if name is None else MODES[name]
