# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that runs in an emulated machine, with KVM's modules loaded."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.kernels.bootable import Bootable
from conformance.kernels.cache import key_of
from conformance.kernels.manifest import file_digest
from conformance.kernels.tools import Progress, quiet
from conformance.oracles.common import digest_of_parts
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.agent import build_agent, initrd, without_signature
from conformance.oracles.live.deaths import died
from conformance.oracles.live.emulator import PATIENCE, Emulator, Gone, Silent
from conformance.oracles.live.settings import Setting
from conformance.sandbox.watching import Bounds

__all__ = ["Loaded", "prepare_initrd"]

_Self = TypeVar("_Self", bound="Loaded")

KIND = "initrd"
KEEP = 8

_UNLOADING = 100
"""How often unloading a module is tried."""


def prepare_initrd(
    kernel: Bootable, vendor: str, cache: Cache, progress: Progress = quiet, programs: Sequence[Path] = ()
) -> Path:
    """The initrd with the agent, the modules for a vendor's processors, and programs in /bin."""
    agent = build_agent(cache, progress)
    modules = kernel.load_order(vendor)

    def build(entry: Path) -> None:
        files = {f"modules/{one.name}.ko": without_signature(one.path.read_bytes()) for one in modules}
        more = [(f"bin/{one.name}", one.read_bytes()) for one in programs]
        (entry / "initrd").write_bytes(initrd(agent, files, more))

    parts = [file_digest(path) for path in (agent, *(one.path for one in modules), *programs)]
    key = key_of(*parts, *(one.name for one in programs), digest_of_parts("oracles/live/agent.py"))
    return cache.get_or_build(KIND, key, build, what="an initrd", keep=KEEP, progress=progress) / "initrd"


class Loaded:
    """A kernel that has booted, with KVM loaded. A context manager.

    Raises LiveDied, from every method, if the kernel crashes or falls silent.
    """

    def __init__(self, emulator: Emulator, kernel: Bootable, setting: Setting) -> None:
        self.kernel = kernel
        self.setting = setting
        self.running = True
        self._emulator = emulator
        self._console = 0
        self._parameters = setting.with_pml(0)
        """Those with which the vendor's module is loaded."""
        with contextlib.ExitStack() as stack:
            stack.callback(emulator.close)
            self._load()
            stack.pop_all()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the machine."""
        self.running = False
        self._emulator.close()

    def ask(self, request: str, bounds: Bounds = PATIENCE) -> list[str]:
        """The lines of the agent's answer. Raises LiveDied, Lacking."""
        with dying(self._emulator):
            return self._emulator.ask(request, bounds)

    def code(self, request: str) -> int:
        """The code of an answer that is one: 0 or more, or a negative errno."""
        answer = self.ask(request)
        codes = [line.split()[1] for line in answer if line.startswith("code ")]
        if not codes:
            raise Lacking(f"the agent of the machine does not know how to answer {request.split()[0]!r}")
        return int(codes[0])

    def need(self, request: str, what: str) -> None:
        """Ask for something that has to succeed. Raises ConformanceError."""
        code = self.code(request)
        if code < 0:
            raise ConformanceError(f"{self.kernel.title}: {what} failed with {code} in the emulated machine.")

    def read_file(self, path: str) -> list[str]:
        """The lines of a file of the machine."""
        return [line.removeprefix("> ") for line in self.ask(f"read {path}") if line.startswith("> ")]

    def written(self) -> str:
        """What the kernel has written to its console since the last time."""
        whole = self._emulator.console()
        new, self._console = whole[self._console :], len(whole)
        return new

    def _load(self) -> None:
        """Load the modules."""
        *needed, vendor = self.kernel.load_order(self.setting.vendor)
        for module in needed:
            self._insmod(module.name, self.setting.kvm if module.name == "kvm" else {})
        self._insmod(vendor.name, self._parameters)

    def _insmod(self, name: str, parameters: Mapping[str, str]) -> None:
        words = " ".join(f"{parameter}={value}" for parameter, value in parameters.items())
        self.need(f"insmod /modules/{name}.ko {words}".rstrip(), f"loading {name}")

    def _reload(self, parameters: Mapping[str, str]) -> None:
        """Load the vendor's module anew. The last VM may hold it for some time after its end."""
        for _ in range(_UNLOADING):
            code = self.code(f"rmmod {self.setting.vendor}")
            if code != -errno.EAGAIN:
                break
            self.ask("wait milliseconds=20")
        else:
            raise Lacking(f"the module {self.setting.vendor} of the machine is in use")
        if code < 0:
            raise ConformanceError(
                f"{self.kernel.title}: unloading {self.setting.vendor} failed with {code}."
            )
        self._parameters = dict(parameters)
        self._insmod(self.setting.vendor, parameters)


@contextlib.contextmanager
def dying(emulator: Emulator) -> Iterator[None]:
    """Turn the end of the machine into a LiveDied."""
    try:
        yield
    except Gone:
        raise died(emulator.console()) from None
    except Silent as silent:
        raise died(emulator.console(), str(silent)) from None
