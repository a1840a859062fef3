# SPDX-License-Identifier: GPL-2.0-only
"""Races of the kvm oracle to test: each in a child process, and the plainest of explorers."""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from conformance.model.modes import MODES
from conformance.oracles.kvm.deaths import death_of
from conformance.oracles.kvm.interface import Exchange
from conformance.oracles.kvm.race_interface import Shared, new_exchange
from conformance.oracles.kvm.racing import RacingKvm

Step = tuple[str, dict[str, int]]

READ, WRITE = 1, 2
PATIENCE = 60.0


def memory(npages: int = 2) -> Step:
    return ("mmap", {"page": 0, "npages": npages, "writable": 1, "level": 1})


def region(npages: int = 2, logging: bool = False) -> Step:
    slot = {"slot": 0, "as_id": 0, "gfn": 0, "npages": npages, "page": 0, "flags": int(logging)}
    return ("set_memory_region", slot)


def access(vcpu: int, gfn: int, kind: int = WRITE) -> Step:
    return ("access", {"vcpu": vcpu, "gfn": gfn, "kind": kind})


def host(step: str, page: int, npages: int = 1) -> Step:
    return (step, {"page": page, "npages": npages})


GET_LOG: Step = ("get_dirty_log", {"slot": 0, "as_id": 0})

FAST_FAULT: dict[str, Any] = {
    "setup": [memory(), region(logging=True), access(0, 0), GET_LOG],
    "threads": {"vcpu0": [access(0, 0)], "user": [GET_LOG]},
    "closing": [GET_LOG],
}
"""A page that the log write-protects again just when a vCPU makes it writable."""

UNMAPPED: dict[str, Any] = {
    "setup": [memory(), region(), access(0, 1)],
    "threads": {"vcpu0": [access(0, 0)], "host": [host("madvise_dontneed", 0)]},
    "closing": [access(0, 0)],
}
"""A page that the host takes away while a vCPU maps it."""

UNMAPPED_FAST: dict[str, Any] = {
    "setup": [memory(), region(logging=True), access(0, 0), GET_LOG],
    "threads": {"vcpu0": [access(0, 0)], "host": [host("wrprotect", 0)]},
    "closing": [host("wrprotect", 0, 2)],
}
"""A page that the host write-protects, for which KVM unmaps it, while a vCPU makes it writable."""

DELETED: dict[str, Any] = {
    "setup": [memory(), region(), access(0, 1)],
    "threads": {"vcpu0": [access(0, 0)], "user": [region(0)]},
    "closing": [],
}
"""A memslot that goes while a vCPU accesses it."""


class Died(Exception):
    """The child process ended: how, and the threads chosen until then."""


def race(library: Path, story: dict[str, Any], work: Callable[[RacingKvm], Any], mode: str = "ept-ad") -> Any:
    """What `work` makes of the race, in a process of its own, or what it raises. Raises Died if that ends."""

    def child(exchange: mmap.mmap) -> tuple[bool, Any]:
        told = {"options": {"vcpus": 2}, "exchange": exchange, **story}
        try:
            return True, work(RacingKvm(library, MODES[mode].host(), **told))
        except Exception as error:
            return False, error

    exchange = new_exchange()
    theirs, ours = os.pipe()
    pid = os.fork()
    if pid == 0:
        with os.fdopen(ours, "wb") as pipe:
            pickle.dump(child(exchange), pipe)
        os._exit(0)
    os.close(ours)
    with os.fdopen(theirs, "rb") as pipe:
        answer = pipe.read()
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        shared = Shared.from_buffer(exchange, ctypes.sizeof(Exchange))
        death = death_of(Exchange.from_buffer(exchange), library, PATIENCE, code)
        raise Died(str(death), shared.choices[: shared.nr_choices])
    fine, result = pickle.loads(answer)
    if not fine:
        raise result
    return result


def ready(racing: RacingKvm) -> list[int]:
    return [t for t in range(len(racing.threads)) if racing.ready(t)]


def walk_until(racing: RacingKvm, t: int, words: str) -> None:
    """Advance a thread until it is about to do what `words` are part of."""
    while words not in racing.name(t):
        racing.advance(t)


def run(racing: RacingKvm, t: int) -> None:
    """Advance a thread to its end, or until it has to wait."""
    while racing.ready(t):
        racing.advance(t)


def schedules(racing: RacingKvm, n: int, seed: int = 1) -> Iterator[Any]:
    """The endings of `n` schedules at random, with few or many switches."""
    chance = random.Random(seed)
    for _ in range(n):
        racing.begin()
        current, inclined = -1, chance.choice((0.02, 0.05, 0.2, 0.5))
        while able := ready(racing):
            if current not in able or chance.random() < inclined:
                current = chance.choice(able)
            racing.advance(current)
        assert all(racing.pending(t) is None for t in range(len(racing.threads)))
        yield racing.finish()


def stale(ending: Any) -> bool:
    """Whether a guest accessed a frame that the host had given to another user."""
    gone = set()
    for event in ending.events:
        if event[0] == "released":
            gone.add(event[1])
        if event[0] == "access" and event[4] in gone:
            return True
    return False


def forgotten(ending: Any, before: frozenset[int]) -> bool:
    """Whether KVM forgot to tell the host that a frame was written."""
    written = {event[4] for event in ending.events if event[0] == "access" and event[3] == WRITE}
    return not written <= ending.dirty | before
