# SPDX-License-Identifier: GPL-2.0-only
"""The cost of each property in the bulk engine, in cases per second of each side."""

from __future__ import annotations

import numpy as np
from figures import interleaved, per_second
from rich import box
from rich.console import Console
from rich.table import Table

from conformance.differential.comparison import Comparison
from conformance.differential.engines.bulk import Chunks
from conformance.differential.properties import PROPERTIES
from conformance.differential.sides import ModelSide, OracleSide
from conformance.model.modes import MODES
from conformance.model.profiles import Profile
from conformance.oracles.shim.oracle import ShimOracle

__all__ = ["cost"]

SLOWEST = 5


def cost(console: Console, profile: Profile, oracle: ShimOracle, repeats: int) -> None:
    """Measure every property of the kernel in one mode and print the slowest."""
    rows = []
    kernel, model = OracleSide(oracle, profile), ModelSide(profile)
    for prop in PROPERTIES.values():
        if prop.name in oracle.entries:
            mode = "ept-ad" if "ept-ad" in prop.modes else prop.modes[0]
            rows.append(_cost(Comparison(prop, MODES[mode], kernel, model), repeats))
    rows.sort(key=lambda row: row[-1])
    table = Table(
        title=f"Bulk, cases a second: the slowest {SLOWEST} of {len(rows)} properties, median, the fastest",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    table.add_column("property")
    for heading in ("mode", "cases at once", "drawing", "kernel", "model", "compare", "all"):
        table.add_column(heading, justify="right")
    median = ("median of each column", "", 0, *(float(np.median(rates)) for rates in _rates(rows)))
    shown = [*rows[:SLOWEST], median, rows[-1]]
    for name, mode, n, *rates in shown:
        table.add_row(name, mode, f"{n}" if n else "", *map(per_second, rates))
    console.print(table)
    console.print(
        " kernel: copied in, run in the child, copied out. model: numpy, or ints where 256 at once."
        " compare: both, side by side. all: a chunk drawn, then compared.\n",
        style="dim",
        highlight=False,
    )


def _rates(rows: list[tuple]) -> list[tuple[float, ...]]:
    return list(zip(*(row[3:] for row in rows), strict=True))


def _cost(comparison: Comparison, repeats: int) -> tuple:
    """Name, mode, cases at once, and cases a second of drawing, kernel, model, compare, all."""
    rng = np.random.default_rng(1)
    n = Chunks(comparison, rng).cases
    batch = comparison.draw(rng, n)
    took = interleaved(
        {
            "draw": lambda: comparison.draw(rng, n),
            "kernel": lambda: comparison.answer(comparison.left, batch),
            "model": lambda: comparison.answer(comparison.right, batch),
            "compare": lambda: comparison.compare(batch),
        },
        repeats,
    )
    whole = took["draw"] + took["compare"]
    return comparison.property.name, comparison.mode.name, n, *(n / each for each in took.values()), n / whole
