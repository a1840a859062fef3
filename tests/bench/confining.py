# SPDX-License-Identifier: GPL-2.0-only
"""The cost of confinement: the same work with kernel code confined and unconfined, in turn."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from figures import Figure, interleaved
from stepping import MODE

from conformance.model.modes import MODES
from conformance.oracles.kvm import server
from conformance.oracles.shim.oracle import ShimOracle
from conformance.sandbox import launching
from conformance.sandbox.confinement import confinement
from conformance.scenarios.machines import take
from conformance.scenarios.ready import Ready, prepare
from conformance.scenarios.sides import KvmSides
from conformance.scenarios.stories import STORIES

__all__ = ["confining"]

STORY = "first_read"
FUNCTION = "spte_has_volatile_bits"
CASES = 1 << 20


def confining(shim: Path, repeats: int) -> list[Figure]:
    """The figures. Raises RuntimeError if they cannot be measured."""
    ready = prepare("6.1", (), lambda message: None)
    if not isinstance(ready, Ready):
        raise RuntimeError(ready.error or ready.unreached)
    sides = ready.sides(MODE)
    work: dict[str, Callable[[], None]] = {
        "functions: begun and ended": lambda: _functions(shim, 1),
        f"functions: begun, 2^20 cases of {FUNCTION}": lambda: _functions(shim, CASES),
        f"a machine: begun, {STORY} once": lambda: _story(sides, 1),
        f"a machine: begun, {STORY} 100 times": lambda: _story(sides, 100),
    }
    both = {f"{name}{how}": _under(do, bare) for name, do in work.items() for how, bare in _WAYS}
    took = interleaved(both, repeats)
    figures = []
    for name in work:
        bare, confined = (took[f"{name}{how}"] for how, _ in _WAYS)
        figures.append(Figure(name, f"{1000 * bare:.3g} ms", "1"))
        figures.append(
            Figure(f"  in {confinement().value}", f"{1000 * confined:.3g} ms", f"{confined / bare:.3g}")
        )
    return figures


_WAYS = ((" bare", True), (" confined", False))


def _under(do: Callable[[], None], bare: bool) -> Callable[[], None]:
    def work() -> None:
        with _bare() if bare else contextlib.nullcontext():
            do()

    return work


@contextlib.contextmanager
def _bare() -> Iterator[None]:
    """Start programs unconfined, except for the filter of system calls."""
    before = launching.command
    launching.command = lambda kind, program, policy, cwd: [*program]
    try:
        yield
    finally:
        launching.command = before


def _functions(shim: Path, n: int) -> None:
    with ShimOracle(shim) as oracle:
        oracle.configure(MODES[MODE].host())
        entry = oracle.entries[FUNCTION]
        batch = np.frombuffer(os.urandom(8 * n * entry.nr_in), np.uint64).reshape(entry.nr_in, n)
        oracle.run(entry, batch)


def _story(sides: KvmSides, times: int) -> None:
    script = STORIES[STORY].script
    for _ in range(times):
        with sides.kernel(script.options) as machine:
            for step in script.steps:
                take(machine, step)
    server.close_idle()
