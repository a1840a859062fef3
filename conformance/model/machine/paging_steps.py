# SPDX-License-Identifier: GPL-2.0-only
"""The steps of shadow paging: control registers, guest instructions at an address, nested guests."""

from __future__ import annotations

from conformance.model.kvm_main import control_registers as registers
from conformance.model.kvm_main import nested
from conformance.model.kvm_main.invpcid import kvm_handle_invpcid
from conformance.model.machine.step_table import step, vcpu_of
from conformance.model.machine.stepped_vm import SteppedVm
from conformance.model.processor import guest
from conformance.model.processor.instruction import execute_instruction
from conformance.model.shadow_mmu.invlpg import kvm_mmu_invlpg
from conformance.model.shadow_mmu.limits import kvm_vm_ioctl_set_nr_mmu_pages
from conformance.model.vm.host import EFAULT

__all__: list[str] = []


@step
def set_nr_mmu_pages(vm: SteppedVm, n: int) -> list[int]:
    """KVM_SET_NR_MMU_PAGES: the limit of shadow pages."""
    return [kvm_vm_ioctl_set_nr_mmu_pages(vm, n)]


@step
def set_sregs(vm: SteppedVm, vcpu: int, cr0: int, cr4: int, efer: int, cr3: int) -> list[int]:
    """KVM_SET_SREGS: userspace sets the control registers."""
    with vm.srcu:
        return [registers.kvm_set_sregs(vm, vcpu_of(vm, vcpu), cr0, cr4, efer, cr3)]


@step
def store(vm: SteppedVm, gfn: int, index: int, value: int) -> list[int]:
    """Userspace writes a word of the memory that backs a gfn, where the host maps it for userspace."""
    slot = vm.active_memslots(0).gfn_to_memslot(gfn)
    return [-EFAULT if slot is None else vm.host.store(slot.host_page(gfn), index, value)]


@step
def execute(
    vm: SteppedVm, vcpu: int, address: int, kind: int, privilege: int, value: int, instruction: int
) -> list[int]:
    """One instruction of the guest at an address; see ``ExecuteOutcome``."""
    return execute_instruction(vm, vcpu_of(vm, vcpu), address, kind, privilege, value, instruction)


@step
def set_cr0(vm: SteppedVm, vcpu: int, value: int) -> list[int]:
    """The guest writes CR0; 1 for #GP."""
    with vm.srcu:
        return [registers.kvm_set_cr0(vm, vcpu_of(vm, vcpu), value)]


@step
def set_cr3(vm: SteppedVm, vcpu: int, value: int) -> list[int]:
    """The guest writes CR3; 1 for #GP."""
    with vm.srcu:
        return [registers.kvm_set_cr3(vm, vcpu_of(vm, vcpu), value)]


@step
def set_cr4(vm: SteppedVm, vcpu: int, value: int) -> list[int]:
    """The guest writes CR4; 1 for #GP."""
    with vm.srcu:
        return [registers.kvm_set_cr4(vm, vcpu_of(vm, vcpu), value)]


@step
def set_efer(vm: SteppedVm, vcpu: int, value: int) -> list[int]:
    """The guest writes EFER; 1 for #GP."""
    with vm.srcu:
        return [registers.set_efer(vm, vcpu_of(vm, vcpu), value)]


@step
def invlpg(vm: SteppedVm, vcpu: int, address: int) -> list[int]:
    """The guest is entered, and executes INVLPG if it can fetch it."""
    if guest.enter(vm, vcpu_of(vm, vcpu)) == 0 and _can_fetch(vm, vcpu):
        with vm.srcu:
            kvm_mmu_invlpg(vm, vcpu_of(vm, vcpu), address)
    return []


@step
def invpcid(vm: SteppedVm, vcpu: int, type: int, address: int) -> list[int]:
    """The guest is entered, and executes INVPCID if it can fetch it. An exception is taken at once."""
    entered = guest.enter(vm, vcpu_of(vm, vcpu))
    if entered or not _can_fetch(vm, vcpu):
        return [entered]
    with vm.srcu:
        r = kvm_handle_invpcid(vm, vcpu_of(vm, vcpu), type, address)
    vcpu_of(vm, vcpu).exception = None
    return [r]


def _can_fetch(vm: SteppedVm, vcpu: int) -> bool:
    """Whether the guest can execute anything: with the dummy root, each access faults."""
    return vcpu_of(vm, vcpu).mmu.root is not vm.shadow.dummy_root


@step
def enter_l2(vm: SteppedVm, vcpu: int, address: int, ad: int, exec_only: int) -> list[int]:
    """L1 enters L2, with its EPTP or its nested CR3."""
    if not vm.k.tdp_enabled:
        raise ValueError("nested guests need two-dimensional paging")
    vm.has_run_l2 = True
    with vm.srcu:
        nested.enter_l2(vm, vcpu_of(vm, vcpu), address, bool(ad), bool(exec_only))
    return []


@step
def leave_l2(vm: SteppedVm, vcpu: int) -> list[int]:
    """An exit from L2 to L1."""
    with vm.srcu:
        nested.leave_l2(vm, vcpu_of(vm, vcpu))
    return []


@step
def invept(vm: SteppedVm, vcpu: int) -> list[int]:
    """L1 executes INVEPT of all contexts."""
    with vm.srcu:
        nested.invept(vm, vcpu_of(vm, vcpu))
    return []
