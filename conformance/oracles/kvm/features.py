# SPDX-License-Identifier: GPL-2.0-only
"""In which shape a kernel has what our C calls or provides: found in its source, a HAVE_* per difference."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["probe"]

_KVM = "arch/x86/kvm"
_KVM_HOST = "arch/x86/include/asm/kvm_host.h"

_SHAPES = {
    "CHANGE_PTE": ("include/linux/mmu_notifier.h", r"void \(\*change_pte\)\("),
    "COMPOUND_ORDER": ("include/linux/page-flags.h", r"set_compound_head\([^)]*unsigned int order\)"),
    "EPT_EXEC_ONLY_PARAMETER": (f"{_KVM}/mmu.h", r"kvm_mmu_set_ept_masks\(bool \w+, bool \w+\)"),
    "EPT_MASKS": (f"{_KVM}/mmu.h", r"void kvm_mmu_set_ept_masks\("),
    "EXCEPTION_NR": (_KVM_HOST, r"struct kvm_queued_exception \{[^}]*\bu8 nr;"),
    "FAULT_FROM_HARDWARE": (_KVM_HOST, r"inject_page_fault\)\([^)]*bool from_hardware\)"),
    "FAULT_QUALIFICATION": (f"{_KVM}/kvm_emulate.h", r"\bexit_qualification;"),
    "FLUSH_RANGE_FOR_HYPERV": (_KVM_HOST, r"#if IS_ENABLED\(CONFIG_HYPERV\)\s+int  \(\*flush_remote_tlbs\)"),
    "FLUSH_WITH_RANGE": (_KVM_HOST, r"\*tlb_remote_flush_with_range\)"),
    "FREE_ROOT_LEVEL": (_KVM_HOST, r"kvm_configure_mmu\(bool enable_tdp, int tdp_max_root_level,"),
    "FROZEN_SPTE": (f"{_KVM}/mmu/spte.h", r"bool is_frozen_spte\("),
    "GFN_WRITE_TRACK": (_KVM_HOST, r"\*gfn_write_track;"),
    "GPTE_IS_8_BYTES": (_KVM_HOST, r"unsigned gpte_is_8_bytes:1;"),
    "INIT_NESTED_OPS": (_KVM_HOST, r"struct kvm_x86_init_ops \{[^}]*nested_ops;"),
    "IS_EXCEPTION_VMEXIT": (_KVM_HOST, r"bool \(\*is_exception_vmexit\)"),
    "KMEM_CACHE_ARGS": ("include/linux/slab.h", r"struct kmem_cache_args \{"),
    "KVM_X86_OPS_LIST": ("arch/x86/include/asm/kvm-x86-ops.h", r"KVM_X86_OP\("),
    "KVMALLOC_ALIGN": ("include/linux/slab.h", r"__kvmalloc_node_noprof\([^;]*unsigned long align,"),
    "MBEC": (f"{_KVM}/mmu.h", r"bool mbec, gpa_t new_eptp\)"),
    "MEMSLOT_ARRAY": ("include/linux/kvm_host.h", r"struct kvm_memory_slot memslots\[\];"),
    "NR_MEMSLOTS_DIRTY_LOGGING": ("include/linux/kvm_host.h", r"atomic_t nr_memslots_dirty_logging;"),
    "PAGEWALK": (_KVM_HOST, r"struct kvm_pagewalk \{"),
    "PF_STATISTICS": (_KVM_HOST, r"\bpf_mmio_spte_created;"),
    "RECOVER_NX_MMU_TYPE": (f"{_KVM}/mmu/mmu.c", r"kvm_recover_nx_huge_pages\(struct kvm \*kvm,\s"),
    "ROLE_CR4_SMEP": (_KVM_HOST, r"\tunsigned cr4_smep:1;"),
    "SKIP_TLB_FLUSH": (_KVM_HOST, r"kvm_mmu_new_pgd\([^)]*bool skip_tlb_flush,"),
    "SLOT_LOGGING": (_KVM_HOST, r"\(\*slot_enable_log_dirty\)"),
    "TDP_ITER_GFN_BITS": (f"{_KVM}/mmu/tdp_iter.h", r"gfn_t gfn_bits\)"),
    "TDP_MMU": (f"{_KVM}/mmu/mmu_internal.h", r"refcount_t tdp_mmu_root_count;"),
    "TRANSLATE_NESTED_GPA_IN_WALK": (f"{_KVM}/mmu.h", r"kvm_nested_call\(translate_nested_gpa\)"),
    "VM_DIRTY_LOG_SIZE": (_KVM_HOST, r"\tint cpu_dirty_log_size;\n(?s:.*)\nstruct kvm_x86_ops \{"),
    "_cond_resched": ("include/linux/sched.h", r"extern int _cond_resched\("),
    "finish_rcuwait": ("include/linux/rcuwait.h", r"extern void finish_rcuwait\("),
    "fpu_guest": ("arch/x86/include/asm/fpu/types.h", r"struct fpu_guest \{"),
    "init_srcu_struct_lockdep": ("include/linux/srcu.h", r"int init_srcu_struct_lockdep\("),
    "kvm_enable_efer_bits": (_KVM_HOST, r"void kvm_enable_efer_bits\("),
    "kvm_init_ops": ("include/linux/kvm_host.h", r"int kvm_init\(void \*opaque,"),
    "kvm_recover_nx_lpages": (f"{_KVM}/mmu/mmu.c", r"void kvm_recover_nx_lpages\("),
    "kvm_service_local_tlb_flush_requests": (f"{_KVM}/x86.h", r"kvm_service_local_tlb_flush_requests\("),
    "kvm_vcpu_srcu_read_lock": ("include/linux/kvm_host.h", r"void kvm_vcpu_srcu_read_lock\("),
    "kvm_x86_vendor_init": (f"{_KVM}/x86.c", r"int kvm_x86_vendor_init\("),
    "lpage_disallowed": (f"{_KVM}/mmu/mmu_internal.h", r"\bbool lpage_disallowed;"),
    "mmu_invalidate_seq": ("include/linux/kvm_host.h", r"unsigned long mmu_invalidate_seq;"),
    "mn_active_invalidate_count": ("include/linux/kvm_host.h", r"mn_active_invalidate_count;"),
    "mutex_init_lockdep": ("include/linux/mutex.h", r"void mutex_init_lockdep\("),
    "n_used_mmu_pages": (_KVM_HOST, r"unsigned long n_used_mmu_pages;"),
    "pcpu_hot": ("arch/x86/include/asm/current.h", r"struct pcpu_hot \{"),
    "pte_list_count": (f"{_KVM}/mmu/mmu_internal.h", r"unsigned int pte_list_count\("),
    "root_hpa": (_KVM_HOST, r"hpa_t root_hpa;"),
    "shadowed_translation": (f"{_KVM}/mmu/mmu_internal.h", r"u64 \*shadowed_translation;"),
    "task_state": ("include/linux/sched.h", r"\s__state;"),
    "tlb_flush_all": (_KVM_HOST, r"\(\*tlb_flush_all\)"),
}
"""Name, file, pattern."""


def probe(source: Path) -> list[str]:
    """The ``HAVE_*`` names, sorted, of the kernel whose source lies under ``source``."""
    found = []
    for name, (file, pattern) in _SHAPES.items():
        path = source / file
        if path.is_file() and re.search(pattern, path.read_text(errors="replace")):
            found.append(f"HAVE_{name}")
    return sorted(found)
