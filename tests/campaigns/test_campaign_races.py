# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns of races: which units there are, what their rows hold, and faults that drawn programs find."""

from __future__ import annotations

import json
import shlex
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from conformance.campaigns import races as module
from conformance.campaigns.races import Races
from conformance.campaigns.unit import Order
from conformance.errors import ConformanceError
from conformance.kernels import open_kernel
from conformance.model.profiles import profile_of
from conformance.races import run_drawn
from conformance.races.explorer import Explored, Violation
from conformance.races.programs import DrawnProgram
from conformance.races.race import library_without
from conformance.races.race_file import read
from conformance.races.run_drawn import RacingKernel
from conformance.races.run_exploration import explore_race
from conformance.races.schedule import Segment
from conformance.races.settings import SETTINGS
from conformance.races.stories import RACES
from conformance.races.tasks import Outcome

ORDER = Order(("6.1",), (), (), 3, "gcc")
MODES = {mode for setting in SETTINGS.values() for mode in setting.modes}
INVARIANT = "nothing complains"


def on(library="kvm.so", title="6.1", series="6.1"):
    kernel = SimpleNamespace(title=title, version="6.1.1", series=series)
    return RacingKernel(kernel, Path(library), profile_of((6, 1)), ("--kernel", "6.1"))


def test_a_round_has_each_race_and_drawn_programs_in_turn():
    units = Races(ORDER, 10, 1).units()
    assert [unit.defined["race"] for unit in units if "race" in unit.defined] == [*RACES]
    drawn = [unit.defined["mode"] for unit in units if "mode" in unit.defined]
    assert len(drawn) >= len(RACES) and {*drawn} == MODES
    assert all(unit.defined["searched"] for unit in units if "race" in unit.defined)
    assert len({unit.id for unit in units}) == len(units)


def test_a_larger_budget_has_the_units_of_a_smaller_one_and_more():
    few = Races(ORDER, 10, 1).units()
    many = Races(ORDER, 10, 2 * 10 * len(few)).units()
    assert many[: len(few)] == few and len(many) == 2 * len(few)
    rounds = [unit.defined for unit in many if unit.defined.get("race") == "fault_against_release"]
    assert [(one["seed"], one["searched"]) for one in rounds] == [(3, True), (4, False)]
    seeds = [(unit.defined["mode"], unit.defined["seed"]) for unit in many if "mode" in unit.defined]
    assert len({*seeds}) == len(seeds)


def test_modes_choose_races_and_programs():
    units = Races(Order(("6.1",), (), ("shadow",), 0, "gcc"), 10, 1).units()
    assert {unit.defined["mode"] for unit in units if "mode" in unit.defined} == {"shadow"}
    assert all("shadow" in RACES[unit.defined["race"]].modes for unit in units if "race" in unit.defined)
    with pytest.raises(ConformanceError, match="no race has mode dos"):
        Races(Order(("6.1",), (), ("dos",), 0, "gcc"), 10, 1).units()


class Explorer:
    """In place of explore_race(): programs of vcpu0 violate an invariant on the kernel."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def __call__(self, exploration):
        self.ran.append(exploration.race)
        explored = Explored(differing=7, exhausted=True, threads=2)
        if exploration.library is None or "/vcpu0" not in exploration.race:
            return Outcome(explored)
        explored.exhausted, explored.violation = False, Violation(INVARIANT, "so", (0, 1))
        return Outcome(explored, ("vcpu0", "host"), (Segment("vcpu0"),))


@pytest.fixture
def explorer(monkeypatch):
    made = Explorer()
    monkeypatch.setattr(run_drawn, "explore_race", made)
    monkeypatch.setattr(module, "_ready", lambda selector, order: on())
    return made


def unit(**what):
    return Races(ORDER, 2.0, 1)._unit("6.1", 0, **what)


def test_rows_of_drawn_programs(explorer, tmp_path):
    every, *found = Races(ORDER, 2.0, 1).run(unit(mode="ept-noad"))
    details = json.loads(every.details)
    assert every.verdict == "PASS" and every.subject == "drawn programs" and every.mode == "ept-noad"
    assert 0 < details["kept"] <= details["explored"] <= details["drawn"] and details["edges"] > 0
    assert every.steps == sum(details["schedules"].values())
    (row,) = found
    assert details["violating"].keys() == {f"kvm: {INVARIANT}"}
    assert row.verdict == "FAIL" and row.oracle == "kvm"
    program = DrawnProgram.parse(row.subject)
    assert program.threads[0][0] == "vcpu0" and program.length == 2
    words = shlex.split(row.again)
    assert words[:4] == ["conformance", "explore", "run", row.subject]
    (tmp_path / "a.race").write_text(json.loads(row.details)["race_file"])
    assert read(tmp_path / "a.race").race == row.subject


def test_no_program_in_the_time_is_no_pass(explorer, monkeypatch):
    monkeypatch.setattr(run_drawn.Drawing, "next", lambda self: (None, False))
    (row,) = Races(ORDER, 0.01, 1).run(Races(ORDER, 0.01, 1)._unit("6.1", 0, mode="npt"))
    assert row.verdict == "ERROR" and "pass a longer --unit" in row.reason


def test_rows_of_a_race(explorer):
    rows = Races(ORDER, 2.0, 1).run(unit(race="fault_against_release"))
    assert {(row.mode, row.oracle) for row in rows} == {
        (mode, side) for mode in RACES["fault_against_release"].modes for side in ("model", "kvm")
    }
    assert {row.verdict for row in rows} == {"PASS"}


FAULTS = [
    ("fault_against_release", "e930bffe95e1", "npt", "unmapped/vcpu0.write/host.discard"),
    ("get_dirty_log_against_writes", "MARKED_AFTER_CMPXCHG", "ept-noad", "logged/vcpu0.write/user.log"),
    ("writable_lost_in_a_zap", "ba3a6120a4e7", "ept-noad", "logged/vcpu0.write/host.discard"),
]
"""Races that revert a change, the change, a mode in which it matters, and a program that shows it."""


@pytest.fixture
def planted(monkeypatch):
    """6.1 without a change, and the invariant that this breaks."""

    def plant(race, label):
        (historic,) = (one for one in RACES[race].historic if one.label == label)
        kernel = open_kernel("6.1")
        library = library_without(kernel, RACES[race], historic.change, lambda message: None)
        ready = RacingKernel(kernel, library, profile_of((6, 1)), ("--kernel", "6.1"))
        monkeypatch.setattr(module, "_ready", lambda selector, order: ready)
        return ready, historic.invariant.name

    return plant


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize(("race", "label", "mode", "program"), FAULTS)
def test_a_program_shows_a_planted_fault(planted, race, label, mode, program):
    ready, invariant = planted(race, label)
    violation = explore_race(ready.task(program, mode, "kvm", limit=300).exploration).violation
    assert violation is not None and violation.invariant == invariant


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize(("race", "label", "mode", "program"), FAULTS)
def test_drawn_programs_find_a_planted_fault(planted, race, label, mode, program, monkeypatch):
    _, invariant = planted(race, label)
    # A second for each program that is drawn.
    monkeypatch.setattr(run_drawn, "time", SimpleNamespace(monotonic=count().__next__))
    kind = Races(ORDER, 60.0, 1)
    violated: set[str] = set()
    for seed in range(8):
        found = [row for row in kind.run(kind._unit("6.1", seed, mode=mode)) if row.verdict == "FAIL"]
        assert {row.oracle for row in found} <= {"kvm"}
        violated |= {name for row in found for name in json.loads(row.counterexample)["kernel"]}
        if invariant in violated:
            return
    raise AssertionError(f"only {sorted(violated)} are violated")
