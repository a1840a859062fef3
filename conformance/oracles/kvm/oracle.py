# SPDX-License-Identifier: GPL-2.0-only
"""A machine on which the kernel's own KVM runs: it takes steps and returns observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from conformance.interface.observation import Observation
from conformance.interface.options import OPTIONS
from conformance.oracles.coverage import Counters, executed, read_counters
from conformance.oracles.edges import Edges, read_edges
from conformance.oracles.hosts import HOST
from conformance.oracles.kvm.deaths import KernelDied, not_made
from conformance.oracles.kvm.header import ORDER
from conformance.oracles.kvm.observation_words import read_observation
from conformance.oracles.kvm.server import RawStateRequest, Server, borrow, give_back
from conformance.oracles.lacking import Lacking

__all__ = ["KvmOracle"]

_T = TypeVar("_T")


class KvmOracle:
    """One VM with its vCPUs, its host and its processors, in a process of its own. A context manager.

    host: the properties of the host (hosts.HOST); options: see interface/options.py.
    patience: seconds of processor time that a step may take before kernel code counts as hanging.
    raw_state: what to copy after each step, for raw_state().
    plant: the number of the planted difference that is active from the initialisation on; 0 for none.

    Raises KernelDied if kernel code dies while the machine is created, Lacking if the suite or the system
    lacks something that it needs.
    """

    def __init__(
        self,
        library: Path,
        host: Mapping[str, int],
        options: Mapping[str, int] | None = None,
        *,
        patience: float = 10.0,
        raw_state: RawStateRequest | None = None,
        plant: int = 0,
    ) -> None:
        unknown = set(options or {}) - set(OPTIONS)
        if unknown:
            raise ValueError(f"a machine has no option {min(unknown)!r}: it has {', '.join(OPTIONS)}")
        self._library = library
        self._alive = False
        self._server: Server | None = borrow(library, patience)
        self._alive = True
        given = options or {}
        hosts = [int(host[name]) for name in HOST]
        numbers = [int(given.get(name, option.default or 0)) for name, option in OPTIONS.items()]
        self._converse(lambda server: server.start(hosts, numbers, raw_state, plant))
        self._early = self._server.events()
        error = self._server.word(0)
        if error:
            self.close()
            raise not_made(error - (1 << 64))

    def __enter__(self) -> KvmOracle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the machine at once, whatever state it is in."""
        server, self._server = self._server, None
        if server is None:
            return
        if self._alive:
            server.end()
        self._alive = False
        give_back(server)

    def step(self, name: str, /, **arguments: int) -> Observation:
        """Take one step and observe. Raises KernelDied or Lacking if the step ends the machine.

        Complaints from the creation of the machine come with the first step's events.
        Raises ValueError for an unknown step, or for arguments that are not the step's.
        """
        self.begin(name, **arguments)
        return self.finish()

    def begin(self, name: str, /, **arguments: int) -> None:
        """Begin a step. Raises ValueError as step() does."""
        try:
            index, names = ORDER[name]
        except KeyError:
            raise ValueError(f"there is no step {name!r}") from None
        if len(arguments) != len(names) or any(word not in arguments for word in names):
            raise ValueError(f"the step {name} takes {', '.join(names) or 'no arguments'}")
        self._need().begin(index, [arguments[word] for word in names])

    def finish(self) -> Observation:
        """Wait until the step is taken and observe. Raises KernelDied or Lacking as step() does."""
        server = self._need()
        self._converse(Server.finish)
        early, self._early = self._early, []
        try:
            return read_observation(server.words(), early + server.events())
        except (ValueError, TypeError, LookupError, ArithmeticError):
            # Kernel code has overwritten the observation.
            self.close()
            raise KernelDied("broke off: what it shows of the machine cannot be read") from None

    def faults(self, vcpu: int, gfn: int, npages: int, n: int) -> int:
        """Take `n` page faults by writes to `npages` pages from `gfn`, unmapped after each round.

        For benchmarks: observes nothing. Returns how many faults there were. With shadow paging, the guest
        has to map these gfns at their own addresses.
        """
        self.begin("faults", vcpu=vcpu, gfn=gfn, npages=npages, n=n)
        self._converse(Server.finish)
        return self._need().word(2)

    def raw_state(self) -> bytes:
        """The copy after the last step, for RawStateReader.read(); empty if none was requested."""
        return self._need().raw_state()

    def coverage(self) -> Counters:
        """What was executed since KVM was initialised, in a library that counts it; see build_kvm().

        Takes the place of the last observation. Raises KernelDied, Lacking.
        """
        return self._counted(lambda dump: read_counters(dump, self._library))

    def edges(self) -> Edges:
        """The edges of the MMU that were executed; see coverage()."""
        return self._counted(read_edges)

    def _counted(self, read: Callable[[bytes], _T]) -> _T:
        """What is read of the counters."""
        found: list[bytes] = []
        self._converse(lambda server: found.append(server.coverage()))
        try:
            return read(found[0])
        except ValueError:
            self.close()
            raise KernelDied("broke off: its counters cannot be read") from None

    def executed(self) -> set[str]:
        """The names of the functions of KVM that were executed; see coverage()."""
        return executed(self._library, self.coverage())

    def reached(self) -> frozenset[int]:
        """The numbers of the planted differences whose places were executed since KVM was initialised.

        Takes the place of the last observation. Raises KernelDied, Lacking.
        """
        return self._counted(_numbers)

    def _need(self) -> Server:
        if self._server is None or not self._alive:
            raise ValueError("the machine has ended")
        return self._server

    def _converse(self, request: Callable[[Server], None]) -> None:
        """Send a request to the server. If the machine ends, close it and raise why."""
        try:
            request(self._need())
        except (KernelDied, Lacking):
            self._alive = False
            self.close()
            raise


def _numbers(bitmap: bytes) -> frozenset[int]:
    """The numbers of the bits that are set."""
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")
    return frozenset(np.flatnonzero(bits).tolist())
