# SPDX-License-Identifier: GPL-2.0-only
"""Stands in for conformance.differential.run_properties, so that the command line is tested without a kernel.

Run as a program it is ``python -m conformance`` with that stand-in: a real process, a real exit status.
What the stand-in does is chosen by the name given to --only, as a user's choice would change it.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from types import ModuleType, SimpleNamespace

from conformance.differential.property_plan import PropertyPlan
from conformance.differential.verdict import Counterexample, KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError


def _interrupted() -> Report:
    raise KeyboardInterrupt


def _refused() -> Report:
    raise ConformanceError("9.9: no such series; pass one of 5.10, 6.1, 6.12, 7.2, 7.3.\n")


def _defect() -> Report:
    raise ZeroDivisionError("by \x1b nothing")


def _pipe() -> Report:
    raise BrokenPipeError("a pipe of ours, not stdout")


def _eof() -> Report:
    raise EOFError


def _starved() -> Report:
    raise BrokenProcessPool("A child process terminated abruptly")


def _report(verdict: Verdict) -> Report:
    words = Counterexample({"spte": 1}, {}, {"returns": "0"}, {"returns": "1"}, "conformance run --case 0x1")
    result = Result(
        "is_large_pte",
        "shim",
        "fuzz",
        "npt",
        verdict,
        cases=5 if verdict in (Verdict.PASS, Verdict.FAIL) else 0,
        reason="" if verdict in (Verdict.PASS, Verdict.FAIL) else "for a reason",
        counterexample=words if verdict is Verdict.FAIL else None,
    )
    return Report([KernelReport("6.1", "6.1", "6.1.176-1", results=[result])], seed=7)


OUTCOMES: dict[str, Callable[[], Report]] = {
    **{verdict.value: lambda verdict=verdict: _report(verdict) for verdict in Verdict},
    "interrupted": _interrupted,
    "refused": _refused,
    "defect": _defect,
    "pipe": _pipe,
    "eof": _eof,
    "starved": _starved,
}

plans: list[PropertyPlan] = []


def run(plan: PropertyPlan, *, progress: Callable[[str], None], advance: Callable[[Result], None]) -> Report:
    plans.append(plan)
    progress("comparing\x1b[2J")
    report = OUTCOMES[plan.only[0] if plan.only and plan.only[0] in OUTCOMES else "PASS"]()
    for kernel in report.kernels:
        for result in kernel.results:
            advance(result)
    return report


def listing(selector: str | None, progress: Callable[[str], None]) -> SimpleNamespace:
    if selector == "refused":
        _refused()
    progress("looking")

    def entry(name: str, group: str, absent: str = "") -> SimpleNamespace:
        return SimpleNamespace(name=name, group=group, summary=f"Whether {name}.", absent=absent)

    return SimpleNamespace(
        properties=[
            entry("is_writable_pte", "writability"),
            entry("is_large_pte", "shape"),
            entry("make_small_spte", "construction", "added by commit abc" if selector else ""),
            *(
                [entry(f"filler_{number}" * 5, "shape") for number in range(3000)]
                if selector == "long"
                else []
            ),
        ],
        modes=[("npt", "AMD nested paging.")],
        engines=[("fuzz", "Hypothesis.")],
        oracles=[("shim", "Single functions.")],
    )


def module() -> ModuleType:
    """The stand-in as a module to put into sys.modules."""
    made = ModuleType("conformance.differential.run_properties")
    made.__dict__.update(run=run, listing=listing)
    return made


if __name__ == "__main__":
    sys.modules["conformance.differential.run_properties"] = module()
    # The folder of this file is on the path, as of any script; the package's own comes first with -m.
    del sys.path[0]
    runpy.run_module("conformance", run_name="__main__", alter_sys=True)
