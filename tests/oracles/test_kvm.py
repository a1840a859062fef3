# SPDX-License-Identifier: GPL-2.0-only
"""The kvm oracle: machines come and go without a trace, RCU waits for readers, the conversation is strict."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvm_machines import give_memory

from conformance.interface.access import WRITE, End, Exit
from conformance.model.modes import MODES
from conformance.oracles.kvm.oracle import KvmOracle

pytestmark = pytest.mark.kernel


def write(machine: KvmOracle, gfn: int, vcpu: int = 0) -> list[int]:
    return machine.step("access", vcpu=vcpu, gfn=gfn, kind=WRITE).outcome


def test_a_machine_gives_back_what_it_took(machine: KvmOracle) -> None:
    give_memory(machine)
    for gfn in range(64):
        assert write(machine, gfn, vcpu=gfn % 2) == [Exit.FIXED, End.DONE]
    gone = machine.step("destroy")
    assert gone.outcome == [0, 0, 0]
    assert gone.events == []
    assert gone.roots == ()


def test_an_empty_machine_gives_back_what_it_took(machine: KvmOracle) -> None:
    assert machine.step("destroy").outcome == [0, 0, 0]


def test_rcu_callbacks_wait_for_a_reader(machine: KvmOracle) -> None:
    give_memory(machine)
    write(machine, 0)
    machine.step("walk_begin", vcpu=0, gfn=0)
    region = {"slot": 0, "as_id": 0, "gfn": 0, "npages": 0, "page": 0, "flags": 0}
    machine.step("set_memory_region", **region)
    machine.step("enter", vcpu=0)
    inside = machine.step("grace_period")
    assert inside.outcome == [0]
    tables = len(inside.retired)
    assert tables >= 4
    # The reader still finds its way through the tables that were taken away from under it.
    assert machine.step("walk_next").events == []
    machine.step("walk_end")
    after = machine.step("grace_period")
    assert after.outcome == [tables]
    assert after.retired == []


def test_a_fault_maps_the_page_that_the_host_has(machine: KvmOracle) -> None:
    give_memory(machine)
    seen = machine.step("access", vcpu=1, gfn=5, kind=WRITE)
    assert seen.outcome == [Exit.FIXED, End.DONE]
    assert seen.state.pages_4k == 1
    ((root, gfn, level, pfn, rights, _),) = seen.tlb[1]
    assert (root, gfn, level, pfn, rights) == (0, 5, 1, 0x100200, 7)
    entries = seen.roots[0].flat
    assert entries[-4:-2] == [1, 5]
    assert (entries[-2] >> 12) & 0xFFFFFFFFFF == pfn


def test_a_step_is_the_same_whenever_it_is_done(kvm_library: Path) -> None:
    def story() -> list[dict]:
        with KvmOracle(kvm_library, MODES["ept-ad"].host()) as machine:
            give_memory(machine)
            return [
                machine.step("access", vcpu=0, gfn=gfn, kind=kind) for gfn in (1, 2, 1) for kind in (1, 2)
            ]

    assert story() == story()


def test_many_faults_without_observation(kvm_library: Path) -> None:
    with KvmOracle(kvm_library, MODES["npt"].host()) as machine:
        give_memory(machine)
        assert machine.faults(0, 0, 64, 1000) == 1000
        seen = machine.step("grace_period")
        assert seen.state.pf_fixed == 1000
        assert seen.events == []


def test_words_of_bits_are_unsigned(machine: KvmOracle) -> None:
    give_memory(machine)
    region = {"slot": 0, "as_id": 0, "gfn": 0, "npages": 64, "page": 0, "flags": 1}
    machine.step("set_memory_region", **region)
    write(machine, 63)
    assert machine.step("get_dirty_log", slot=0, as_id=0).outcome == [0, 1 << 63]
    assert machine.step("get_dirty_log", slot=9, as_id=0).outcome == [-2]


def test_what_is_asked_wrongly_is_told(machine: KvmOracle) -> None:
    with pytest.raises(ValueError, match="no step 'jump'"):
        machine.step("jump")
    with pytest.raises(ValueError, match="the step access takes vcpu, gfn, kind"):
        machine.step("access", vcpu=0, gfn=1)
    machine.close()
    with pytest.raises(ValueError, match="has ended"):
        machine.step("grace_period")


def test_an_unknown_option_is_told(kvm_library: Path) -> None:
    with pytest.raises(ValueError, match="no option 'colour'"):
        KvmOracle(kvm_library, MODES["ept-ad"].host(), {"colour": 1})


def test_two_machines_at_once_are_two(kvm_library: Path) -> None:
    host = MODES["ept-ad"].host()
    with KvmOracle(kvm_library, host) as one, KvmOracle(kvm_library, host) as other:
        give_memory(one)
        assert write(one, 0) == [Exit.FIXED, End.DONE]
        assert other.step("grace_period").slots == []


def test_the_library_is_small(kvm_library: Path) -> None:
    assert sum(path.stat().st_size for path in kvm_library.parent.iterdir()) < 100e6


def test_making_a_machine_is_nothing_to_complain_of(machine: KvmOracle) -> None:
    assert machine.step("grace_period").events == []
