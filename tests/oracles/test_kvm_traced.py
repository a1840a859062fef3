# SPDX-License-Identifier: GPL-2.0-only
"""A traced KVM: it tells which functions ran, those too that the kernel declares inline."""

from __future__ import annotations

import pytest
from kvm_machines import give_memory

from conformance.kernels import Cache
from conformance.model.modes import MODES
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.kvm.oracle import KvmOracle

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

FAULT = {"kvm_mmu_page_fault", "kvm_tdp_mmu_map", "make_spte"}
INLINE = {"is_last_spte", "is_shadow_present_pte"}


def test_what_ran_is_told_once(kernel) -> None:
    library = build_kvm(kernel, Cache(), lambda message: None, traced=True)
    with KvmOracle(library, MODES["ept-ad"].host(), {"vcpus": 1}) as machine:
        give_memory(machine)
        machine.covered()
        machine.step("access", vcpu=0, gfn=1, kind=2)
        assert machine.covered() >= FAULT | INLINE
        machine.step("grace_period")
        assert not machine.covered() & FAULT
