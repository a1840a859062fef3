# SPDX-License-Identifier: GPL-2.0-only
"""How a property's space is explored: structure, volume, every combination, or memory."""

from conformance.differential.engines.bulk import bulk
from conformance.differential.engines.exhaustive import Space, control_space, exhaust
from conformance.differential.engines.fuzz import PROFILES, fuzz

__all__ = ["ENGINES", "PROFILES", "Space", "bulk", "control_space", "exhaust", "fuzz"]

ENGINES = {
    "fuzz": "Hypothesis: legal, near-legal and arbitrary SPTEs, one case at a time, shrunk",
    "bulk": "numpy against a loop in C: chunks of many thousand cases",
    "exhaustive": "every combination of the bits that matter, found by flipping each",
    "fingerprint": "a published set of cases, whose answers are compared with those of the blessed kernel",
}
"""Every engine by name, with its description."""
