"""Campaigns of each kind with rows that are made up, written to a file and read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from conformance.campaigns.campaign import Campaign
from conformance.campaigns.results import claimed, read
from conformance.campaigns.unit import Done, Row, Unit, suite_version
from conformance.differential.verdict import Counterexample

FOUND = Counterexample(
    {}, {}, {"pfn": "1"}, {"pfn": "2"}, "conformance lockstep --seed 6", steps=("access gfn=1", "zap gfn=1")
)
BASE = {"kernels": ["6.1"], "patches": [], "modes": [], "seed": 5, "compiler": "gcc"}


@dataclass(frozen=True)
class Sample:
    """In place of a kind: what the file says of it."""

    name: str
    definition: dict[str, Any] = field(default_factory=lambda: dict(BASE))


def campaign(folder: Path, kind: str, rows: Sequence[Row], *, planned: int = 0, **more: Any) -> Campaign:
    """A campaign of which each unit has one of the rows; each took two seconds."""
    sample = Sample(kind, {**BASE, **more})
    units = [Unit.of(kind, f"unit {number}", number=number) for number in range(len(rows))]
    with claimed(folder) as results:
        results.begin(sample, planned or len(rows))
        done = zip(units, rows, strict=True)
        results.write([Done(unit, "host", 2.0, (row,), suite_version()) for unit, row in done])
    return read(folder)


def comparison(verdict: str, *, mode: str = "npt", steps: int = 100, details: Any = None, **more: Any) -> Row:
    """A row of a comparison."""
    given = {"subject": "lockstep", "kernel": "6.1", "version": "6.1.9-1", "oracle": "kvm", **more}
    found = verdict == "FAIL"
    return Row(
        verdict=verdict,
        engine="lockstep",
        mode=mode,
        steps=steps,
        seconds=2.0,
        counterexample=json.dumps(asdict(FOUND)) if found else "",
        again=FOUND.again if found else "",
        details="" if details is None else json.dumps(details),
        **given,
    )


def mutant(outcome: str, function: str = "make_spte", **more: Any) -> Row:
    """A row of a mutant."""
    about = {
        "file": "arch/x86/kvm/mmu/spte.c",
        "line": 100,
        "function": function,
        "operator": "> becomes >=",
        "start": 1,
        "end": 2,
        "text": ">=",
        "before": "\tif (a > b)",
        "after": "\tif (a >= b)",
        "runs": 3,
        **more,
    }
    return Row(function, outcome, "6.1", "6.1.9-1", engine="stories", seconds=0.5, details=json.dumps(about))


def commit(number: int, outcome: str, subject: str, *, claim: str = "", found: bool = False) -> Row:
    """A row of a commit."""
    about = {
        "commit": f"{number:012x}",
        "number": number,
        "claim": claim,
        "functions": {"behaviour differs": ["make_spte"]} if found else {},
        "proved": False,
        "lines": 4,
        "executed": 3,
        "undone": [],
    }
    return Row(
        subject,
        outcome,
        "6.1 (6.1.9-1, gcc)",
        counterexample=json.dumps(asdict(FOUND)) if found else "",
        again=f"conformance patch {number:012x} --onto tree:x",
        details=json.dumps(about),
    )
