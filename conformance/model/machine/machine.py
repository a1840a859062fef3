# SPDX-License-Identifier: GPL-2.0-only
"""The machine: a VM of one kernel in one mode, driven by named steps and seen through observations."""

from __future__ import annotations

from conformance.interface.observation import Observation
from conformance.interface.options import OPTIONS
from conformance.model.changes import PML_BY_VM
from conformance.model.kvm_main.mmu_context import kvm_init_mmu
from conformance.model.kvm_main.notifiers import KvmMmuNotifier
from conformance.model.machine import paging_steps as _paging_steps  # noqa: F401  (registers its steps)
from conformance.model.machine import steps as _steps  # noqa: F401
from conformance.model.machine.observation import observe
from conformance.model.machine.step_table import check_steps, take_step
from conformance.model.machine.stepped_vm import SteppedVm
from conformance.model.modes import Mode, kernel_in
from conformance.model.profiles import Profile
from conformance.model.shadow_mmu.unsync import mmu_try_to_unsync_pages
from conformance.model.vm.host import HostMemory
from conformance.model.vm.mmu_pages import TableMemory
from conformance.model.vm.vm import KvmVcpu, Options

__all__ = ["KernelBug", "Machine"]

check_steps()


class KernelBug(Exception):
    """The kernel would have crashed: the text is "BUG " and the function."""


class Machine:
    """One VM from its creation to its destruction, of a kernel with ``profile`` on the host of ``mode``.

    ``step("access", vcpu=0, gfn=0x10, kind=2)`` takes one step and returns an observation. The interface room
    lists the steps, their arguments and the options. An unknown step, argument or option is a ValueError, and
    so is a step in which KVM would wait forever.
    """

    def __init__(self, profile: Profile, mode: Mode, **options: int) -> None:
        unknown = options.keys() - OPTIONS.keys()
        if unknown:
            raise ValueError(f"no such option: {', '.join(sorted(unknown))}")
        chosen = Options(**{name: option.default or 0 for name, option in OPTIONS.items()} | options)
        k = kernel_in(mode, profile)
        self.vm = SteppedVm(
            k=k,
            mode=mode,
            options=chosen,
            host=HostMemory(),
            memory=TableMemory(k),
            vcpus=[KvmVcpu(number) for number in range(chosen.vcpus)],
            nx_huge_pages=bool(chosen.nx_huge_pages),
        )
        self.vm.host.notifier = KvmMmuNotifier(self.vm)
        self.vm.mmu_try_to_unsync_pages = mmu_try_to_unsync_pages
        for vcpu in self.vm.vcpus:
            vcpu.maxphyaddr = int(mode.phys_bits)
            vcpu.pml_enabled = self.vm.has_pml and not k.has(PML_BY_VM)
            kvm_init_mmu(self.vm, vcpu)

    def step(self, name: str, /, **arguments: int) -> Observation:
        """Take the step ``name``; return the observation after it. Raises KernelBug if KVM hits a BUG."""
        k = self.vm.k
        k.events.clear()
        outcome = take_step(self.vm, name, arguments)
        happened = [event for event, truth in k.events if truth]
        bugs = [event for event in happened if event.startswith("BUG ")]
        if bugs:
            raise KernelBug(bugs[0])
        if "call kvm_make_all_cpus_request" in happened:
            self.vm.dead = True
        return observe(self.vm, outcome, [event for event in happened if event.startswith("WARN ")])
