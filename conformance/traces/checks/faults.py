# SPDX-License-Identifier: GPL-2.0-only
"""Checks of mmu.c on page faults, MMIO, memslots and the memory of the guest."""

from __future__ import annotations

from conformance.traces.checks.check import Check, adds, within

__all__ = ["FAULTS"]

_check = within("mmu.c")
_AGAIN = "The guest faults again; without end, if nothing changes."
_ENDS = "The virtual machine is ended by KVM."
_WRONG_SIZE = "The guest would get a page of a wrong size."
_RANGE = "Nothing is done for the range: SPTEs of memory that the host has taken back may stay."
_GMEM = "Memory of guest_memfd may be taken away while it is mapped."
_PRIVATE = adds("8dd2eee9d526", "KVM: x86/mmu: Handle page fault for private memory", "6.8")
_MIXED = adds("90b4fe17981e", "KVM: x86: Disallow hugepages when memory attributes are mixed", "6.8")
_PREFAULT = "The ioctl that maps memory ahead of time fails with -EIO; the guest is not affected."

FAULTS = (
    _check(
        "kvm_mmu_hugepage_adjust", "gfn and pfn of a huge page are not aligned alike",
        "The guest would see other memory at each small page of it.", bug=True, debug=True,
    ),
    _check(
        "kvm_max_level_for_order", "the host's page has a size that no SPTE has",
        "A smaller page is mapped.", since="6.12", debug=True,
    ),
    _check(
        "kvm_gmem_max_mapping_level", "the size of a guest_memfd page is asked for without a fault",
        "The page is mapped at 4 KiB.", since="7.2",
    ),
    _check(
        "direct_map", "a vCPU faulted without a valid root",
        "The fault is retried: the vCPU ran on page tables that were freed or never loaded.",
        until="5.10", names="VALID_PAGE", also=("__direct_map",),
    ),
    _check(
        "direct_map", "a walk ended above or below its goal", "The run of the vCPU ends with -EFAULT.",
        since="6.1", names="goal_level",
    ),
    _check(
        "fast_pf_fix_direct_spte", "a fault without mmu_lock fixes an entry that is not direct",
        "The guest may have made the entry another gfn's: the wrong page is marked dirty.", until="5.10",
    ),
    _check(
        "fast_page_fault", "a fault found no entry at all for its address",
        "The fault is handled with mmu_lock; the root is not valid.", since="6.12", fixes=("b6249c1d5665",),
    ),
    _check(
        "handle_mmio_page_fault", "the SPTE of a fault on reserved bits is present and has reserved bits",
        "The SPTE is corrupt, or KVM and the processor disagree on reserved bits, as with the host's address "
        "bits or a guest's mode. KVM exits to userspace with an error: the virtual machine usually ends. The "
        "log has the SPTEs of the walk.",
        fixes=("5f0b819995e1", "112022bdb5bc", "e54f1ff244ac", "9645bb56b31a"),
    ),
    _check(
        "kvm_handle_page_fault", "a fault of a 32-bit host has an address of more than 32 bits",
        "The run of the vCPU ends with -EFAULT. Kernels of 64 bits do not have this check.",
        names="fault_address",
    ),
    _check(
        "kvm_handle_page_fault", "the error code of an exception has more than 32 bits",
        "The upper bits are dropped, since KVM uses them for itself.", since="6.12", names="error_code",
        added=adds(
            "7bdbb820fee4", "KVM: x86/mmu: WARN if upper 32 bits of legacy #PF error code are non-zero",
            "6.10"
        ),
    ),
    _check(
        "kvm_handle_page_fault", "an asynchronous page fault of the host has a reason that is not known",
        f"The fault is not handled. {_AGAIN}", names="Unexpected host", says="Unexpected host async PF flags",
    ),
    _check(
        "kvm_mmu_page_fault", "a vCPU faulted without a valid root",
        "The vCPU ran on page tables that were freed or never loaded. The fault is retried.",
        names="VALID_PAGE",
    ),
    _check(
        "kvm_mmu_page_fault", "no handler answered a page fault", _ENDS, names="RET_PF_INVALID", ends_vm=True,
    ),
    _check(
        "kvm_mmu_page_fault", "a fault on reserved bits is said to be of private memory",
        "Private memory has no MMIO: the run of the vCPU ends with -EFAULT.", since="6.12", names="PRIVATE",
        added=adds(
            "07702e5a6d6d", "KVM: x86/mmu: WARN and skip MMIO cache on private, reserved page faults", "6.10"
        ),
    ),
    _check(
        "kvm_mmu_page_fault", "a page fault was left half-handled", _AGAIN, since="7.2",
        names="RET_PF_CONTINUE",
    ),
    _check(
        "kvm_mmu_write_protect_fault", "a write to a page table is taken for a write to a device",
        "The write is emulated and not tried again: old MMIO knowledge of the vCPU was not dropped.",
        since="6.12",
    ),
    _check(
        "direct_page_fault", "a direct MMU faulted on the root that stands for a bad one",
        f"The fault is retried. {_AGAIN}", since="6.12",
    ),
    _check(
        "kvm_mmu_faultin_pfn", "a fault is at a gfn with the bit that marks it as shared",
        "The bit should have been removed: the wrong page tables would be changed.", since="7.2",
        names="gfn_alias", ends_vm=True,
    ),
    _check(
        "kvm_mmu_faultin_pfn", "a fault has no memslot, or a page that belongs to none",
        "It is handled as an access to a device.", since="6.12", names="noslot", also=("kvm_faultin_pfn",),
    ),
    _check(
        "kvm_tdp_page_prefault", "mapping memory ahead of time had an answer that is not known", _PREFAULT,
        since="6.12", says="could not fix page fault during prefault", also=("kvm_tdp_map_page",),
    ),
    _check(
        "kvm_arch_async_page_ready", "a page that the host has read back is private memory",
        "It is not mapped; the guest faults on it.", since="6.12",
    ),
    _check(
        "kvm_assert_gmem_invalidate_lock_held", "a private page is mapped in a memslot without guest_memfd",
        _GMEM,
        since="7.2", names="has_gmem", debug=True,
    ),
    _check(
        "kvm_assert_gmem_invalidate_lock_held", "a private page is mapped whose guest_memfd is gone", _GMEM,
        since="7.2", names=r"^!slot->gmem\.file", debug=True,
    ),
    _check(
        "kvm_assert_gmem_invalidate_lock_held", "a private page is mapped whose guest_memfd is being closed",
        _GMEM,
        since="7.2", names="file_count", debug=True,
    ),
    _check(
        "kvm_tdp_mmu_map_private_pfn", "a private page is mapped without the TDP MMU", _ENDS, since="7.2",
        ends_vm=True,
    ),
    _check(
        "kvm_mmu_invalidate_mmio_sptes", "the new generation of memslots is marked as unfinished",
        "MMIO SPTEs of old memslots may count as valid: the guest sees a device where memory is.",
    ),
    _check(
        "kvm_rmap_zap_gfn_range", "an empty range of gfns is to be zapped", _RANGE, since="6.1",
    ),
    _check("kvm_zap_gfn_range", "an empty range of gfns is to be zapped", _RANGE, since="6.1"),
    _check(
        "kvm_arch_pre_set_memory_attributes",
        "attributes are set in a virtual machine without private memory",
        "Nothing is zapped: memory may stay mapped as private or shared.", since="6.12", names="private_mem",
        added=_PRIVATE,
    ),
    _check(
        "kvm_arch_pre_set_memory_attributes", "attributes are set for an empty range",
        "Nothing is zapped: memory may stay mapped as private or shared.", since="6.12", names=r"range->end",
    ),
    _check(
        "kvm_arch_post_set_memory_attributes",
        "attributes were set in a virtual machine without private memory",
        "Huge pages of mixed attributes are not ruled out.", since="6.12", added=_MIXED,
    ),
    Check(
        "mmu.h", "permission_fault", "rights are checked for a fault with bits that only the processor sets",
        "The guest may be given an exception that it should not get, or none where it should.",
    ),
)  # fmt: skip
"""Checks on page faults and memory."""
