# SPDX-License-Identifier: GPL-2.0-only
"""Attacks by code in an oracle: each is a finding within bounded time and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from payloads import ATTACKS, HARMLESS, number_of, planted

from conformance.kernels import Cache, open_kernel
from conformance.kernels.tools import quiet
from conformance.model.modes import MODES
from conformance.oracles.child import KernelDied as FunctionDied
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("confined", "nothing_left")]

MAGIC = 0xA77AC << 40
FUNCTION = "spte_has_volatile_bits"
MEMORY = {"slot": 0, "as_id": 0, "gfn": 0, "npages": 64, "page": 0, "flags": 0}
AT_ONCE = ("a forged refusal", "SIGSTOP to itself", "a daemon", "3 GB of memory", "a marker", "the secret")
"""The attacks of the quick tests; the others take seconds each, mostly waiting."""

each_attack = pytest.mark.parametrize(
    "name", [name if name in AT_ONCE else pytest.param(name, marks=pytest.mark.slow) for name in ATTACKS]
)


@pytest.fixture(scope="session")
def shim(guarded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = "\tif (!is_writable_pte(spte) && is_mmu_writable_spte(spte))\n"
    call = f"\tif ((spte & {MAGIC:#x}UL) == {MAGIC:#x}UL)\n\t\tattack(spte & 0xff);\n"
    patch = planted("arch/x86/kvm/mmu/spte.c", at, call, tmp_path_factory.mktemp("shim"), guarded)
    return build_shim(open_kernel("6.1", [patch]), Cache(), quiet)


@pytest.fixture(scope="session")
def library(guarded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    at, call = "\tkvm_mmu_hugepage_adjust(vcpu, fault);\n", "\tattack(fault->gfn);\n"
    patch = planted("arch/x86/kvm/mmu/tdp_mmu.c", at, call, tmp_path_factory.mktemp("kvm"), guarded)
    return build_kvm(open_kernel("6.1", [patch]), Cache(), quiet)


@pytest.fixture
def oracle(shim: Path) -> Iterator[ShimOracle]:
    with ShimOracle(shim, patience=1) as oracle:
        oracle.configure(MODES["ept-ad"].host())
        yield oracle


@each_attack
def test_a_function_that_attacks(oracle: ShimOracle, name: str) -> None:
    entry = oracle.entries[FUNCTION]
    batch = np.zeros((entry.nr_in, 3), np.uint64)
    batch[0] = 0, MAGIC | number_of(name), 0
    if ATTACKS[name].ends == HARMLESS:
        assert oracle.run(entry, batch)[0].tolist() == [1, 1, 1]
        return
    with pytest.raises(FunctionDied) as died:
        oracle.run(entry, batch)
    assert died.value.at == 1
    oracle.configure(MODES["ept-ad"].host())
    assert oracle.run(entry, batch[:, :1])[0].tolist() == [1]


@each_attack
def test_a_kvm_that_attacks(library: Path, name: str) -> None:
    host = MODES["ept-ad"].host()
    with KvmOracle(library, host, patience=1) as machine:
        assert machine.step("mmap", page=0, npages=64, writable=1, level=1).outcome == [0]
        assert machine.step("set_memory_region", **MEMORY).outcome == [0]
        fault = {"vcpu": 0, "gfn": number_of(name), "kind": 0}
        if ATTACKS[name].ends == HARMLESS:
            assert machine.step("access", **fault).events == []
            return
        with pytest.raises(KernelDied):
            machine.step("access", **fault)
    with KvmOracle(library, host, patience=1) as machine:
        assert machine.step("grace_period").events == []
