# SPDX-License-Identifier: GPL-2.0-only
"""Runs selftests in an emulated machine, one after the other, each with the settings that it needs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.kernels import Cache
from conformance.kernels.bootable import Bootable
from conformance.kernels.tools import Progress
from conformance.oracles.lacking import Lacking, written
from conformance.oracles.live.loaded import Loaded, prepare_initrd
from conformance.oracles.live.qemu import Qemu
from conformance.oracles.live.settings import Setting
from conformance.sandbox.watching import Bounds
from conformance.selftests.table import Selftest

__all__ = ["Ended", "Machines"]

_IDLE = 60
"""Seconds that a machine may wait for nothing while a selftest runs."""

_SLOWER = 6
"""How much slower than its processor time a selftest may be, on a machine that does other things too."""


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit status, or the negative number of a signal; what it and the kernel wrote
    meanwhile."""

    status: int
    output: tuple[str, ...]
    console: tuple[str, ...]


class Machines:
    """A machine with the programs in it: booted when one is needed, and again after one has ended.

    A context manager.
    """

    def __init__(
        self,
        kernel: Bootable,
        programs: Sequence[Path],
        cache: Cache,
        progress: Progress,
        setting: Setting,
    ) -> None:
        self._kernel = kernel
        self._programs = programs
        self._cache = cache
        self._progress = progress
        self._setting = setting
        self.unbootable = False
        self._machine: Loaded | None = None

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the machine."""
        if self._machine is not None:
            self._machine.close()
        self._machine = None

    def boot(self) -> Loaded:
        """The machine, booted if necessary. Raises LiveDied if the kernel does not boot: ``unbootable``."""
        if self._machine is None:
            self.unbootable = True
            vendor = self._setting.vendor
            start = prepare_initrd(self._kernel, vendor, self._cache, self._progress, self._programs)
            self._progress(f"{self._kernel.title}: booting")
            self._machine = Loaded(Qemu(self._kernel, start), self._kernel, self._setting)
            self.unbootable = False
        return self._machine

    def run(self, program: str, one: Selftest) -> Ended:
        """Run a program to its end.

        Raises LiveDied if the machine ends or falls silent, and Lacking if it gets too little time; then it
        is closed.
        """
        try:
            machine = self.boot()
            bounds = Bounds(cpu=one.limit, idle=_IDLE, wall=one.limit * _SLOWER)
            before = {path: _exchange(machine, path, value) for path, value in one.settings.items()}
            machine.written()
            self._progress(f"running {one.name}")
            *answer, last = machine.ask(f"execute_program /bin/{program} {one.arguments}".rstrip(), bounds)
            console = machine.written().replace("\r", "").split("\n")
            for path, value in before.items():
                _exchange(machine, path, value)
        except BaseException:
            self.close()
            raise
        if not last.startswith("status "):
            raise Lacking("the agent of the machine does not know how to run a program")
        return Ended(
            os.waitstatus_to_exitcode(int(last.split()[1])),
            tuple(written(line.removeprefix("> ")) for line in answer if line.startswith(">")),
            tuple(written(line) for line in console if line.strip()),
        )


def _exchange(machine: Loaded, path: str, value: str) -> str:
    """Write a value, if any, to a file that the kernel may not have; the file's value before."""
    before = "".join(machine.read_file(path))
    if value:
        machine.ask(f"write {path} {value}")
    return before
