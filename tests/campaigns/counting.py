"""A kind of campaign for the tests, without kernels: a unit counts up to its number."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Summing(Counting):
    """A unit is given the sum of what those before the one half as far have counted, and adds its number."""

    def run(self, unit: Unit) -> list[Row]:
        rows = super().run(unit)
        return [replace(row, steps=row.steps + int(unit.given or b"0")) for row in rows]


class SummingGuide:
    """Gives each unit of Summing the sum that it needs."""

    def __init__(self, kind: Summing) -> None:
        self._units = [unit.id for unit in kind.units()]
        self._steps: dict[str, int] = {}
        self.closed = False

    def learn(self, unit: str, rows: Sequence[Row]) -> None:
        assert unit not in self._steps
        self._steps[unit] = rows[0].steps

    def supplied(self, unit: Unit) -> Unit | None:
        needed = self._units[: unit.defined["number"] // 2]
        if not all(one in self._steps for one in needed):
            return None
        return replace(unit, given=str(sum(self._steps[one] for one in needed)).encode())

    def close(self) -> None:
        self.closed = True


def sums(many: int) -> list[int]:
    """What each unit of Summing has counted in the end."""
    found: list[int] = []
    for number in range(many):
        found.append(number + sum(found[: number // 2]))
    return found
