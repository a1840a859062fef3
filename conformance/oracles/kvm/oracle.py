# SPDX-License-Identifier: GPL-2.0-only
"""A machine on which the kernel's own KVM runs: steps go in, observations come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from conformance.interface.observation import Observation
from conformance.interface.options import OPTIONS
from conformance.oracles.kvm.deaths import KernelDied, not_made
from conformance.oracles.kvm.header import ORDER
from conformance.oracles.kvm.reading import read_observation
from conformance.oracles.kvm.server import Server, Wanted, borrow, give_back
from conformance.oracles.kvm.symbols import symbols_of
from conformance.oracles.lacking import Lacking

__all__ = ["KvmOracle"]


class KvmOracle:
    """One VM with its vCPUs, its host and its processors, in a process of its own. A context manager.

    host: what the kernel finds itself on (hosts.HOST); options: see interface/options.py.
    patience: how many seconds of processor time a step may take before kernel code counts as hanging.
    wanted: what it keeps is to be read after each step, with kept().
    plant: which planted difference shows, from the initialisation on; 0: none.

    Raises KernelDied if creating the machine already ends it, Lacking if there can be none, or if a step
    needs what the environment has not.
    """

    def __init__(
        self,
        library: Path,
        host: Mapping[str, int],
        options: Mapping[str, int] | None = None,
        *,
        patience: float = 10.0,
        wanted: Wanted | None = None,
        plant: int = 0,
    ) -> None:
        unknown = set(options or {}) - set(OPTIONS)
        if unknown:
            raise ValueError(f"a machine has no option {min(unknown)!r}: it has {', '.join(OPTIONS)}")
        if not host["tdp"]:
            raise ValueError("a machine has two-dimensional paging: take the host of another mode")
        self._library = library
        self._alive = False
        self._server: Server | None = borrow(library, host, patience, plant)
        self._alive = True
        given = options or {}
        numbers = [int(given.get(name, option.default or 0)) for name, option in OPTIONS.items()]
        self._converse(lambda server: server.start(numbers, wanted))
        self._early = self._server.events()
        error = int(self._server.words()[0])
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
        """End the machine, as pulling its plug would."""
        server, self._server = self._server, None
        if server is None:
            return
        if self._alive:
            server.end()
        self._alive = False
        give_back(server)

    def step(self, name: str, /, **arguments: int) -> Observation:
        """Do one step and observe. Raises KernelDied or Lacking, and the machine is gone, if that ends it.

        What was complained of while the machine was made comes with the first step's events.
        An unknown step, or arguments other than the step's, are a ValueError.
        """
        server = self._need()
        self._send(server, name, arguments)
        early, self._early = self._early, []
        try:
            return read_observation(server.words(), early + server.events())
        except (ValueError, TypeError, IndexError):
            # Kernel code has overwritten the observation.
            self.close()
            raise KernelDied("broke off: what it shows of the machine cannot be read") from None

    def faults(self, vcpu: int, gfn: int, npages: int, n: int) -> int:
        """For the bench: `n` page faults, by writes to `npages` pages from `gfn`, unmapped after each round.

        Nothing is observed. Returns how many there were.
        """
        server = self._need()
        self._send(server, "faults", {"vcpu": vcpu, "gfn": gfn, "npages": npages, "n": n})
        return int(server.words()[2])

    def kept(self) -> bytes:
        """What the machine keeps after the last step, for kept.read_dump(); nothing if none was wanted."""
        return self._need().kept()

    def covered(self) -> set[str]:
        """The names of the functions of KVM that ran since this was last asked, or a VM was first created.

        Only a traced library knows; see build_kvm().
        """
        names = dict(symbols_of(self._library))
        (anchor,) = (offset for offset, name in names.items() if name == "__cyg_profile_func_enter")
        found = {names.get((anchor + distance) % (1 << 64), "") for distance in self._need().covered()}
        return found - {""}

    def _need(self) -> Server:
        if self._server is None or not self._alive:
            raise ValueError("the machine has ended")
        return self._server

    def _send(self, server: Server, name: str, arguments: Mapping[str, int]) -> None:
        try:
            index, names = ORDER[name]
        except KeyError:
            raise ValueError(f"there is no step {name!r}") from None
        if len(arguments) != len(names) or any(word not in arguments for word in names):
            raise ValueError(f"the step {name} takes {', '.join(names) or 'no arguments'}")
        self._converse(lambda server: server.ask(index, [arguments[word] for word in names]))

    def _converse(self, say: Callable[[Server], None]) -> None:
        """Say something to the server; if the machine dies of it, end everything and raise how."""
        try:
            say(self._need())
        except (KernelDied, Lacking):
            self._alive = False
            self.close()
            raise
