# SPDX-License-Identifier: GPL-2.0-only
"""Page-modification logging (PML): the processor writes each gfn whose Dirty it sets to a buffer.

KVM empties the buffer at each exit. To get all entries, it makes the vCPUs exit.
"""

from __future__ import annotations

from conformance.model.vm.memslots import mark_page_dirty_in_slot
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["drain_pml", "kick_vcpus"]


def drain_pml(vm: Vm, vcpu: KvmVcpu) -> None:
    """Set the bits of the gfns in the vCPU's buffer in the dirty bitmaps, and empty the buffer."""
    if not vcpu.pml_buffer:
        return
    for gfn in vcpu.pml_buffer:
        mark_page_dirty_in_slot(vm.slot_of(vcpu, gfn), gfn)
    vcpu.pml_buffer.clear()


def kick_vcpus(vm: Vm) -> None:
    """Make every vCPU leave the guest, which drains its buffer, without waiting for it.

    A gfn that is still in a buffer when the dirty log is read will be in the next log.
    """
    for vcpu in vm.vcpus:
        if vm.exits_after_each_instruction:
            vcpu.exiting_guest_mode()
        else:
            drain_pml(vm, vcpu)
