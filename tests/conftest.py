# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures of all tests: the kernel under test, its shim, and counters.

``CONFORMANCE_KERNEL`` names the series that tests marked ``kernel`` use (default 6.1), which is how the
tox matrix chooses.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.differential.engines import ENGINES
from conformance.kernels import Cache, Kernel, open_kernel
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle

SERIES = os.environ.get("CONFORMANCE_KERNEL", "6.1")

SCORES = pytest.StashKey["Scores"]()
COUNTED = "counted: "


def pytest_configure(config) -> None:
    # Signals that a shell ignores for background jobs would stay ignored in commands that tests start.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    config.stash[SCORES] = Scores()
    config.pluginmanager.register(config.stash[SCORES])


class Scores:
    """The sums of what tests counted, from all processes: by subject, then by name."""

    def __init__(self) -> None:
        self.about: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "teardown":
            for text, number in report.user_properties:
                if text.startswith(COUNTED):
                    about, name = text.removeprefix(COUNTED).rsplit(": ", 1)
                    self.about[about][name] += number


@pytest.fixture
def counted(record_property) -> Iterator[Callable[[str], Counter[str]]]:
    """Counters by subject; their sums go into JUnit and the terminal summary.

    A counter of mutants ``planted`` and ``killed`` may also count by engine.
    """
    scores: defaultdict[str, Counter[str]] = defaultdict(Counter)
    yield lambda about: scores[about]
    for about, score in scores.items():
        for name, number in score.items():
            record_property(f"{COUNTED}{about}: {name}", number)


def pytest_terminal_summary(terminalreporter, config) -> None:
    """Print a line for each subject that was counted."""
    for about, score in config.stash[SCORES].about.items():
        summary = ", ".join(f"{number} {name}" for name, number in score.items())
        if "planted" in score:
            engines = ", ".join(f"{name} {score[name]}" for name in ENGINES if score[name])
            summary = f"{score['killed']} of {score['planted']} killed"
            summary += f"; by engine: {engines}" if engines else ""
        terminalreporter.write_line(f"{about}: {summary}")


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
