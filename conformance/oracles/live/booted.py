# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that has booted: its modules are loaded, its memory can be read, its page faults are traced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.kernels.bootable import Bootable
from conformance.kernels.tools import Progress, quiet
from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.module import open_module
from conformance.oracles.live import aging, page_events
from conformance.oracles.live.aging import Damon
from conformance.oracles.live.deaths import warnings
from conformance.oracles.live.emulator import Emulator
from conformance.oracles.live.loaded import Loaded, prepare_initrd
from conformance.oracles.live.memory import Memory
from conformance.oracles.live.qemu import Qemu
from conformance.oracles.live.reading import VmReader
from conformance.oracles.live.settings import Setting
from conformance.oracles.live.symbols import place_in_module, root_table

__all__ = ["TRACER", "Booted", "boot"]

TRACER = "/sys/kernel/tracing/instances/steps"
"""An instance of the tracer of its own, so that others can record meanwhile."""

_FAULT = "conformance/fault"
"""The kprobe of page faults. On Intel's processors the event kvm_page_fault has the exit qualification for an
error code, and is not raised for MMIO."""
_HANDLED = "conformance/handled"
"""The kretprobe of the functions that handle page faults."""
_FLUSH = "conformance/flushed"
"""The kprobe of the function that requests flushes."""
_RECLAIMED = "conformance/reclaimed"
"""The kprobe of the notifier that only reclaim calls."""
_EMULATED = "kvm/kvm_emulate_insn"

_HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage"
_QUIET = {
    # Reads of huge pages would map the huge zero page.
    f"{_HUGE_PAGES}/use_zero_page": "0",
    # Nothing changes the memory of a VM between steps: khugepaged sleeps for weeks, and begins with one page.
    f"{_HUGE_PAGES}/khugepaged/pages_to_scan": "1",
    f"{_HUGE_PAGES}/khugepaged/scan_sleep_millisecs": "4294967295",
    "/proc/sys/vm/compaction_proactiveness": "0",
}
"""How the kernel manages memory: paths and what is written to them."""

OPTIONS = "hugepagesz=1G hugepages=1"
"""Of the kernel: stories map one page of 1 GiB."""


class Booted(Loaded):
    """A kernel whose memory can be read, and whose page faults are traced. A context manager.

    Raises LiveDied, from every method, if the kernel crashes or falls silent.
    """

    def __init__(self, emulator: Emulator, kernel: Bootable, setting: Setting) -> None:
        super().__init__(emulator, kernel, setting)
        with contextlib.ExitStack() as stack:
            stack.callback(emulator.close)
            self._configure()
            btf = self._btf()
            self.fault_results = _fault_results(btf)
            self.memory = Memory(emulator, btf, self._symbols())
            self.smm_mask, self.generation = self._try_vm()
            self.damon = Damon(self)
            self._trace()
            stack.pop_all()

    def warned(self) -> list[str]:
        """The WARNs on the console since the last time."""
        return warnings(self.written())

    def _configure(self) -> None:
        """Prepare the process whose VMs are driven."""
        self.need("open_kvm", "opening /dev/kvm")
        for path, value in _QUIET.items():
            self.need(f"write {path} {value}", "configuring memory management")

    def use_pml(self, pml: int) -> None:
        """Load the vendor's module anew if it does not use page modification logging as wanted."""
        parameters = self.setting.with_pml(pml)
        if parameters != self._parameters:
            self.need("close_kvm", "closing /dev/kvm")
            self._reload(parameters)
            self.need("open_kvm", "opening /dev/kvm")

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
        more = [*(page_events.EVENTS if self.setting.shadow_pages else ())]
        self._probe("kvm_mmu_page_fault", f"p:{_FAULT}", "address=%si:x64 error_code=%dx:x64")
        if self.damon.there:
            self._probe(aging.PROBED, f"r:{aging.PROBE}", "ret=$retval:s32")
            more.append(aging.PROBE)
        self._probe("kvm_mmu_notifier_clear_flush_young", f"p:{_RECLAIMED}", "")
        more.append(_RECLAIMED)
        for handler in self.setting.handlers:
            self._probe(handler, f"r:{_HANDLED}", "ret=$retval:s32")
        if self.setting.own_tables:
            self._probe("kvm_flush_remote_tlbs", f"p:{_FLUSH}", "")
            more += [_FLUSH, _EMULATED]
        self.need("mkdir " + TRACER, "making an instance of the tracer")
        # Without comm, CPU and time: the line is the event.
        self.need(f"write {TRACER}/options/context-info 0", "configuring the tracer")
        for event in (_FAULT, _HANDLED, *more):
            self.need(f"write {TRACER}/events/{event}/enable 1", f"enabling the event {event}")
        self.need(f"follow_trace {TRACER}", "following the trace")

    def _probe(self, function: str, event: str, values: str) -> None:
        line = f"{event} kvm:{function} {values}"
        self.need(f"append /sys/kernel/tracing/kprobe_events {line}", f"probing {function}()")


def _fault_results(btf: Btf) -> dict[int, str]:
    """The names of RET_PF_* by their numbers, which differ between kernels."""
    found = btf.enumeration_with("RET_PF_RETRY")
    if not found:
        raise ConformanceError(f"{btf.file}: its types have no RET_PF_RETRY, so that faults cannot be read.")
    return {number: name.removeprefix("RET_PF_") for name, number in found.items()}


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
