# SPDX-License-Identifier: GPL-2.0-only
"""Page-modification logging: the processor notes each page in which it sets Dirty, for KVM to collect.

Its buffer is emptied at each exit, so KVM gets all of it by making vCPUs exit.
"""

from __future__ import annotations

from conformance.model.vm.memslots import mark_page_dirty_in_slot
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["drain_pml", "kick_vcpus"]


def drain_pml(vm: Vm, vcpu: KvmVcpu) -> None:
    """Carry the frames in the vCPU's buffer over to the dirty bitmaps."""
    if not vcpu.pml_buffer:
        return
    for gfn in vcpu.pml_buffer:
        mark_page_dirty_in_slot(vm.slot_of(vcpu, gfn), gfn)
    vcpu.pml_buffer.clear()


def kick_vcpus(vm: Vm) -> None:
    """Make every vCPU leave the guest, which drains its buffer: before a dirty log is read, for one.

    Nobody waits for that: what a buffer still holds will be in the next log.
    """
    for vcpu in vm.vcpus:
        if vm.exits_after_each_instruction:
            vcpu.exiting_guest_mode()
        else:
            drain_pml(vm, vcpu)
