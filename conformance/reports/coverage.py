# SPDX-License-Identifier: GPL-2.0-only
"""Coverage for the terminal: per kernel a table of files, then what was not measured or not executed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from conformance.coverage.compared.mutants import Compared, Judged, Outcome
from conformance.coverage.data import LAYERS
from conformance.coverage.outcome import Changed, Dark, KernelCoverage, Sums
from conformance.reports.terminal import say
from conformance.reports.text import line

__all__ = ["TITLES", "interval", "ranges", "share", "short", "show"]

_DARK = 10
"""How many functions that no run executed are named."""
TITLES = {"functions": "properties"}
"""What runs in a layer, where that is not its name."""

_FOLDERS = ("arch/x86/kvm/", "virt/kvm/")


def short(file: str) -> str:
    """A file's path without the folder of KVM."""
    for folder in _FOLDERS:
        file = file.removeprefix(folder)
    return file


def share(part: tuple[int, int]) -> str:
    """A share in percent, rounded down, so that only all is 100 %; "-" of nothing."""
    return f"{100 * part[0] // part[1]} %" if part[1] else "-"


def ranges(numbers: Iterable[int]) -> str:
    """Sorted numbers, those that follow one another as a range: ``3, 7-9``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def interval(compared: Compared) -> str:
    """The share of compared lines with its confidence interval, as a clause."""
    if compared.share is None:
        return "no mutant was decided"
    low, high = compared.interval
    return f"{compared.share:.0%} of executed lines are compared (95 % interval: {low:.0%} to {high:.0%})"


_NAMED = {
    Outcome.SURVIVED: "magenta",
    Outcome.REVIEWS: "cyan",
    Outcome.NOT_JUDGED: "yellow",
}
"""The outcomes whose mutants are listed, with their colours."""


def show(kernels: Sequence[KernelCoverage], rule: Sequence[str], console: Console) -> None:
    """Print the coverage of kernels, and the rule by which lines were counted."""
    for kernel in kernels:
        _kernel(kernel, console)
        console.print()
    for sentence in rule:
        console.print(line(sentence), style="dim")


def _kernel(kernel: KernelCoverage, console: Console) -> None:
    say(console, f"{line(kernel.title)}  {line(kernel.version)}", "bold")
    for note in filter(None, (kernel.drift, *kernel.notes)):
        say(console, f"note: {line(note)}", "yellow")
    console.print(_table(kernel))
    for name, reason in kernel.coverage.missing.items():
        say(console, f"not measured: {name} ({LAYERS[name]}): {line(reason)}", "yellow")
    if count := kernel.total().unreachable:
        say(console, f"{count} lines cannot be reached in this configuration, and are not counted.")
    _changed(kernel.changed, console)
    _compared(kernel.compared, console)
    _dark(kernel.dark_functions(), console)
    for fault in (*kernel.unreachable.faults, *kernel.astray):
        say(console, f"fault: {line(fault)}", "bold red")


def _table(kernel: KernelCoverage) -> Table:
    """A row for each file: what was executed of it, and how many of its lines each layer executed."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    layers = list(kernel.coverage.layers)
    table.add_column("", overflow="fold", min_width=19)
    for title in ("lines", "", "branches", "functions"):
        table.add_column(title, justify="right", no_wrap=True)
    for layer in layers:
        table.add_column(TITLES.get(layer, layer), justify="right", no_wrap=True, overflow="ellipsis")
    for name in kernel.files:
        by_layer = {layer: kernel.sums(name, layer) for layer in layers}
        table.add_row(short(name), *_cells(kernel.sums(name), by_layer))
    table.add_row(
        "all", *_cells(kernel.total(), {layer: kernel.total(layer) for layer in layers}), style="bold"
    )
    return table


def _cells(sums: Sums, by_layer: Mapping[str, Sums]) -> list[str]:
    return [
        "{}/{}".format(*sums.lines),
        share(sums.lines),
        share(sums.branches),
        "{}/{}".format(*sums.functions),
        *(share((one.lines[0], sums.lines[1])) for one in by_layer.values()),
    ]


def _changed(changed: Sequence[Changed] | None, console: Console) -> None:
    if changed is None:
        return
    executed, lines = sum(one.lines - len(one.dark) for one in changed), sum(one.lines for one in changed)
    if not lines:
        say(console, "The patch adds or changes no line with code that counts.")
        return
    say(console, f"Of {lines} lines with code that the patch adds or changes, {executed} were executed.")
    for one in changed:
        if one.dark:
            say(console, f"  dark: {one.file}: line {ranges(one.dark)}", "magenta")


def _compared(compared: Compared | None, console: Console) -> None:
    if compared is None:
        return
    counts = ", ".join(
        f"{len(compared.of(outcome))} {outcome.value}" for outcome in Outcome if compared.of(outcome)
    )
    planted = len(compared.judged)
    say(console, f"Compared: {interval(compared)}; {planted} mutants, seed {compared.seed}: {counts}.")
    say(
        console,
        f"Drawn from {compared.plantable} of the {compared.executed} lines that properties or stories "
        f"execute: in the others nothing can be changed. {compared.rejected} changes did not compile.",
    )
    for outcome, colour in _NAMED.items():
        for one in compared.of(outcome):
            say(console, f"  {outcome.value}: {line(mutant(one))}{_ran(one)}", colour)


def _ran(judged: Judged) -> str:
    """What executes the line of a mutant, and what is known besides, as the end of a sentence."""
    names = [name for _, name in judged.executed_by]
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    ran = f"; executed by {names[0]}{others}" if names else ""
    return f"{ran} ({line(judged.how)})" if judged.how else ran


def mutant(judged: Judged) -> str:
    """The place of a mutant, and what it changes."""
    planted = judged.mutant
    change = f"{planted.before.strip()} -> {planted.after.strip()}"
    return f"{short(planted.file)}:{planted.line} {planted.function}(): {planted.operator}: {change}"


def _dark(functions: Sequence[Dark], console: Console) -> None:
    if not functions:
        return
    names, lines = sum(len(one.names) for one in functions), sum(one.lines for one in functions)
    say(console, f"Functions that were not executed: {names}, with {lines} lines. The largest:")
    for one in functions[:_DARK]:
        say(console, f"  {one.lines:4} lines  {one.name}  {short(one.file)}")
