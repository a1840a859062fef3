# SPDX-License-Identifier: GPL-2.0-only
"""Engines: how the input space of a property is explored."""

from conformance.differential.engines.bulk import bulk
from conformance.differential.engines.exhaustive import Space, control_space, exhaust
from conformance.differential.engines.fuzz import PROFILES, fuzz
from conformance.differential.engines.prove import lacking
from conformance.differential.verdict import PROVE

__all__ = ["ENGINES", "PROFILES", "Space", "bulk", "control_space", "exhaust", "fuzz", "usual"]

ENGINES = {
    "fuzz": "Hypothesis: legal, near-legal and arbitrary SPTEs, one case at a time, shrunk",
    "bulk": "numpy against a loop in C: chunks of many thousand cases",
    "exhaustive": "every combination of the bits that matter, found by flipping each",
    "fingerprint": "a published set of cases, whose answers are compared with those of the blessed kernel",
    PROVE: "machine code as formulas, equal to the model's for every input on every host, by z3",
}
"""Every engine by name, with its description."""


def usual() -> tuple[str, ...]:
    """The engines of a run that names none: all, but for proofs where what they need is not installed."""
    return tuple(name for name in ENGINES if name != PROVE or not lacking())
