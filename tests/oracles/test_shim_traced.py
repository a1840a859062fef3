# SPDX-License-Identifier: GPL-2.0-only
"""A traced shim: it tells which functions ran, and answers as the other one does."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.kernels import Cache
from conformance.model.modes import MODES
from conformance.oracles.common import functions_of
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle

pytestmark = pytest.mark.kernel
HOST = MODES["ept-noad"].host()


@pytest.fixture(scope="module")
def traced(kernel):
    return build_shim(kernel, Cache(), lambda message: None, traced=True)


def ran(library, entry, *columns):
    names = functions_of(library)
    with ShimOracle(library) as oracle:
        oracle.configure(HOST)
        oracle.covered()
        oracle.run(oracle.entries[entry], np.array(columns, np.uint64))
        return {names[offset] for offset in oracle.covered()}, oracle.covered()


def test_functions_that_ran_are_told_once_and_inlined_ones_too(traced):
    found, again = ran(traced, "is_accessed_spte", [1])
    assert {"is_accessed_spte", "spte_ad_enabled"} <= found
    assert "make_spte" not in found
    assert again == []


def test_only_what_ran(traced):
    """An SPTE that is not shadow-present is not asked whether it is a leaf's, nor whether it is volatile."""
    if "kvm_tdp_mmu_write_spte" not in functions_of(traced).values():
        pytest.skip("this kernel has no function of its own to write an SPTE")
    absent, _ = ran(traced, "kvm_tdp_mmu_write_spte", [0], [0], [0], [1])
    present, _ = ran(traced, "kvm_tdp_mmu_write_spte", [0x800], [0x800], [0], [1])
    assert "is_last_spte" in present - absent


def test_an_ordinary_shim_tells_nothing(library):
    assert ran(library, "is_accessed_spte", [1]) == (set(), [])
