# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark: ``python tests/bench/bench.py``, or ``tox -e bench``.

All figures are from this run on this machine, as ratios of named quantities. Times are shown beside their
targets and never asserted: the status is 0 unless something could not be measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable

from confining import confining
from cost import cost
from figures import Figure, show
from guided import guided
from racing import MODE, RACE, racing
from rich.console import Console
from stepping import stepping
from tracing import tracing
from volume import volume
from whole import first_run, warm_runs

from conformance.campaigns.extras import need
from conformance.differential.comparison import Comparison
from conformance.differential.engines.prove import require
from conformance.differential.properties import PROPERTIES
from conformance.differential.sides import ModelSide, OracleSide
from conformance.errors import ConformanceError
from conformance.kernels import Cache, open_kernel
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.oracles.child import KernelDied
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.scenarios.comparing import Death

SECTIONS = (
    "volume",
    "first",
    "warm",
    "cost",
    "stepping",
    "confining",
    "races",
    "guided",
    "traces",
    "campaigns",
    "proofs",
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of the suite on kernel 6.1, as ratios of one run.")
    parser.add_argument("--no-network", action="store_true", help="skip the first run in an empty cache")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="measure this alone (repeatable)")
    parser.add_argument("--repeats", type=int, default=7, help="how often each part is measured (default 7)")
    chosen = parser.parse_args()
    wanted = chosen.only or SECTIONS
    console = Console(width=None if sys.stdout.isatty() else 118)
    broken: list[str] = []

    def section(name: str, measure: Callable[[], None]) -> None:
        if name not in wanted:
            return
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        try:
            measure()
        except (RuntimeError, OSError, ConformanceError, KernelDied, Death) as trouble:
            broken.append(name)
            console.print(f"{name}: could not be measured: {trouble}\n", style="red", markup=False)

    def first() -> None:
        if chosen.no_network:
            console.print("First run in an empty cache: skipped (--no-network)\n", style="bold")
        else:
            show(console, "First run of one kernel, in an empty cache", first_run())

    def campaigns() -> list[Figure]:
        # Imported late, since Dask and DuckDB are an extra.
        need("distributed", "duckdb")
        from campaigning import campaigning

        return campaigning(min(3, chosen.repeats))

    def proved() -> None:
        # Imported late, since z3 is an extra.
        require()
        from proofs import proofs

        proofs(console, kernel, chosen.no_network, min(3, chosen.repeats))

    try:
        kernel = open_kernel("6.1", progress=lambda message: print(message, file=sys.stderr))
        library = build_shim(kernel, Cache(), lambda message: print(message, file=sys.stderr))
    except ConformanceError as trouble:
        print(trouble, file=sys.stderr)
        return 1
    profile = profile_of(kernel.release)
    console.print(
        f"{kernel.title} ({kernel.version}), {len(os.sched_getaffinity(0))} cores, Python"
        f" {platform.python_version()}; medians of {chosen.repeats} interleaved repetitions,"
        " warm runs 3, the first run once\n",
        highlight=False,
    )
    with ShimOracle(library) as oracle:
        name, mode = "spte_has_volatile_bits", "ept-ad"
        comparison = Comparison(
            PROPERTIES[name], MODES[mode], OracleSide(oracle, profile), ModelSide(profile)
        )
        title = f"Volume: {name}, {mode}"
        section("volume", lambda: show(console, title, volume(comparison, library, chosen.repeats)))
        section("first", first)
        section("warm", lambda: show(console, "Warm runs", warm_runs(min(3, chosen.repeats))))
        title = "A whole KVM and the machine: lockstep; stories and faults in ept-ad"
        section("stepping", lambda: show(console, title, stepping(min(3, chosen.repeats))))
        title = "Confinement: processes of kernel code, ept-ad"
        section("confining", lambda: show(console, title, confining(library, chosen.repeats)))
        title = f"Races: {RACE}, {MODE}, two processes"
        section("races", lambda: show(console, title, racing(min(3, chosen.repeats))))
        title = "Lockstep for ten minutes: edges of the MMU that are reached"
        section("guided", lambda: show(console, title, guided("6.1")))
        section("traces", lambda: show(console, "Checking a trace", tracing(min(3, chosen.repeats))))
        section("campaigns", lambda: show(console, "Campaigns: workers and engine", campaigns()))
        section("proofs", proved)
        section("cost", lambda: cost(console, profile, oracle, min(5, chosen.repeats)))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
