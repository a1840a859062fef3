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
    "FAULT_FROM_HARDWARE": (_KVM_HOST, r"inject_page_fault\)\([^)]*bool from_hardware\)"),
    "FAULT_QUALIFICATION": (f"{_KVM}/kvm_emulate.h", r"\bexit_qualification;"),
    "FLUSH_RANGE_FOR_HYPERV": (_KVM_HOST, r"#if IS_ENABLED\(CONFIG_HYPERV\)\s+int  \(\*flush_remote_tlbs\)"),
    "FLUSH_WITH_RANGE": (_KVM_HOST, r"\*tlb_remote_flush_with_range\)"),
    "FROZEN_SPTE": (f"{_KVM}/mmu/spte.h", r"bool is_frozen_spte\("),
    "GFN_WRITE_TRACK": (_KVM_HOST, r"\*gfn_write_track;"),
    "INIT_NESTED_OPS": (_KVM_HOST, r"struct kvm_x86_init_ops \{[^}]*nested_ops;"),
    "IS_EXCEPTION_VMEXIT": (_KVM_HOST, r"bool \(\*is_exception_vmexit\)"),
    "KVMALLOC_ALIGN": ("include/linux/slab.h", r"__kvmalloc_node_noprof\([^;]*unsigned long align,"),
    "KMEM_CACHE_ARGS": ("include/linux/slab.h", r"struct kmem_cache_args \{"),
    "MBEC": (f"{_KVM}/mmu.h", r"bool mbec, gpa_t new_eptp\)"),
    "NR_MEMSLOTS_DIRTY_LOGGING": ("include/linux/kvm_host.h", r"atomic_t nr_memslots_dirty_logging;"),
    "PAGEWALK": (_KVM_HOST, r"struct kvm_pagewalk \{"),
    "RECOVER_NX_MMU_TYPE": (f"{_KVM}/mmu/mmu.c", r"kvm_recover_nx_huge_pages\(struct kvm \*kvm,\s"),
    "ROLE_CR4_SMEP": (_KVM_HOST, r"\tunsigned cr4_smep:1;"),
    "TDP_ITER_GFN_BITS": (f"{_KVM}/mmu/tdp_iter.h", r"gfn_t gfn_bits\)"),
    "TRANSLATE_NESTED_GPA_IN_WALK": (f"{_KVM}/mmu.h", r"kvm_nested_call\(translate_nested_gpa\)"),
    "VM_DIRTY_LOG_SIZE": (_KVM_HOST, r"\tint cpu_dirty_log_size;\n(?s:.*)\nstruct kvm_x86_ops \{"),
    "lpage_disallowed": (f"{_KVM}/mmu/mmu_internal.h", r"\bbool lpage_disallowed;"),
    "init_srcu_struct_lockdep": ("include/linux/srcu.h", r"int init_srcu_struct_lockdep\("),
    "kvm_enable_efer_bits": (_KVM_HOST, r"void kvm_enable_efer_bits\("),
    "kvm_init_ops": ("include/linux/kvm_host.h", r"int kvm_init\(void \*opaque,"),
    "kvm_recover_nx_lpages": (f"{_KVM}/mmu/mmu.c", r"void kvm_recover_nx_lpages\("),
    "mutex_init_lockdep": ("include/linux/mutex.h", r"void mutex_init_lockdep\("),
    "n_used_mmu_pages": (_KVM_HOST, r"unsigned long n_used_mmu_pages;"),
    "pcpu_hot": ("arch/x86/include/asm/current.h", r"struct pcpu_hot \{"),
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
