# SPDX-License-Identifier: GPL-2.0-only
"""The speed of kernel and model together and each alone: steps with observation, faults without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from functools import partial

from figures import Figure, interleaved, per_second

from conformance.model.machine import Machine
from conformance.model.machine.step_table import take_step
from conformance.model.modes import VM_MODES
from conformance.model.profiles import Profile
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.scenarios.lockstep import walk
from conformance.scenarios.machines import take
from conformance.scenarios.ready import Ready, prepare
from conformance.scenarios.sides import KvmSides
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Script
from conformance.scenarios.walks import WALKS

__all__ = ["stepping"]

MODE = "ept-ad"
GOALS = {MODE: 2000, "legacy-ept-ad": 1000, "shadow": 1000, "nested-ept-ad": 1000}
"""The walks of lockstep that are measured, with the steps a second that each should reach."""
SECONDS = 5.0
"""Of lockstep in one repetition."""
GFN, PAGES = 0x100, 0x4000
"""Small pages that are faulted in, each once."""
PRESENT, HUGE = 0x67, 0x80
"""Bits of the guest's entries: present, writable, for users, accessed and dirty; and a huge page."""


def stepping(repeats: int) -> list[Figure]:
    """The figures of kernel 6.1 in one mode. Raises RuntimeError if they cannot be measured."""
    ready = prepare("6.1", (), lambda message: None)
    if not isinstance(ready, Ready):
        raise RuntimeError(ready.error or ready.unreached)
    sides = ready.sides(MODE)
    scripts = [
        told.script for told in STORIES.values() if MODE in told.modes and not told.absent(ready.profile)
    ]
    steps = sum(len(script.steps) for script in scripts)
    seeds = iter(range(1000))
    processor: dict[str, list[float]] = {name: [] for name in GOALS}
    took = interleaved(
        {
            **{name: partial(_lockstep, ready, name, seeds, processor[name]) for name in GOALS},
            "kernel": lambda: _kernel(sides, scripts),
            "model": lambda: _model(sides, scripts),
            "kernel faults": lambda: _kernel_faults(ready.sides(MODE)),
            "legacy faults": lambda: _kernel_faults(ready.sides("legacy-ept-ad")),
            "shadow faults": lambda: _shadow_faults(sides),
            "model faults": lambda: _model_faults(ready.profile, sides),
        },
        repeats,
    )
    rate = {name: 1 / each for name, each in took.items()}
    rate |= {name: steps / took[name] for name in ("kernel", "model")}
    rate |= {name: PAGES / seconds for name, seconds in took.items() if name.endswith(" faults")}
    both = 1 / (1 / rate["kernel"] + 1 / rate["model"])
    return [
        *[
            Figure(
                f"lockstep {name}: drawing, both sides, full comparison",
                per_second(rate[name]),
                f"{rate[name] / rate[MODE]:.3g}",
                target=f">= {goal} /s",
                reached=rate[name] >= goal,
            )
            for name, goal in GOALS.items()
        ],
        *[
            _against(
                f"lockstep {name}: for a second of this process's processor time",
                1 / statistics.median(seconds[1:]),
                rate[name],
            )
            for name, seconds in processor.items()
        ],
        Figure("stories on the kernel alone: a process each, observing", per_second(rate["kernel"]), "1"),
        _against("stories on the model alone, observing", rate["model"], rate["kernel"]),
        _against("both, one after the other", both, rate["kernel"]),
        Figure("page faults on the kernel alone, not observed", per_second(rate["kernel faults"]), "1"),
        _against("the same without the TDP MMU", rate["legacy faults"], rate["kernel faults"]),
        _against("the same with shadow paging", rate["shadow faults"], rate["kernel faults"]),
        _against("page faults on the model alone, not observed", rate["model faults"], rate["kernel faults"]),
    ]


def _lockstep(ready: Ready, name: str, seeds: Iterator[int], processor: list[float]) -> float:
    """Seconds for a step of a walk; those of processor time, without the kernel's process, are appended."""
    kind = WALKS[name]
    start = time.process_time()
    done = walk(ready.sides(kind.mode), kind, next(seeds), SECONDS)
    if done.found is not None:
        raise RuntimeError(f"{name}: a difference ended lockstep early, so its figures say nothing")
    processor.append((time.process_time() - start) / done.steps.total())
    return done.seconds / done.steps.total()


def _against(name: str, rate: float, other: float) -> Figure:
    return Figure(name, per_second(rate), f"{rate / other:.3g}")


def _kernel(sides: KvmSides, scripts: Sequence[Script]) -> None:
    for script in scripts:
        with sides.kernel(script.options) as machine:
            for step in script.steps:
                take(machine, step)


def _model(sides: KvmSides, scripts: Sequence[Script]) -> None:
    for script in scripts:
        machine = sides.model(script.options)
        for step in script.steps:
            take(machine, step)


def _memory(step) -> None:
    step("mmap", page=0, npages=PAGES, writable=1, level=1)
    step("set_memory_region", slot=0, as_id=0, gfn=GFN, npages=PAGES, page=0, flags=0)


def _kernel_faults(sides: KvmSides) -> None:
    with KvmOracle(sides.library, sides.mode.host(), {}) as oracle:
        _memory(oracle.step)
        oracle.faults(0, GFN, PAGES, PAGES)


def _shadow_faults(sides: KvmSides) -> None:
    """The guest's tables map one page of 1G, at its own address; KVM maps small pages."""
    with KvmOracle(sides.library, VM_MODES["shadow"].host(), {}) as oracle:
        _memory(oracle.step)
        oracle.step("mmap", page=PAGES, npages=2, writable=1, level=1)
        oracle.step("set_memory_region", slot=1, as_id=0, gfn=0, npages=2, page=PAGES, flags=0)
        for gfn, entry in enumerate((1 << 12 | PRESENT, HUGE | PRESENT)):
            oracle.step("store", gfn=gfn, index=0, value=entry)
        faults = oracle.faults(0, GFN, PAGES, PAGES)
        if faults != PAGES:
            raise RuntimeError(f"there were {faults} faults of shadow paging instead of {PAGES}")


def _model_faults(profile: Profile, sides: KvmSides) -> None:
    machine = Machine(profile, sides.mode)
    _memory(machine.step)
    for gfn in range(GFN, GFN + PAGES):
        take_step(machine.vm, "access", {"vcpu": 0, "gfn": gfn, "kind": 2})
