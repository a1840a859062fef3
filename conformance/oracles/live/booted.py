# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that has booted: its modules are loaded, its memory can be read, its page faults are traced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.kernels.bootable import Bootable
from conformance.kernels.cache import key_of
from conformance.kernels.manifest import file_digest
from conformance.kernels.tools import Progress, quiet
from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.module import open_module
from conformance.oracles.common import digest_of_parts
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.agent import build_agent, initrd, without_signature
from conformance.oracles.live.deaths import died, warnings
from conformance.oracles.live.emulator import PATIENCE, Emulator, Gone, Silent
from conformance.oracles.live.memory import Memory
from conformance.oracles.live.qemu import Qemu
from conformance.oracles.live.reading import VmReader
from conformance.oracles.live.settings import Setting
from conformance.oracles.live.symbols import place_in_module, root_table
from conformance.sandbox.watching import Bounds

__all__ = ["TRACER", "Booted", "boot", "prepare_initrd"]

TRACER = "/sys/kernel/tracing/instances/steps"
"""An instance of the tracer of its own, so that others can record meanwhile."""

_EVENTS = ("kvm/kvm_page_fault",)

_FAULT = "conformance/handled"
"""The kretprobe of the function that handles page faults."""

KIND = "initrd"
KEEP = 8

OPTIONS = "hugepagesz=1G hugepages=1"
"""Of the kernel: stories map one page of 1 GiB."""


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


class Booted:
    """A kernel that runs in an emulated machine, with KVM loaded. A context manager.

    Raises LiveDied, from every method, if the kernel crashes or falls silent.
    """

    def __init__(self, emulator: Emulator, kernel: Bootable, setting: Setting) -> None:
        self.kernel = kernel
        self.setting = setting
        self.running = True
        self._emulator = emulator
        self._console = 0
        with contextlib.ExitStack() as stack:
            stack.callback(emulator.close)
            self._load()
            btf = self._btf()
            self.fault_results = _fault_results(btf)
            self.memory = Memory(emulator, btf, self._symbols())
            self.smm_mask, self.generation = self._try_vm()
            self._trace()
            stack.pop_all()

    def __enter__(self) -> Booted:
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

    def warned(self) -> list[str]:
        """The WARNs on the console since the last time."""
        whole = self._emulator.console()
        new, self._console = whole[self._console :], len(whole)
        return warnings(new)

    def _load(self) -> None:
        """Load the modules."""
        for module in self.kernel.load_order(self.setting.vendor):
            given = self.setting.kvm if module.name == "kvm" else {}
            given = self.setting.parameters if module.name == self.setting.vendor else given
            words = " ".join(f"{name}={value}" for name, value in given.items())
            self.need(f"insmod /modules/{module.name}.ko {words}".rstrip(), f"loading {module.name}")
        self.need("open_kvm", "opening /dev/kvm")
        # Reads of huge pages would map the huge zero page.
        self.need("write /sys/kernel/mm/transparent_hugepage/use_zero_page 0", "configuring huge pages")

    def _btf(self) -> Btf:
        """The types of kvm.ko and of the kernel."""
        return open_module(self.kernel.module("kvm").path, self.kernel.base).btf

    def _symbols(self) -> dict[str, int]:
        """The addresses of variables of the kernel."""
        section, offset = place_in_module(self.kernel.module("kvm").path, "vm_list")
        start = int(self._word(f"/sys/module/kvm/sections/{section}"), 16)
        place, _, size = self._word("/sys/kernel/vmcoreinfo").partition(" ")
        note = self._emulator.read(int(place, 16), int(size, 16))
        return {"vm_list": start + offset, "init_top_pgt": root_table(note, self.kernel.title)}

    def _word(self, path: str) -> str:
        """The line of a file of the machine that the kernel has to have."""
        lines = self.read_file(path)
        if not lines:
            raise ConformanceError(
                f"{self.kernel.title} has no {path}, so that its state cannot be read. "
                "It has to be built with CONFIG_KALLSYMS and CONFIG_KEXEC."
            )
        return lines[0]

    def _try_vm(self) -> tuple[int, int]:
        """The bit of hflags that says that a vCPU is in SMM, and the generation of a new VM's memslots.

        Both differ between kernels, and none of the kernel's types has them.
        """
        self.need("vm vcpus=1", "creating a VM")
        vm = VmReader(self.memory, 0, 0)
        generation, before = vm.state().generation, vm.hflags(0)
        self.need("smm vcpu=0 on=1", "entering SMM")
        changed = vm.hflags(0) & ~before
        self.ask("destroy")
        return changed, generation

    def _trace(self) -> None:
        """Follow page faults and how they are handled."""
        probe = f"r:{_FAULT} kvm:{self.setting.handler} ret=$retval:s32"
        self.need(f"append /sys/kernel/tracing/kprobe_events {probe}", "probing the handler of page faults")
        self.need("mkdir " + TRACER, "making an instance of the tracer")
        # Without comm, CPU and time: the line is the event.
        self.need(f"write {TRACER}/options/context-info 0", "configuring the tracer")
        for event in (*_EVENTS, _FAULT):
            self.need(f"write {TRACER}/events/{event}/enable 1", f"enabling the event {event}")
        self.need(f"follow_trace {TRACER}", "following the trace")


def _fault_results(btf: Btf) -> dict[int, str]:
    """The names of RET_PF_* by their numbers, which differ between kernels."""
    found = btf.enumeration_with("RET_PF_RETRY")
    if not found:
        raise ConformanceError(f"{btf.file}: its types have no RET_PF_RETRY, so that faults cannot be read.")
    return {number: name.removeprefix("RET_PF_") for name, number in found.items()}


@contextlib.contextmanager
def dying(emulator: Emulator) -> Iterator[None]:
    """Turn the end of the machine into a LiveDied."""
    try:
        yield
    except Gone:
        raise died(emulator.console()) from None
    except Silent as silent:
        raise died(emulator.console(), str(silent)) from None


def boot(
    kernel: Bootable,
    setting: Setting,
    cache: Cache,
    progress: Progress = quiet,
    machine: Callable[[Bootable, Path, str], Emulator] = Qemu,
) -> Booted:
    """Boot a kernel and load KVM. Raises ConformanceError, Lacking, LiveDied."""
    start = prepare_initrd(kernel, setting.vendor, cache, progress)
    progress(f"{kernel.title}: booting")
    return Booted(machine(kernel, start, OPTIONS), kernel, setting)
