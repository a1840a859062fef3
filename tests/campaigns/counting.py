"""A kind of campaign for the tests, without kernels: a unit counts up to its number."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.campaigns.unit import Row, Unit
from conformance.errors import ConformanceError


@dataclass(frozen=True)
class Counting:
    """``seconds``: how long a unit takes. ``marks``: where each unit that is carried out leaves a file."""

    many: int
    seconds: float = 0.0
    marks: Path | None = None
    bad: tuple[int, ...] = ()
    name = "counting"
    compiles = False

    @property
    def definition(self) -> dict[str, Any]:
        return {"kernels": ["none"], "seed": 7}

    def units(self) -> Sequence[Unit]:
        return [Unit.of(self.name, f"up to {number}", number=number) for number in range(self.many)]

    def preparations(self) -> Sequence[str]:
        return ["nothing"]

    def prepare(self, what: str) -> None:
        assert what == "nothing"

    def run(self, unit: Unit) -> list[Row]:
        number = unit.defined["number"]
        if self.marks is not None:
            (self.marks / f"{number}-{time.monotonic_ns()}").touch()
        time.sleep(self.seconds)
        if number in self.bad:
            raise ConformanceError(f"{number} is bad.")
        return [
            Row("counting", "PASS", "none", "1", "kvm", "counting", f"mode-{each}", steps=number)
            for each in range(2)
        ]
