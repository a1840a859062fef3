# SPDX-License-Identifier: GPL-2.0-only
"""Races of the kernel's own KVM: threads that can be stopped before each access to shared memory.

A race runs in the process that asks for it, which can have only one; kernel code that crashes ends it. So ask
in a child process that is confined, with an exchange that the parent has made, and can read afterwards.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from conformance.interface.observation import Observation
from conformance.interface.options import OPTIONS
from conformance.oracles.hosts import HOST
from conformance.oracles.kvm.deaths import not_initialised
from conformance.oracles.kvm.header import ORDER
from conformance.oracles.kvm.interface import Exchange
from conformance.oracles.kvm.observation_words import read_observation
from conformance.oracles.kvm.race_interface import (
    CPU_OF_OTHERS,
    MAX_STEPS,
    MAX_THREADS,
    WORDS_PER_STEP,
    Named,
    Shared,
    new_exchange,
)
from conformance.oracles.kvm.race_names import Names, Spte
from conformance.oracles.kvm.race_outcome import RaceOutcome, Step
from conformance.oracles.lacking import Lacking

__all__ = ["RaceOutcome", "RacingKvm"]

_KERNEL_MEMORY = range(0x200001000000, 0x200040000000)
"""From ENV_KERNEL_START to ENV_KERNEL_END in the direct map, of c/process/address_space.h."""
_MASK = (1 << 64) - 1
_ANY_GFN = _MASK
"""RACE_ANY_GFN of c/races/race.h."""
_BYTES = 8
_ENDED = 8
_SHARED = ctypes.sizeof(Exchange) // _BYTES
_ANNOUNCED = _SHARED + Shared.announced.offset // _BYTES
_EVENTS = _SHARED + Shared.events.offset // _BYTES
_FRAMES = _SHARED + Shared.frames.offset // _BYTES
_NR_EVENTS = _SHARED + Shared.nr_events.offset // _BYTES
_NR_FRAMES = _SHARED + Shared.nr_frames.offset // _BYTES


class RacingKvm:
    """One machine, its setup done, and threads that stop before each access to shared memory.

    library: build_kvm(racing=True)'s; host, options: as KvmOracle's; setup: steps that have happened.
    threads: a name and its steps each. One named ``vcpu0`` runs on the CPU of that vCPU.
    closing: steps that finish() does.
    exchange: memory of the size of new_exchange(), if another process is to read it.
    patience: how many seconds of processor time a schedule may take before kernel code counts as hanging.
    plant: the number of the planted difference that is active from the initialisation on; 0 for none.
    """

    def __init__(
        self,
        library: Path,
        host: Mapping[str, int],
        options: Mapping[str, int] | None = None,
        *,
        setup: Sequence[Step] = (),
        threads: Mapping[str, Sequence[Step]],
        closing: Sequence[Step] = (),
        exchange: mmap.mmap | None = None,
        patience: float = 60.0,
        plant: int = 0,
    ) -> None:
        if len(threads) > MAX_THREADS or any(len(steps) > MAX_STEPS for steps in threads.values()):
            raise ValueError(f"a race has at most {MAX_THREADS} threads, of {MAX_STEPS} steps each")
        self.threads = tuple(threads)
        self._steps = (*(tuple(steps) for steps in threads.values()), tuple(closing))
        self._memory = exchange or new_exchange()
        self._exchange = Exchange.from_buffer(self._memory)
        self._view = memoryview(self._memory).cast("Q")
        self._lib = ctypes.PyDLL(str(library))
        if not hasattr(self._lib, "race_boot"):
            raise ValueError(f"{library} is not built for races")
        self._lib.race_coverage.restype = ctypes.c_ulong
        self._lib.conformance_plant(ctypes.c_ulong(plant))
        self._boot(host, options or {}, patience)
        self._names = Names(library)
        self.early: list[Observation] = []
        """The observations of the setup's steps."""
        for step in setup:
            packed = self._pack([step])
            self._lib.race_setup(packed[0], ctypes.byref(packed, _BYTES))
            self.early.append(self._observe())
        for index, (name, steps) in enumerate(threads.items()):
            vcpu = re.fullmatch(r"vcpu(\d)", name)
            cpu = int(vcpu[1]) if vcpu else CPU_OF_OTHERS + index
            if self._lib.race_add(cpu, len(steps), self._pack(steps)):
                raise ValueError(f"there can be no thread {name}")
            self._heat(steps)
        self._closing = self._pack(closing)
        if self._lib.race_prepare():
            raise Lacking("the memory of a race could not be protected")
        start = _ANNOUNCED * _BYTES
        self._announced = memoryview(self._memory)[start : start + Shared.announced.size].cast("Q")
        before = self._outcome(ended=False)
        self.dirty_before, self.accessed_before = before.dirty, before.accessed
        """Frames that KVM marked in the setup; a RaceOutcome has those that it marked since."""
        self._advance = self._lib.race_advance
        self._begin = self._lib.race_begin
        self._begin()

    def begin(self, choices: Sequence[int] = ()) -> None:
        """Rewind to the state after the setup, with every thread at its first point; then run ``choices``."""
        self._begin()
        for t in choices:
            self.advance(t)

    def pending(self, t: int) -> tuple[int, int] | None:
        """Kind (Access) and object of the point at which thread t has stopped; None if it has ended."""
        announced = self._announced
        kind = announced[4 * t]
        return None if kind == _ENDED else (kind, announced[4 * t + 1])

    def ready(self, t: int) -> bool:
        """Whether t is enabled: not if it waits, or has ended."""
        return self._announced[4 * t + 2] == 1

    def advance(self, t: int) -> None:
        """Run t past its point, to the next one."""
        if self._advance(t):
            raise ValueError(f"{self.threads[t]} is not ready")

    def peek(self, thing: int) -> int:
        """The current value of the word that is an object of pending()."""
        if thing not in _KERNEL_MEMORY:
            raise ValueError(f"{thing:#x} is no word of the kernel's memory")
        return ctypes.c_uint64.from_address(thing).value

    def name(self, t: int) -> str:
        """What t does next: "fast_page_fault reads spte 4K gfn=0x10 (table #5)"."""
        kind, _, _, caller = self._announced[4 * t : 4 * t + 4]
        if kind == _ENDED:
            raise ValueError(f"{self.threads[t]} has ended")
        return self._names.step(kind, caller, self._described(t))

    def spte(self, t: int) -> Spte | None:
        """The SPTE that t accesses next; None for another object."""
        return self._names.spte(self._described(t))

    def finish(self) -> RaceOutcome:
        """Run the closing steps if all threads have ended, and return the outcome."""
        return self._outcome(ended=not self._lib.race_finish(self._closing, len(self._steps[-1])))

    def _outcome(self, ended: bool) -> RaceOutcome:
        view = self._view
        return RaceOutcome(
            threads=self.threads,
            steps=self._steps,
            complaints=self._complaints(),
            words=tuple(view[_EVENTS : _EVENTS + view[_NR_EVENTS]]),
            frames=tuple(view[_FRAMES : _FRAMES + view[_NR_FRAMES]]),
            observed=self._words() if ended else b"",
        )

    def write_coverage(self) -> None:
        """Write what was executed by all schedules in place of an observation, to be read from the exchange.

        The size in bytes comes first: 0 in a library that does not count.
        """
        start = Exchange.words.offset
        to = ctypes.byref(self._exchange, start + _BYTES)
        size = Exchange.words.size - _BYTES
        self._view[start // _BYTES] = self._lib.race_coverage(to, ctypes.c_ulong(size))

    def digest(self) -> int:
        """A digest of all memory that begin() restores."""
        return int(self._lib.race_digest())

    @property
    def pages_kept(self) -> int:
        """How many pages begin() restores."""
        return int(self._lib.race_pages_saved())

    def _boot(self, host: Mapping[str, int], options: Mapping[str, int], patience: float) -> None:
        error = self._lib.race_boot(
            ctypes.byref(self._exchange),
            ctypes.byref(self._exchange, ctypes.sizeof(Exchange)),
            (ctypes.c_uint64 * len(HOST))(*(int(host[name]) for name in HOST)),
            (ctypes.c_uint64 * len(OPTIONS))(
                *(int(options.get(name, option.default or 0)) for name, option in OPTIONS.items())
            ),
            ctypes.c_long(int(patience * 1e6)),
        )
        if error:
            raise not_initialised(error)

    def _pack(self, steps: Sequence[Step]) -> ctypes.Array[ctypes.c_uint64]:
        """Steps as the library takes them. Raises ValueError for an unknown step or other arguments."""
        packed = (ctypes.c_uint64 * max(1, WORDS_PER_STEP * len(steps)))()
        for place, (name, arguments) in enumerate(steps):
            try:
                index, names = ORDER[name]
            except KeyError:
                raise ValueError(f"there is no step {name!r}") from None
            if set(arguments) != set(names):
                raise ValueError(f"the step {name} takes {', '.join(names) or 'no arguments'}")
            numbers = [index, *(int(arguments[word]) & _MASK for word in names)]
            for offset, number in enumerate(numbers):
                packed[place * WORDS_PER_STEP + offset] = number
        return packed

    def _heat(self, steps: Sequence[Step]) -> None:
        """Declare to the library the gfns, or the pages of addresses, that guests access."""
        for name, arguments in steps:
            if not {"gfn", "vcpu"} <= set(arguments) and name != "execute":
                continue
            if name == "execute":
                self._lib.race_hot(ctypes.c_ulong(_ANY_GFN))
            page = arguments["gfn"] if "gfn" in arguments else arguments["address"] >> 12
            if self._lib.race_hot(ctypes.c_ulong(page)):
                raise ValueError(f"{name}: the guests of a race access too many gfns")

    def _described(self, t: int) -> Named:
        named = Named()
        self._lib.race_describe(t, ctypes.byref(named))
        return named

    def _words(self) -> bytes:
        start = Exchange.words.offset // _BYTES
        return self._view[start : start + self._exchange.nr_words].tobytes()

    def _complaints(self) -> tuple[str, ...]:
        length = self._exchange.events_length
        return tuple(self._exchange.events[:length].decode(errors="replace").splitlines()) if length else ()

    def _observe(self) -> Observation:
        return read_observation(self._words(), list(self._complaints()))
