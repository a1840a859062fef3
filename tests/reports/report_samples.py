# SPDX-License-Identifier: GPL-2.0-only
"""Results to render, and a text with every kind of bad character."""

from __future__ import annotations

from conformance.differential.verdict import Counterexample, Result, Verdict

NASTY = "a\x1b[31mred\x00 b\nnot ok 1 x # SKIP y\t<&>]]> \u202e\ud800\ufffe é #1"


def found(**changes) -> Counterexample:
    given = {
        "inputs": {"spte": 0x0600000000000975},
        "decoded": {"spte": "present, leaf, R-X, host-writable, MMU-writable, W=0, A=1, D=0"},
        "kernel": {"returns": "false"},
        "model": {"returns": "true"},
        "again": "conformance run --kernel 6.1 --patch fix.mbox "
        "--only spte_has_volatile_bits --case 0x600000000000975",
    }
    return Counterexample(**{**given, **changes})


def failed(**changes) -> Result:
    given = {
        "property": "spte_has_volatile_bits",
        "oracle": "shim",
        "engine": "fuzz",
        "mode": "ept-ad",
        "verdict": Verdict.FAIL,
        "cases": 312,
        "seconds": 0.25,
        "reason": "case 312 of 65536",
        "counterexample": found(),
    }
    return Result(**{**given, **changes})


def result(name: str, verdict: Verdict, reason: str = "", **changes) -> Result:
    given = {"oracle": "shim", "engine": "bulk", "mode": "npt", "cases": 0, "seconds": 0.0}
    if verdict is Verdict.PASS:
        given.update(cases=65536, seconds=1.5)
    return Result(property=name, verdict=verdict, reason=reason, **{**given, **changes})
