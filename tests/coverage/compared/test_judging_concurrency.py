# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of concurrency in the MMU of 6.1: what races show of them, and what nothing can."""

from __future__ import annotations

import pytest

from conformance.coverage.compared.concurrency import concurrency_changes
from conformance.coverage.compared.judging import Judge, Libraries, Task
from conformance.coverage.compared.mutants import Outcome
from conformance.coverage.compared.planted_kernel import plant_kernel
from conformance.coverage.compared.racing import RaceDetector
from conformance.kernels import Cache, open_kernel
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.shim.build import build_shim

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

MMU = "arch/x86/kvm/mmu/mmu.c"
TDP = "arch/x86/kvm/mmu/tdp_mmu.c"
ITER = "arch/x86/kvm/mmu/tdp_iter.h"

COMPARE, LOCK, SHARED = "compare and exchange split", "lock dropped", "read lock instead of write lock"
OUT = Outcome.OUT_OF_REACH.value
EXCLUDED = "statement outside of a lock"
ZAP, AGING = "dirty_lost_in_a_zap", "dirty_lost_in_rmap_aging"
ON, ON_WITH_PML = "logging_on_against_release", "logging_on_against_release_with_pml"
OFF, FLOOD = "logging_off_against_release", "flood_cleared_against_zapping"

MUTANTS = [
    # The file, the function, the operator, the race, the outcome, the invariant that is violated.
    (TDP, "tdp_mmu_set_spte_atomic", COMPARE, "two_vcpus_install_one_table", "compared", "nothing complains"),
    (MMU, "mmu_try_to_unsync_pages", LOCK, "two_tables_unsync_at_once", "compared", "nothing complains"),
    (ITER, "kvm_tdp_mmu_write_spte_atomic", "exchange split", ZAP, "compared", "dirty frames are told"),
    (MMU, "mmu_spte_age", "atomic bit operation split", AGING, "compared", "dirty frames are told"),
    (MMU, "kvm_mmu_slot_leaf_clear_dirty", LOCK, ON_WITH_PML, "compared", "nothing crashes"),
    (MMU, "kvm_mmu_slot_remove_write_access", LOCK, ON, "compared", "nothing crashes"),
    (MMU, "kvm_mmu_zap_collapsible_sptes", LOCK, OFF, "compared", "nothing crashes"),
    (MMU, "get_mmio_spte", LOCK, "mmio_walk_against_zapping", "compared", "nothing complains"),
    (MMU, "shadow_page_table_clear_flood", LOCK, FLOOD, "compared", "nothing crashes"),
    (MMU, "mmu_alloc_shadow_roots", LOCK, "root_freed_against_lookup", "compared", "nothing crashes"),
    (MMU, "direct_page_fault", SHARED, "two_vcpus_link_one_page", "compared", "nothing crashes"),
    (TDP, "tdp_mmu_link_sp", EXCLUDED, "two_vcpus_list_tables_to_recover", "compared", "nothing complains"),
    (MMU, "kvm_mmu_change_mmu_pages", LOCK, ZAP, "survived", ""),
    (MMU, "walk_shadow_page_lockless_begin", "barrier dropped", "walk_against_zapping", OUT, ""),
    (MMU, "mmu_try_to_unsync_pages", "barrier dropped", "two_tables_unsync_at_once", "equivalent", ""),
]  # fmt: skip


def quiet(_):
    """Progress that is not shown."""


@pytest.fixture(scope="module")
def kernel():
    return open_kernel("6.1")


@pytest.fixture(scope="module")
def tasks(kernel):
    """The mutants, by number."""
    found = {}
    for number, (file, function, operator, race, *_) in enumerate(MUTANTS, 1):
        every = concurrency_changes((kernel.root / "src" / file).read_bytes())
        # Of the locks of a function, the write lock comes last.
        *_, change = (one for one in every if (one.function, one.operator) == (function, operator))
        found[number] = Task(number, file, change, (("races", race),))
    return found


@pytest.fixture(scope="module")
def planted(kernel, tasks):
    """The kernel with the mutants."""
    cache = Cache()
    mutants = {number: (task.file, task.change) for number, task in tasks.items()}
    made = plant_kernel(kernel, mutants, cache, quiet, lambda one: build_kvm(one, cache, quiet, racing=True))
    assert not made.rejected
    return made.kernel


@pytest.fixture(scope="module")
def judge(kernel, planted):
    """What judges a mutant in this process."""
    cache = Cache()
    racing = build_kvm(planted, cache, quiet, racing=True)
    made = Judge(Libraries(kernel, build_shim(planted, cache, quiet), None, {}, None, racing))
    yield made
    made.close()


@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1))
def test_the_outcome_of_a_mutant(judge, tasks, number):
    verdict = judge.judge(tasks[number])
    *_, race, outcome, invariant = MUTANTS[number - 1]
    assert verdict.outcome == Outcome(outcome), verdict
    if invariant:
        assert verdict.by[:2] == ("races", race) and verdict.how.startswith(f"{invariant}: ")


def test_a_violation_without_the_mutant_says_nothing_about_it(planted, monkeypatch):
    cache = Cache()
    races = RaceDetector(profile_of(planted.release), build_kvm(planted, cache, quiet, racing=True))
    sight = races.by_race(1, MUTANTS[0][3], "ept-ad")
    assert sight.how.startswith("nothing complains")
    monkeypatch.setattr(races, "_violated_without", lambda name, mode: "nothing complains")
    assert races.by_race(1, MUTANTS[0][3], "ept-ad").how == ""
