# SPDX-License-Identifier: GPL-2.0-only
"""A KVM that counts what it executes, functions that the kernel declares inline included."""

from __future__ import annotations

import pytest
from kvm_machines import give_memory

from conformance.kernels import Cache, open_kernel
from conformance.kernels.substitutions import TDP_C, Substitution, write_patch
from conformance.model.modes import MODES
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.kvm.variables import variables_of

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

FAULT = {"kvm_mmu_page_fault", "kvm_tdp_mmu_map", "make_spte"}
INLINE = {"is_last_spte", "is_shadow_present_pte"}


@pytest.fixture(scope="module")
def counting(kernel):
    return build_kvm(kernel, Cache(), lambda message: None, coverage=True)


def test_what_a_step_executes(counting) -> None:
    with KvmOracle(counting, MODES["ept-ad"].host(), {"vcpus": 1}) as machine:
        give_memory(machine)
        before = machine.coverage()
        machine.step("access", vcpu=0, gfn=1, kind=2)
        assert machine.executed() >= FAULT | INLINE
        assert (machine.coverage() - before).content("arch-x86-kvm-mmu-mmu") != before.content(
            "arch-x86-kvm-mmu-mmu"
        )


def test_what_it_does_not_execute(counting) -> None:
    with KvmOracle(counting, MODES["ept-ad"].host(), {"vcpus": 1}) as machine:
        assert not machine.executed() & FAULT
        assert "kvm_mmu_create" in machine.executed()


def test_its_counters_are_no_variables_of_kvm(counting) -> None:
    """A review compares KVM's variables between kernels, and counters differ where code changed."""
    names = [one.name for one in variables_of(counting)]
    assert "mmu.c:max_huge_page_level" in names
    assert not [name for name in names if "gcov" in name]


def test_an_ordinary_kvm_counts_nothing(kernel) -> None:
    library = build_kvm(kernel, Cache(), lambda message: None)
    with KvmOracle(library, MODES["ept-ad"].host(), {"vcpus": 1}) as machine:
        assert machine.coverage() == {}


def test_a_patched_kernel_counts_too(kernel, tmp_path) -> None:
    """No symbol that only gcc's counters refer to counts as missing from the patch."""
    change = Substitution(
        TDP_C, "int ret = RET_PF_FIXED;", "int ret = RET_PF_FIXED + 0;", kernel=kernel.selector
    )
    patched = open_kernel(kernel.selector, [write_patch(kernel, [change], tmp_path / "same.patch")])
    assert build_kvm(patched, Cache(), lambda message: None, coverage=True).is_file()
