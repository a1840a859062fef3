# SPDX-License-Identifier: GPL-2.0-only
"""What all tests share: the kernel under test, its shim, and the score of planted mutants.

``CONFORMANCE_KERNEL`` names the series that tests marked ``kernel`` use (default 6.1), which is how the
tox matrix chooses.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.differential.engines import ENGINES
from conformance.kernels import Cache, Kernel, open_kernel
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.shim import ShimOracle, build_shim

SERIES = os.environ.get("CONFORMANCE_KERNEL", "6.1")

SCORES = pytest.StashKey[Counter[str]]()


def pytest_configure(config) -> None:
    config.stash[SCORES] = Counter()
    config.pluginmanager.register(Scores(config.stash[SCORES]))


class Scores:
    """Adds up what tests counted, in whichever process they ran."""

    def __init__(self, scores: Counter[str]) -> None:
        self.scores = scores

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "teardown":
            self.scores.update({name: n for name, n in report.user_properties if name.startswith("mutants ")})


def counting(prefix: str, record_property) -> Iterator[Counter[str]]:
    """A counter whose sums go into the reports of the test, and so into JUnit and the summary."""
    score: Counter[str] = Counter()
    yield score
    for name, number in score.items():
        record_property(f"mutants {prefix} {name}", number)


@pytest.fixture
def mutant_score(record_property) -> Iterator[Counter[str]]:
    """How many mutants were planted, killed at all, and killed by each engine."""
    yield from counting("of functions", record_property)


@pytest.fixture
def story_score(record_property) -> Iterator[Counter[str]]:
    """How many mutants of the TDP MMU were planted, and killed by their story."""
    yield from counting("of the TDP MMU", record_property)


def pytest_terminal_summary(terminalreporter, config) -> None:
    """The scores of planted mutants, after a run that planted any."""
    scores = config.stash[SCORES]
    for prefix in ("of functions", "of the TDP MMU"):
        planted, killed = (scores[f"mutants {prefix} {name}"] for name in ("planted", "killed"))
        by = {name: scores[f"mutants {prefix} {name}"] for name in ENGINES}
        engines = ", ".join(f"{name} {number}" for name, number in by.items() if number)
        if planted:
            engines = f"; by engine: {engines}" if engines else " by their stories"
            terminalreporter.write_line(f"mutants {prefix}: {killed} of {planted} killed{engines}")


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
