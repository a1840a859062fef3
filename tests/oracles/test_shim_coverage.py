# SPDX-License-Identifier: GPL-2.0-only
"""A shim that counts what it executes, and answers as the other one does."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.kernels import Cache
from conformance.model.modes import MODES
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle

pytestmark = pytest.mark.kernel
HOST = MODES["ept-noad"].host()


@pytest.fixture(scope="module")
def counting(kernel):
    return build_shim(kernel, Cache(), lambda message: None, coverage=True)


def ran(library, entry, *columns):
    with ShimOracle(library) as oracle:
        oracle.configure(HOST)
        oracle.coverage()
        oracle.run(oracle.entries[entry], np.array(columns, np.uint64))
        return oracle.executed(), oracle.executed()


def test_functions_that_ran_are_listed_once_and_inline_ones_too(counting):
    found, again = ran(counting, "is_accessed_spte", [1])
    assert {"is_accessed_spte", "spte_ad_enabled"} <= found
    assert "make_spte" not in found
    assert again == set()


def test_only_what_ran(counting):
    """Of an SPTE that is not shadow-present, neither its level nor whether it is volatile matters."""
    with ShimOracle(counting) as oracle:
        if "kvm_tdp_mmu_write_spte" not in oracle.entries:
            pytest.skip("this kernel has no function of its own to write an SPTE")
    absent, _ = ran(counting, "kvm_tdp_mmu_write_spte", [0], [0], [0], [1])
    present, _ = ran(counting, "kvm_tdp_mmu_write_spte", [0x800], [0x800], [0], [1])
    assert "is_last_spte" in present - absent


def test_an_ordinary_shim_counts_nothing(library):
    assert ran(library, "is_accessed_spte", [1]) == (set(), set())
