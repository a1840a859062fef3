# SPDX-License-Identifier: GPL-2.0-only
"""Fixes of functions: bits that change outside mmu_lock, TLB flushes, writability."""

from __future__ import annotations

from conformance.history.fix import fix, without
from conformance.kernels.substitutions import ITER_H, MMU_C, SPTE_C, SPTE_H, Substitution
from conformance.model import changes

__all__ = ["VOLATILE"]

VOLATILE = (
    # Bits that may change outside mmu_lock, and how an SPTE with such bits is written.
    fix(
        changes.TDP_XCHG,
        "kvm_tdp_mmu_write_spte",
        "Accessed, Dirty or W that was set between the read and the write of an SPTE was lost",
        without(
            Substitution(
                ITER_H,
                "if (is_shadow_present_pte(old_spte) && is_last_spte(old_spte, level) &&\n"
                "\t    spte_has_volatile_bits(old_spte))",
                "if (0)",
            ),
            by="kvm_tdp_mmu_write_spte",
        ),
        without(
            Substitution(
                ITER_H,
                "\treturn is_shadow_present_pte(old_spte) &&",
                "\treturn 0 && is_shadow_present_pte(old_spte) &&",
                "7.3",
            ),
            by="kvm_tdp_mmu_write_spte",
        ),
    ),
    fix(
        changes.WRITABLE_NOT_VOLATILE,
        "spte_has_volatile_bits",
        "an SPTE that was already writable counted as volatile and was written by slow atomic operations",
        without(
            Substitution(
                SPTE_C,
                "if (!is_writable_pte(spte) && is_mmu_writable_spte(spte))",
                "if (is_mmu_writable_spte(spte))",
            ),
            by="spte_has_volatile_bits",
        ),
    ),
    fix(
        changes.VOLATILE_CALLER_CHECKS_PRESENT,
        "spte_has_volatile_bits",
        "callee and caller both checked for shadow-present",
        without(
            Substitution(
                SPTE_C,
                "if (!is_writable_pte(spte) && is_mmu_writable_spte(spte))",
                "if (!is_shadow_present_pte(spte))\n\t\treturn false;\n\n"
                "\tif (!is_writable_pte(spte) && is_mmu_writable_spte(spte))",
            ),
            by="spte_has_volatile_bits",
        ),
    ),
    fix(
        changes.AD_DISABLED_ALWAYS_VOLATILE,
        "spte_needs_atomic_update",
        "an SPTE without A/D bits could be access-tracked and restored during a non-atomic write",
        without(
            Substitution(
                SPTE_C,
                "if (!spte_ad_enabled(spte))\n\t\treturn true;",
                "if (is_access_track_spte(spte))\n\t\treturn true;",
                "7.3",
            ),
            by="spte_has_volatile_bits",
            mode="ept-noad",
        ),
    ),
    fix(
        changes.ACCESSED_NOT_VOLATILE,
        "spte_needs_atomic_update",
        "an SPTE with Accessed clear was written atomically, for a bit that may be lost",
        without(
            Substitution(
                SPTE_C,
                "return is_writable_pte(spte) && !(spte & shadow_dirty_mask);",
                "return !(spte & shadow_accessed_mask) ||\n"
                "\t       (is_writable_pte(spte) && !(spte & shadow_dirty_mask));",
                "7.3",
            ),
            by="spte_has_volatile_bits",
        ),
    ),
    # When the change of an SPTE needs a TLB flush.
    fix(
        changes.FLUSH_IFF_MMU_WRITABLE_CLEARED,
        "mmu_spte_update",
        "write-protection for the dirty log flushed the TLBs although its caller flushes them later",
        without(
            Substitution(
                MMU_C,
                "return leaf_spte_change_needs_tlb_flush(old_spte, new_spte);",
                "return is_mmu_writable_spte(old_spte) && !is_writable_pte(new_spte);",
                "7.3",
                "mmu_spte_update",
            ),
            by="mmu_spte_update",
        ),
    ),
    # Writability.
    fix(
        changes.CHANGED_PTE_CLEARS_MMU_WRITABLE,
        "kvm_mmu_changed_pte_notifier_make_spte",
        "an SPTE was left MMU-writable but not Host-writable, so that a fast page fault could write to a"
        " page that the host shares",
        without(
            Substitution(SPTE_C, "new_spte &= ~shadow_mmu_writable_mask;", ""),
            by="kvm_mmu_changed_pte_notifier_make_spte",
        ),
    ),
    fix(
        changes.SPTE_INVARIANTS_CHECKED,
        "mmu_spte_update",
        "an SPTE in an illegal state of writability was installed without a warning",
        without(
            Substitution(
                MMU_C,
                "WARN_ON(!is_shadow_present_pte(new_spte));\n\tcheck_spte_writable_invariants(new_spte);",
                "WARN_ON(!is_shadow_present_pte(new_spte));",
            ),
            by="mmu_spte_update",
        ),
    ),
    fix(
        changes.EPT_WRITABLE_HIGH_BITS,
        "kvm_mmu_set_ept_masks",
        "EPT kept Host-writable and MMU-writable in bits that other features use",
        without(
            Substitution(
                SPTE_C,
                "shadow_host_writable_mask = EPT_SPTE_HOST_WRITABLE;",
                "shadow_host_writable_mask = DEFAULT_SPTE_HOST_WRITABLE;",
            ),
            Substitution(
                SPTE_C,
                "shadow_mmu_writable_mask  = EPT_SPTE_MMU_WRITABLE;",
                "shadow_mmu_writable_mask  = DEFAULT_SPTE_MMU_WRITABLE;",
            ),
            by="kvm_mmu_set_ept_masks",
            mode="shadow",
        ),
    ),
    fix(
        changes.RESTORE_ACC_TRACK_QUIET,
        "restore_acc_track_spte",
        "restoring an SPTE that was already restored triggered a WARN",
        without(
            Substitution(
                SPTE_H,
                "\tspte &= ~shadow_acc_track_mask;\n",
                "\tWARN_ON_ONCE(spte_ad_enabled(spte));\n\tWARN_ON_ONCE(!is_access_track_spte(spte));\n\n"
                "\tspte &= ~shadow_acc_track_mask;\n",
            ),
            by="restore_acc_track_spte",
            mode="ept-noad",
        ),
    ),
)
"""In the order of the subjects above."""
