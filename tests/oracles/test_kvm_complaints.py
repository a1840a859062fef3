# SPDX-License-Identifier: GPL-2.0-only
"""Misbehaviour planted in the kernel's fault path is told, each kind in its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.model.modes import MODES
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.lacking import Lacking

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

FAULT = "kvm_tdp_mmu_map"


def fault(machine: KvmOracle, gfn: int) -> list[str]:
    return machine.step("access", vcpu=0, gfn=gfn, kind=2).events


@pytest.mark.parametrize(
    ("gfn", "how", "hung"),
    [
        (0x1, rf"BUG in {FAULT}$", False),
        (0x2, rf"died of SIGSEGV in {FAULT} \(address 0x8\)", False),
        (0x3, rf"did not come back within 0.5 s of processor time \(in {FAULT}\)", True),
        (0x10, "waits for what no other task will do", True),
    ],
)
def test_what_ends_the_machine(planted: KvmOracle, gfn: int, how: str, hung: bool) -> None:
    with pytest.raises(KernelDied, match=how) as died:
        fault(planted, gfn)
    assert died.value.hung is hung
    with pytest.raises(ValueError, match="has ended"):
        fault(planted, 0)


def test_what_nothing_stands_in_for_is_no_end_of_the_kernel(planted: KvmOracle) -> None:
    with pytest.raises(Lacking, match=rf"nothing stands in for vm_munmap, which {FAULT} wants"):
        fault(planted, 0x4)
    with pytest.raises(ValueError, match="has ended"):
        fault(planted, 0)


@pytest.mark.parametrize(
    ("gfn", "events"),
    [
        (0x0, []),
        (0x5, [f"LOCKDEP {FAULT}"]),
        (0x6, ["LOCKDEP a lock is taken that is held already"]),
        (0x7, ["LOCKDEP a lock is released that is not held"]),
        (0x8, ["LOCKDEP sleeps while it holds the processor"]),
        (0x9, [f"WARN {FAULT}"]),
        (0xD, ["MEMORY a page is freed twice"]),
        (0xE, ["MEMORY what was freed was written to"]),
        (0xF, ["LOCKDEP synchronize_rcu inside a reader"]),
        (0x11, [f"LOCKDEP {FAULT}"]),
        (0x12, ["LOCKDEP a step ends with a lock held"]),
    ],
)
def test_what_is_complained_of(planted: KvmOracle, gfn: int, events: list[str]) -> None:
    assert fault(planted, gfn) == events
    # Once more, on another page: none is told but once.
    assert fault(planted, 0x20) == []


@pytest.mark.parametrize(
    ("gfn", "leaked"), [(0x0, [0, 0, 0]), (0xA, [0, 1, 0]), (0xB, [1, 0, 0]), (0xC, [0, 0, 1])]
)
def test_what_is_not_given_back(planted: KvmOracle, gfn: int, leaked: list[int]) -> None:
    fault(planted, gfn)
    assert planted.step("destroy").outcome == leaked


def test_a_machine_that_dies_takes_none_with_it(planted: KvmOracle, planted_library: Path) -> None:
    with pytest.raises(KernelDied):
        fault(planted, 0x1)
    with KvmOracle(planted_library, MODES["ept-ad"].host(), patience=0.5) as next_machine:
        assert next_machine.step("grace_period").outcome == [0]
