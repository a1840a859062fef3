# SPDX-License-Identifier: GPL-2.0-only
"""Threads of the kernel's own KVM stop where others may meet them, wait for each other, and begin anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kvm_races import (
    DELETED,
    FAST_FAULT,
    GET_LOG,
    UNMAPPED,
    UNMAPPED_FAST,
    Died,
    access,
    forgotten,
    host,
    memory,
    race,
    ready,
    region,
    run,
    schedules,
    stale,
    walk_until,
)

from conformance.interface.memory_access import Access
from conformance.kernels import Cache, Kernel, open_kernel
from conformance.kernels.substitutions import Substitution, write_patch
from conformance.model.modes import MODES
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.kvm.racing import RacingKvm

pytestmark = pytest.mark.kernel
VCPU0, OTHER = 0, 1


@pytest.fixture
def library(racing_library: Path) -> Path:
    return racing_library


def trace(racing: RacingKvm) -> list[str]:
    """Every point of a schedule in which threads take turns, then how it ended."""
    racing.begin()
    lines, turn = [], 0
    while able := ready(racing):
        t = able[turn % len(able)]
        turn += 3
        lines.append(f"{racing.threads[t]} {racing.name(t)} {racing.pending(t)} {racing.spte(t)}")
        racing.advance(t)
    ending = racing.finish()
    return [*lines, str(ending.events), str(ending.observation)]


@pytest.mark.parametrize("story", [FAST_FAULT, UNMAPPED, DELETED])
def test_the_same_choices_give_the_same_trace(library: Path, story: dict) -> None:
    """In a process after begin(), and in another."""
    once, again = race(library, story, lambda racing: (trace(racing), trace(racing)))
    assert once == again
    assert race(library, story, trace) == once


@pytest.mark.parametrize("story", [FAST_FAULT, UNMAPPED, DELETED])
def test_begin_restores_all_memory(library: Path, story: dict) -> None:
    def digests(racing: RacingKvm) -> tuple[int, int, int]:
        list(schedules(racing, 20))
        racing.begin()
        first = racing.digest()
        while able := ready(racing):
            racing.advance(able[-1])
        racing.finish()
        changed = racing.digest()
        racing.begin()
        return first, changed, racing.digest()

    first, changed, restored = race(library, story, digests)
    assert changed != first
    assert restored == first


def test_points_have_names_of_the_kernel(library: Path) -> None:
    lines = "\n".join(race(library, FAST_FAULT, trace))
    assert "vcpu0 fast_pf_fix_direct_spte updates spte 4K gfn=0x0 (table #" in lines
    assert "vcpu0 processor_access reads spte 512G gfn=0x0" in lines
    assert "updates memslot->dirty_bitmap" in lines
    assert "user kvm_get_dirty_log_protect locks mmu_lock" in lines
    assert "memory 0x" not in lines
    assert "variable 0x" not in lines


def test_a_lock_that_is_held_is_waited_for(library: Path) -> None:
    def work(racing: RacingKvm) -> list[tuple[bool, str]]:
        seen = []
        walk_until(racing, OTHER, "locks mmu_lock")
        racing.advance(OTHER)
        run(racing, VCPU0)
        seen.append((racing.ready(VCPU0), racing.name(VCPU0)))
        assert racing.pending(VCPU0)[0] == Access.LOCK_SHARED
        walk_until(racing, OTHER, "unlocks mmu_lock")
        seen.append((racing.ready(VCPU0), racing.name(VCPU0)))
        racing.advance(OTHER)
        seen.append((racing.ready(VCPU0), racing.name(VCPU0)))
        return seen

    before, still, after = race(library, UNMAPPED, work)
    assert "locks for read mmu_lock" in before[1]
    assert (before[0], still[0], after[0]) == (False, False, True)


def test_a_flush_waits_for_who_is_in_the_guest(library: Path) -> None:
    story = {**FAST_FAULT, "setup": FAST_FAULT["setup"][:-1]}

    def work(racing: RacingKvm) -> tuple[str, bool, bool]:
        walk_until(racing, VCPU0, "processor_access adds to what happens")
        run(racing, OTHER)
        waits = racing.name(OTHER)
        walk_until(racing, VCPU0, "unlocks guest mode of CPU 0")
        still = racing.ready(OTHER)
        racing.advance(VCPU0)
        return waits, still, racing.ready(OTHER)

    waits, still, after = race(library, story, work)
    assert waits.endswith("waits for guest mode of CPU 0")
    assert (still, after) == (False, True)


def test_a_grace_period_waits_for_its_readers(library: Path) -> None:
    story = {
        "setup": [memory(), region(), access(0, 0), region(0), region(), access(0, 1)],
        "threads": {"vcpu0": [access(0, 0)], "rcu": [("grace_period", {})]},
    }

    def work(racing: RacingKvm) -> tuple[str, str, list]:
        walk_until(racing, VCPU0, "spte 4K")
        walk_until(racing, VCPU0, "unlocks RCU")
        run(racing, OTHER)
        waits = racing.name(OTHER)
        racing.advance(VCPU0)
        ends = racing.ready(OTHER)
        run(racing, OTHER)
        run(racing, VCPU0)
        return waits, ends, [event for event in racing.finish().events if event[:2] == ("step", "rcu")]

    waits, ends, events = race(library, story, work)
    assert waits.endswith("waits for RCU")
    assert ends
    assert events and events != [("step", "rcu", "grace_period: [0]")]


def test_a_memslot_waits_for_the_end_of_an_invalidation(library: Path) -> None:
    story = {
        "setup": [memory(), region()],
        "threads": {
            "host": [host("notifier_start", 0), host("notifier_end", 0)],
            "user": [region(0)],
        },
    }

    def work(racing: RacingKvm) -> tuple[bool, str, list]:
        walk_until(racing, 0, "kvm_mmu_invalidate_end")
        run(racing, OTHER)
        waits = (racing.ready(OTHER), racing.name(OTHER))
        run(racing, 0)
        run(racing, OTHER)
        return (*waits, list(racing.finish().events))

    able, waits, events = race(library, story, work)
    assert not able
    assert "kvm_swap_active_memslots" in waits or "schedule" in waits
    assert events[-2:] == [("slot gone", 0), ("step", "user", events[-1][2])]


def test_a_deadlock_is_seen(library: Path) -> None:
    story = {
        "setup": [memory(), region()],
        "threads": {"host": [host("notifier_start", 0)], "user": [region(0)]},
    }

    def work(racing: RacingKvm) -> tuple[list, bool, bool]:
        run(racing, 0)
        run(racing, OTHER)
        return ready(racing), racing.pending(OTHER) is None, racing.pending(0) is None

    assert race(library, story, work) == ([], False, True)


def test_events_tell_what_happened(library: Path) -> None:
    def work(racing: RacingKvm) -> list[tuple]:
        run(racing, VCPU0)
        run(racing, OTHER)
        return list(racing.finish().events)

    first, step, released, other, second, closing = race(library, UNMAPPED, work)
    assert first[:4] == ("access", 0, 0, 2)
    assert step == ("step", "vcpu0", "access vcpu=0x0 gfn=0x0 kind=0x2: [13, 0]")
    assert released == ("released", first[4])
    assert other == ("step", "host", "madvise_dontneed page=0x0 npages=0x1: [0]")
    assert second[:4] == ("access", 0, 0, 2) and second[4] != first[4]
    assert closing[:2] == ("step", "closing")


def test_what_is_not_ready_cannot_be_advanced(library: Path) -> None:
    def work(racing: RacingKvm) -> None:
        run(racing, VCPU0)
        with pytest.raises(ValueError, match="vcpu0 is not ready"):
            racing.advance(VCPU0)

    race(library, UNMAPPED, work)


def test_bad_steps_are_refused(library: Path) -> None:
    for steps, complaint in (
        ([("fly", {})], "there is no step 'fly'"),
        ([("access", {"vcpu": 0})], "the step access takes vcpu, gfn, kind"),
        ([GET_LOG] * 17, "at most 8 threads, of 16 steps each"),
    ):
        with pytest.raises(ValueError, match=complaint):
            race(library, {"threads": {"user": steps}}, lambda racing: None)


def test_a_library_without_points_is_refused(kvm_library: Path) -> None:
    with pytest.raises(ValueError, match="is not built for races"):
        RacingKvm(kvm_library, MODES["ept-ad"].host(), threads={"user": [GET_LOG]})


@pytest.mark.parametrize("mode", ["ept-ad", "ept-noad", "npt"])
@pytest.mark.parametrize("story", [FAST_FAULT, UNMAPPED, UNMAPPED_FAST, DELETED])
def test_the_kernel_keeps_its_promises(library: Path, story: dict, mode: str) -> None:
    def work(racing: RacingKvm) -> tuple[int, int]:
        endings = list(schedules(racing, 150))
        assert not any(ending.complaints for ending in endings)
        lost = story is UNMAPPED_FAST and any(forgotten(e, racing.dirty_before) for e in endings)
        return len({str(ending.events) for ending in endings}), lost or any(map(stale, endings))

    outcomes, broken = race(library, story, work, mode)
    assert outcomes > 1
    assert not broken


@pytest.fixture
def replaced(kernel: Kernel, tmp_path: Path) -> Callable[[str, str, str], Path]:
    """Makes a library for races in which a text is replaced."""

    def make(file: str, old: str, new: str) -> Path:
        patch = write_patch(kernel, [Substitution(file, old, new)], tmp_path / "replaced.patch")
        return build_kvm(open_kernel(kernel.selector, [patch]), Cache(), lambda message: None, racing=True)

    return make


@pytest.mark.slow
def test_a_fault_that_is_not_seen_to_be_stale_is_found(kernel: Kernel, replaced) -> None:
    file = "arch/x86/kvm/mmu/mmu.c"
    text = (kernel.root / "src" / file).read_text()
    start = text.index("\treturn fault->slot &&\n\t       mmu_invalidate_retry_")
    old = text[start : text.index(";", start)]
    library = replaced(file, old, "\treturn false")
    assert race(library, UNMAPPED, lambda racing: any(map(stale, schedules(racing, 200))))


@pytest.mark.slow
def test_a_plain_write_over_a_volatile_spte_is_found(kernel: Kernel, replaced) -> None:
    if kernel.series not in {"6.1", "6.12"}:
        pytest.skip("later kernels mark a frame dirty when it is made writable")
    file = "arch/x86/kvm/mmu/tdp_iter.h"
    library = replaced(file, "spte_has_volatile_bits(old_spte))", "false)")

    def work(racing: RacingKvm) -> bool:
        return any(forgotten(ending, frozenset()) for ending in schedules(racing, 3000))

    assert race(library, UNMAPPED_FAST, work, "ept-noad")
    assert race(library, {**UNMAPPED_FAST, "options": {"vcpus": 1, "pml": 1}}, work, "ept-ad")


@pytest.mark.slow
def test_a_crash_is_told_to_the_parent(replaced) -> None:
    file = "arch/x86/kvm/mmu/tdp_mmu.c"
    old = "\tkvm_mmu_hugepage_adjust(vcpu, fault);\n"
    library = replaced(file, old, f"{old}\tBUG_ON(fault->gfn == 0);\n")
    with pytest.raises(Died) as died:
        race(library, UNMAPPED, lambda racing: run(racing, VCPU0))
    how, choices = died.value.args
    assert how == "BUG in kvm_tdp_mmu_map"
    assert set(choices) == {VCPU0} and len(choices) > 10
