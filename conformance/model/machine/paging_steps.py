# SPDX-License-Identifier: GPL-2.0-only
"""The steps of shadow paging: control registers, guest instructions at an address, nested guests."""

from __future__ import annotations

from conformance.model.machine.step_table import step
from conformance.model.machine.stepped_vm import SteppedVm
from conformance.model.vm.host import EFAULT

__all__: list[str] = []


@step
def set_nr_mmu_pages(vm: SteppedVm, n: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def set_sregs(vm: SteppedVm, vcpu: int, cr0: int, cr4: int, efer: int, cr3: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def store(vm: SteppedVm, gfn: int, index: int, value: int) -> list[int]:
    """Userspace writes a word of the memory that backs a gfn, where the host maps it for userspace."""
    slot = vm.active_memslots(0).gfn_to_memslot(gfn)
    return [-EFAULT if slot is None else vm.host.store(slot.host_page(gfn), index, value)]


@step
def execute(
    vm: SteppedVm, vcpu: int, address: int, kind: int, privilege: int, value: int, instruction: int
) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def set_cr0(vm: SteppedVm, vcpu: int, value: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def set_cr3(vm: SteppedVm, vcpu: int, value: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def set_cr4(vm: SteppedVm, vcpu: int, value: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def set_efer(vm: SteppedVm, vcpu: int, value: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def invlpg(vm: SteppedVm, vcpu: int, address: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def invpcid(vm: SteppedVm, vcpu: int, type: int, address: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def enter_l2(vm: SteppedVm, vcpu: int, address: int, ad: int, exec_only: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def leave_l2(vm: SteppedVm, vcpu: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")


@step
def invept(vm: SteppedVm, vcpu: int) -> list[int]:
    raise ValueError("the model has no shadow paging yet")
