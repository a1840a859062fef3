# SPDX-License-Identifier: GPL-2.0-only
"""Fixes of functions: MMIO SPTEs, shadowed pages, non-present SPTEs, the walk of page tables."""

from __future__ import annotations

from conformance.history.fix import fix, roughly, without
from conformance.kernels.substitutions import ITER_C, MMU_C, SPTE_C, SPTE_H, Substitution
from conformance.model import changes

__all__ = ["OTHER_SPTES"]

OTHER_SPTES = (
    # MMIO.
    fix(
        changes.NO_MMIO_VALUE_WARNS,
        "make_mmio_spte",
        "with MMIO caching off, an SPTE could be made that is not recognised as an MMIO SPTE",
        without(
            Substitution(SPTE_C, "WARN_ON_ONCE(!shadow_mmio_value);", ""),
            by="make_mmio_spte",
            mode="shadow-nommio",
        ),
    ),
    fix(
        changes.NO_MMIO_VALUE_ALLOWED,
        "make_mmio_spte",
        "a VM whose MMIO value is 0, as in TDX, triggered a WARN",
        without(
            Substitution(
                SPTE_C,
                "access &= shadow_mmio_access_mask;",
                "WARN_ON_ONCE(!vcpu->kvm->arch.shadow_mmio_value);\n\n\taccess &= shadow_mmio_access_mask;",
                "7.3",
            ),
            by="make_mmio_spte",
            mode="shadow-nommio",
        ),
    ),
    fix(
        changes.MMIO_L1TF_COLLISION,
        "kvm_mmu_set_mmio_spte_mask",
        "an MMIO value could overlap the bits of the gfn that are moved because of L1TF",
        without(
            Substitution(
                SPTE_C,
                "if (WARN_ON(mmio_value & (shadow_nonpresent_or_rsvd_mask <<\n"
                "\t\t\t\t  SHADOW_NONPRESENT_OR_RSVD_MASK_LEN)))",
                "if (0)",
            ),
            by="kvm_mmu_set_mmio_spte_mask",
            mode="shadow",
        ),
    ),
    fix(
        changes.MMIO_CACHING_REEVALUATED,
        "kvm_mmu_set_mmio_spte_mask",
        "with 52 address bits MMIO caching stayed off with EPT as well, which needs no reserved bit",
        without(
            Substitution(SPTE_C, "enable_mmio_caching = allow_mmio_caching;\n\tif (!enable", "if (!enable"),
            by="kvm_mmu_set_ept_masks",
            mode="shadow",
        ),
    ),
    fix(
        changes.MMIO_CACHING_FLAG,
        "is_mmio_spte",
        "with MMIO caching off, an SPTE of 0 was taken for MMIO, under SEV-ES and with 52 address bits",
        without(
            Substitution(
                SPTE_H,
                "== shadow_mmio_value &&\n\t       likely(enable_mmio_caching);",
                "== shadow_mmio_value;",
            ),
            by="is_mmio_spte",
            mode="shadow-nommio",
        ),
    ),
    # Shadowed pages.
    fix(
        changes.PASSTHROUGH_PAGES,
        "kvm_mmu_page_get_gfn",
        "the passthrough pages of a missing fifth level were given gfns that they do not map",
        without(
            Substitution(
                MMU_C,
                "if (sp->role.passthrough)\n\t\treturn sp->gfn;\n\n\tif (!sp->role.direct)\n"
                "\t\treturn sp->shadowed_translation[index] >> PAGE_SHIFT;",
                "if (!sp->role.direct)\n\t\treturn sp->shadowed_translation[index] >> PAGE_SHIFT;",
            ),
            by="kvm_mmu_page_get_gfn",
            mode="shadow",
        ),
    ),
    fix(
        changes.TRANSLATION_BY_POINTER,
        "kvm_mmu_page_get_access",
        "whether a page has shadowed translations was decided by its role, which is wrong for some pages",
        without(
            Substitution(
                MMU_C,
                "if (sp->shadowed_translation)\n\t\treturn sp->shadowed_translation[index] & ACC_ALL;",
                "if (!sp->role.direct && !sp->role.passthrough)\n"
                "\t\treturn sp->shadowed_translation[index] & ACC_ALL;",
                "6.12",
            ),
            by="kvm_mmu_page_get_access",
            mode="shadow",
        ),
    ),
    fix(
        changes.EPT_XU_RESERVED_BITS,
        "__is_bad_mt_xwr",
        "a reserved combination with user execution was not detected",
        without(
            Substitution(
                SPTE_H,
                "if (pte & VMX_EPT_USER_EXECUTABLE_MASK)\n\t\tpte |= VMX_EPT_EXECUTABLE_MASK;\n\treturn",
                "return",
                "7.3",
            ),
            by="is_rsvd_spte",
            mode="ept-noad",
        ),
    ),
    # Non-present SPTEs.
    fix(
        changes.NONPRESENT_BIT_63,
        "is_frozen_spte",
        "a non-present SPTE of a TDX guest would raise #VE in the guest",
        without(
            Substitution(
                SPTE_H,
                "#define SHADOW_NONPRESENT_VALUE\tBIT_ULL(63)",
                "#define SHADOW_NONPRESENT_VALUE\t0ULL",
                "6.12",
            ),
            by="is_frozen_spte",
            mode="shadow",
        ),
    ),
    fix(
        changes.SUPPRESS_VE,
        "kvm_mmu_set_ept_masks",
        "an EPT violation on a present SPTE could raise #VE in the guest",
        without(
            Substitution(
                SPTE_C,
                "(has_exec_only ? 0ull : VMX_EPT_READABLE_MASK) | VMX_EPT_SUPPRESS_VE_BIT;",
                "has_exec_only ? 0ull : VMX_EPT_READABLE_MASK;",
                "6.12",
            ),
            Substitution(
                SPTE_C, "VMX_EPT_RWX_MASK | VMX_EPT_SUPPRESS_VE_BIT, 0);", "VMX_EPT_RWX_MASK, 0);", "6.12"
            ),
            by="kvm_mmu_set_ept_masks",
            mode="shadow",
        ),
    ),
    # The walk.
    fix(
        changes.RESTART_AFTER_YIELD,
        "tdp_iter_next",
        "a walk that yielded skipped the SPTE at which it restarted",
        roughly(
            Substitution(ITER_C, "\t\ttdp_iter_restart(iter);\n\t\treturn;", "\t\ttdp_iter_restart(iter);"),
            by="tdp_iter",
        ),
        roughly(
            Substitution(ITER_C, "\t\ttdp_iter_restart(iter);\n\t\treturn;", "\t\ttdp_iter_restart(iter);"),
            by="zap_while_yielding",
        ),
        roughly(
            Substitution(
                ITER_C, "\t\ttdp_iter_restart(iter);\n\t\treturn;", "\t\ttdp_iter_restart(iter);", "7.3"
            ),
            by="tdp_iter",
        ),
    ),
)
"""In the order of the subjects above."""
