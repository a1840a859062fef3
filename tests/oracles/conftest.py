# SPDX-License-Identifier: GPL-2.0-only
"""Machines of the kvm oracle: of the kernel under test, and of one in which misbehaviour is planted."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvm_machines import give_memory, plant

from conformance.kernels import Cache, Kernel, open_kernel
from conformance.model.modes import MODES
from conformance.oracles.kvm.build import CannotBuild, build_kvm
from conformance.oracles.kvm.oracle import KvmOracle


def build(kernel: Kernel, racing: bool = False) -> Path:
    """The kernel's library; the test is skipped if there can be none."""
    try:
        return build_kvm(kernel, Cache(), lambda message: None, racing=racing)
    except CannotBuild as why:
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def kvm_library(kernel: Kernel) -> Path:
    return build(kernel)


@pytest.fixture(scope="session")
def racing_library(kernel: Kernel) -> Path:
    return build(kernel, racing=True)


@pytest.fixture(scope="session")
def planted_library(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    patch = plant(kernel, tmp_path_factory.mktemp("planted"))
    return build(open_kernel(kernel.selector, [patch]))


@pytest.fixture(params=["ept-ad", "ept-noad", "npt"])
def machine(kvm_library: Path, request: pytest.FixtureRequest):
    with KvmOracle(kvm_library, MODES[request.param].host(), {"vcpus": 2}) as machine:
        yield machine


@pytest.fixture
def planted(planted_library: Path):
    """A machine with one memslot of 4K pages, in which faults on some gfns misbehave."""
    with KvmOracle(planted_library, MODES["ept-ad"].host(), patience=0.5) as machine:
        give_memory(machine)
        yield machine
