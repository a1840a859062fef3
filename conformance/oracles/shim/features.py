# SPDX-License-Identifier: GPL-2.0-only
"""Which functions a kernel has, and in which form, found in its source: backports make versions useless.

Each probe becomes a ``HAVE_*`` macro for the C of entries. Which functions are looked for follows from these
entries: one that stands under ``#ifdef HAVE_name`` is a probe for the function ``name``. Probes say how to
*call* the kernel's code; what it should *mean* is the model's business and not asked here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from conformance.oracles.common import COMMON_C

__all__ = ["FUNCTIONS", "VARIABLES", "probe"]

_MMU = "arch/x86/kvm/mmu"

VARIABLES = [
    "enable_mmio_caching",
    "shadow_host_writable_mask",
    "shadow_me_value",
    "shadow_memtype_mask",
    "shadow_mmio_mask",
    "shadow_xs_mask",
]
"""Variables that spte.c defines in some kernels."""

_SHAPES = {
    "BASE_ROLE_SMEP": ("arch/x86/include/asm/kvm_host.h", r"unsigned cr4_smep:1;"),
    "EPT_EXEC_ONLY_PARAMETER": (f"{_MMU}.h", r"kvm_mmu_set_ept_masks\(bool \w+, bool \w+\)"),
    "KVM_AD_ENABLED_VARIABLE": (f"{_MMU}/spte.h", r"extern bool [\w ]*\bkvm_ad_enabled;"),
    "MAKE_SPTE_SP": (f"{_MMU}/spte.h", r"make_spte\(struct kvm_vcpu \*\w+, struct kvm_mmu_page \*"),
    "PERMISSION_TDP_PARAMETER": (
        f"{_MMU}/mmu.c",
        r"update_permission_bitmask\(struct \w+ \*\w+, bool tdp, bool ept\)",
    ),
    "ROLE_PASSTHROUGH": ("arch/x86/include/asm/kvm_host.h", r"unsigned passthrough:1"),
    "ROLE_PFERR_FETCH": ("arch/x86/include/asm/kvm_host.h", r"unsigned int has_pferr_fetch:1;"),
    "PRESENT_GPTE_MBEC": (f"{_MMU}/paging_tmpl.h", r"is_present_gpte\)\(struct kvm_\w+ \*"),
    "RSVD_ASKED_APART": (f"{_MMU}/mmu.c", r"__is_bad_mt_xwr\(rsvd_check, sptes\["),
    "SHADOWED_TRANSLATION": (f"{_MMU}/mmu_internal.h", r"u64 \*shadowed_translation;"),
    "SVM_MT_MASK": ("arch/x86/kvm/svm/svm.c", r"\.get_mt_mask = "),
    "TDP_ITER_GFN_BITS": (f"{_MMU}/tdp_iter.h", r"gfn_t gfn_bits\)"),
    "TDP_ITER_ROOT": (f"{_MMU}/tdp_iter.h", r"tdp_iter_start\(struct tdp_iter \*\w+, struct kvm_mmu_page \*"),
    "TDP_ITER_YIELDED": (f"{_MMU}/tdp_iter.h", r"bool yielded;"),
    "VM_DIRTY_LOG_SIZE": (f"{_MMU}/mmu_internal.h", r"kvm->arch\.cpu_dirty_log_size"),
    "VM_MMIO_VALUE": ("arch/x86/include/asm/kvm_host.h", r"u64 shadow_mmio_value;"),
    "disable_nx_huge_pages": ("arch/x86/include/asm/kvm_host.h", r"bool disable_nx_huge_pages;"),
    "guest_can_use": ("arch/x86/kvm/cpuid.h", r"bool guest_can_use\("),
    "guest_cpu_cap_has": ("arch/x86/kvm/cpuid.h", r"bool guest_cpu_cap_has\("),
    "kvm_cpu_role": ("arch/x86/include/asm/kvm_host.h", r"union kvm_cpu_role \{"),
    "kvm_host": ("arch/x86/kvm/x86.c", r"struct kvm_host_values kvm_host\b"),
    "kvm_page_fault": (f"{_MMU}/mmu_internal.h", r"struct kvm_page_fault \{"),
    "kvm_page_format": ("arch/x86/include/asm/kvm_host.h", r"struct kvm_page_format \{"),
    "kvm_pagewalk": ("arch/x86/include/asm/kvm_host.h", r"struct kvm_pagewalk \{"),
    "kvm_set_pfn_dirty": ("include/linux/kvm_host.h", r"void kvm_set_pfn_dirty\(kvm_pfn_t \w+\);"),
    "mark_page_dirty_in_slot": ("include/linux/kvm_host.h", r"void mark_page_dirty_in_slot\("),
    "MARK_PAGE_DIRTY_KVM": ("include/linux/kvm_host.h", r"void mark_page_dirty_in_slot\(struct kvm \*"),
    "tdp_iter": (f"{_MMU}/tdp_iter.h", r"struct tdp_iter \{"),
}
"""Other things to know before calling: name, file, pattern."""


def _functions() -> tuple[str, ...]:
    """The functions that entries and exports make conditional on being there."""
    other = {*VARIABLES, *_SHAPES}
    places = [*(COMMON_C / "entries").glob("*.h"), *(Path(__file__).parent / "c").glob("*.c")]
    named = {name for path in places for name in re.findall(r"\bHAVE_(\w+)", path.read_text())}
    return tuple(sorted(named - other))


FUNCTIONS = _functions()
"""Functions of arch/x86/kvm/mmu (and mmu.h) that the entries call, in kernels that have them."""


def probe(source: Path, renamed: Mapping[str, str] | None = None) -> list[str]:
    """The ``HAVE_*`` names, sorted, of the kernel whose source lies under ``source``.

    ``renamed`` are functions that have another name there: the known one, the one to look for.
    """
    names = renamed or {}
    texts: dict[str, str] = {}

    def text(name: str) -> str:
        if name not in texts:
            path = source / name
            texts[name] = path.read_text(errors="replace") if path.is_file() else ""
        return texts[name]

    mmu = "\n".join(
        text(name)
        for name in (
            "arch/x86/include/asm/kvm_host.h",
            f"{_MMU}.h",
            *(f"{_MMU}/{n}" for n in ("mmu_internal.h", "spte.h", "tdp_iter.h", "mmu.c", "paging_tmpl.h")),
        )
    )
    spte_c = text(f"{_MMU}/spte.c")
    # In paging_tmpl.h a function is called FNAME(name).
    found = [name for name in FUNCTIONS if re.search(rf"\b{names.get(name, name)}\)?\(", mmu)]
    found += [name for name in VARIABLES if re.search(rf"^(u64|bool) [\w ]*\b{name}\b", spte_c, re.M)]
    found += [name for name, (file, pattern) in _SHAPES.items() if re.search(pattern, text(file))]
    return sorted(f"HAVE_{name}" for name in found)
