# SPDX-License-Identifier: GPL-2.0-only
"""Attacks by code in a race: each is a finding within bounded time and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from payloads import ATTACKS, CALL, HARMLESS, number_of, planted
from planting import patch_between

from conformance.kernels import Cache, open_kernel
from conformance.kernels.substitutions import TDP_C
from conformance.kernels.tools import quiet
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.build import build_kvm
from conformance.races import run_exploration as contests
from conformance.races.invariants import NO_CRASH
from conformance.races.race import RACES
from conformance.races.run_exploration import Exploration, Outcome, explore_race
from conformance.scenarios.steps import step

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("confined", "nothing_left")]

NAME, MODE = "two_vcpus_fault_on_one_gfn", "ept-ad"
NPAGES, HARMLESS_GFN = 64, 63
MEMORY = {"slot": 0, "as_id": 0, "gfn": 0, "npages": NPAGES, "page": 0, "flags": 0}
AT_ONCE = ("a forged refusal", "a daemon", "kill the parent", "the secret")
"""The attacks of the quick tests; the others take seconds each, mostly waiting."""

each_attack = pytest.mark.parametrize(
    "name", [name if name in AT_ONCE else pytest.param(name, marks=pytest.mark.slow) for name in ATTACKS]
)


@pytest.fixture(scope="session")
def library(guarded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    at, call = "\tkvm_mmu_hugepage_adjust(vcpu, fault);\n", "\tattack(fault->gfn);\n"
    patch = planted(TDP_C, at, call, tmp_path_factory.mktemp("races"), guarded)
    return build_kvm(open_kernel("6.1", [patch]), Cache(), quiet, racing=True)


@pytest.fixture
def race_of(library: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Outcome]:
    """Runs a race of two vCPUs, one of which faults on a gfn."""
    monkeypatch.setattr(contests, "PATIENCE", 2.0)

    def hold_it(gfn: int) -> Outcome:
        setup = (
            step("mmap", page=0, npages=NPAGES, writable=1, level=1),
            step("set_memory_region", **MEMORY),
            step("access", vcpu=0, gfn=0, kind=2),
            step("enter", vcpu=1),
        )
        threads = {
            "vcpu0": (step("access", vcpu=0, gfn=gfn, kind=2),),
            "vcpu1": (step("access", vcpu=1, gfn=HARMLESS_GFN, kind=2),),
        }
        race = replace(RACES[NAME], name="attack", setup=setup, threads=threads)
        monkeypatch.setitem(RACES, "attack", race)
        return explore_race(Exploration("attack", MODE, profile_of((6, 1)), library, limit=20))

    return hold_it


@each_attack
def test_a_race_that_attacks(race_of: Callable[[int], Outcome], name: str) -> None:
    outcome = race_of(number_of(name))
    assert (outcome.trouble, outcome.lacking) == ("", None)
    if ATTACKS[name].ends == HARMLESS:
        assert outcome.violation is None
        return
    assert outcome.violation is not None and outcome.violation.invariant == NO_CRASH.name
    assert outcome.violation.choices
    if "SIGSYS" in outcome.violation.how:
        assert outcome.segments[-1].thread == "vcpu0"
    assert race_of(HARMLESS_GFN).violation is None


AT_LOAD = {
    "exit_group(0)": "CALL(231, 0, 0, 0, 0);",
    "a forged outcome": 'SAY("{\\"trouble\\": \\"nothing to see\\"}\\n"); CALL(231, 0, 0, 0, 0);',
    "a marker": 'CALL(2, "@MARKER@", 0102, 0600, 0);',
}


@pytest.mark.slow
@pytest.mark.parametrize("name", AT_LOAD)
def test_a_library_that_attacks_when_it_is_loaded(name: str, guarded: Path, tmp_path: Path) -> None:
    before = (open_kernel("6.1").root / "src" / TDP_C).read_text()
    code = AT_LOAD[name].replace("@MARKER@", str(guarded / "marker"))
    constructor = f"\nstatic void __attribute__((constructor)) attack(void)\n{{\n\t{code}\n}}\n"
    patch = patch_between(TDP_C, before, before + CALL + constructor, tmp_path)
    library = build_kvm(open_kernel("6.1", [patch]), Cache(), quiet, racing=True)
    violation = explore_race(Exploration(NAME, MODE, profile_of((6, 1)), library, limit=20)).violation
    assert violation is not None and violation.invariant == NO_CRASH.name
    assert violation.how.startswith("broke off: it ") and violation.how.endswith(", before the race began")
