# SPDX-License-Identifier: GPL-2.0-only
"""What all tests share: the kernel under test, its shim, and the score of planted mutants.

``CONFORMANCE_KERNEL`` names the series that tests marked ``kernel`` use (default 6.1), which is how the
tox matrix chooses.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from conformance.kernels import Cache, Kernel, open_kernel
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.shim import ShimOracle, build_shim

SERIES = os.environ.get("CONFORMANCE_KERNEL", "6.1")

SCORE = pytest.StashKey[Counter[str]]()
STORY_SCORE = pytest.StashKey[Counter[str]]()


def pytest_configure(config) -> None:
    config.stash[SCORE] = Counter()
    config.stash[STORY_SCORE] = Counter()


@pytest.fixture
def mutant_score(pytestconfig) -> Counter[str]:
    """How many mutants were planted, killed at all, and killed by each engine."""
    return pytestconfig.stash[SCORE]


@pytest.fixture
def story_score(pytestconfig) -> Counter[str]:
    """How many mutants of the TDP MMU were planted, and killed by their story."""
    return pytestconfig.stash[STORY_SCORE]


def pytest_terminal_summary(terminalreporter, config) -> None:
    """The score of planted mutants, after a run that planted any."""
    score = config.stash[SCORE]
    planted = score["planted"]
    if planted:
        engines = ", ".join(f"{name} {score[name]}" for name in ("fuzz", "bulk", "exhaustive"))
        terminalreporter.write_line(f"mutants: {score['killed']} of {planted} killed; by engine: {engines}")
    score = config.stash[STORY_SCORE]
    if score["planted"]:
        terminalreporter.write_line(f"mutants: {score['killed']} of {score['planted']} killed by stories")


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    return open_kernel(SERIES)


@pytest.fixture(scope="session")
def profile(kernel: Kernel) -> Profile:
    return profile_of(kernel.release)


@pytest.fixture(scope="session")
def library(kernel: Kernel) -> Path:
    return build_shim(kernel, Cache(), lambda message: None)


@pytest.fixture
def oracle(library: Path):
    with ShimOracle(library) as oracle:
        yield oracle
