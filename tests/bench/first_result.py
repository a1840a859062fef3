# SPDX-License-Identifier: GPL-2.0-only
"""Prints the monotonic time at which a run gives its first result: ``python first_result.py SELECTOR``."""

from __future__ import annotations

import sys
import time

from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.verdict import Result


def first(result: Result) -> None:
    print(time.monotonic(), result.property, result.verdict.name, flush=True)
    raise SystemExit(0)


if __name__ == "__main__":
    run(PropertyPlan(kernels=(sys.argv[1],), seed=1), progress=lambda message: None, advance=first)
