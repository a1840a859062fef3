# SPDX-License-Identifier: GPL-2.0-only
"""Fixes whose absence a single function shows. Most are changes of the registry, taken out of the kernel."""

from __future__ import annotations

from conformance.history.fix import Fix, Revert, roughly, without
from conformance.kernels.substitutions import INTERNAL_H, ITER_C, ITER_H, MMU_C, SPTE_C, SPTE_H, Substitution
from conformance.model import changes
from conformance.model.changes import Change

__all__ = ["FUNCTIONS"]


def _fix(change: Change, function: str, wrong: str, *reverts: Revert) -> Fix:
    return Fix(change, function, wrong, reverts)


FUNCTIONS = (
    # What may change outside mmu_lock, and what that means for a write.
    _fix(
        changes.TDP_XCHG,
        "kvm_tdp_mmu_write_spte",
        "Accessed, Dirty or W that came in between the read and the write of an SPTE was lost",
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
    _fix(
        changes.WRITABLE_NOT_VOLATILE,
        "spte_has_volatile_bits",
        "an SPTE that is writable already counted as volatile, and was written by slow atomic operations",
        without(
            Substitution(
                SPTE_C,
                "if (!is_writable_pte(spte) && is_mmu_writable_spte(spte))",
                "if (is_mmu_writable_spte(spte))",
            ),
            by="spte_has_volatile_bits",
        ),
    ),
    _fix(
        changes.VOLATILE_CALLER_CHECKS_PRESENT,
        "spte_has_volatile_bits",
        "the check for shadow-present was made by the callee and the caller",
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
    _fix(
        changes.AD_DISABLED_ALWAYS_VOLATILE,
        "spte_needs_atomic_update",
        "an SPTE without A/D bits could be access-tracked and restored while it was written plainly",
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
    _fix(
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
    # When changing an SPTE needs a flush.
    _fix(
        changes.FLUSH_IFF_MMU_WRITABLE_CLEARED,
        "mmu_spte_update",
        "write-protection for the dirty log flushed the TLBs although it is flushed for later",
        without(
            Substitution(
                MMU_C,
                "return leaf_spte_change_needs_tlb_flush(old_spte, new_spte);\n}\n\n/*\n * Rules",
                "return is_mmu_writable_spte(old_spte) && !is_writable_pte(new_spte);\n}\n\n/*\n * Rules",
                "7.3",
            ),
            by="mmu_spte_update",
        ),
    ),
    # Who may write.
    _fix(
        changes.CHANGED_PTE_CLEARS_MMU_WRITABLE,
        "kvm_mmu_changed_pte_notifier_make_spte",
        "an SPTE was left MMU-writable but not Host-writable, so that a fast page fault could write to a"
        " page that the host shares",
        without(
            Substitution(SPTE_C, "new_spte &= ~shadow_mmu_writable_mask;", ""),
            by="kvm_mmu_changed_pte_notifier_make_spte",
        ),
    ),
    _fix(
        changes.SPTE_INVARIANTS_CHECKED,
        "mmu_spte_update",
        "an SPTE in no legal state of writability was installed without a word",
        without(
            Substitution(
                MMU_C,
                "WARN_ON(!is_shadow_present_pte(new_spte));\n\tcheck_spte_writable_invariants(new_spte);",
                "WARN_ON(!is_shadow_present_pte(new_spte));",
            ),
            by="mmu_spte_update",
        ),
    ),
    _fix(
        changes.EPT_WRITABLE_HIGH_BITS,
        "kvm_mmu_set_ept_masks",
        "EPT kept Host-writable and MMU-writable in bits that other features wanted",
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
    _fix(
        changes.RESTORE_ACC_TRACK_QUIET,
        "restore_acc_track_spte",
        "restoring an SPTE that was restored already WARNed",
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
    # Making SPTEs.
    _fix(
        changes.UNSYNC_SKIP_IFF_LEAF,
        "make_spte",
        "a writable SPTE was made for a page that holds a shadowed table, because the entry that was there"
        " before, of a table, has W set",
        without(
            Substitution(
                SPTE_C,
                "if (is_last_spte(old_spte, level) && is_writable_pte(old_spte))",
                "if (is_writable_pte(old_spte))",
            ),
            by="make_spte",
        ),
    ),
    _fix(
        changes.UNSYNC_NOT_FOR_PREFETCH,
        "make_spte",
        "prefetching an SPTE, which nobody has asked for yet, unsynced shadow pages",
        without(
            Substitution(
                SPTE_C,
                "(vcpu->kvm, slot, gfn, can_unsync, prefetch)",
                "(vcpu->kvm, slot, gfn, can_unsync, false)",
            ),
            by="make_spte",
        ),
    ),
    _fix(
        changes.DIRTY_IF_WRITABLE,
        "make_spte",
        "replacing a writable SPTE lost its Dirty bit",
        without(
            Substitution(
                SPTE_C,
                "spte |= PT_WRITABLE_MASK | shadow_mmu_writable_mask |\n\t\t\t\tshadow_dirty_mask;",
                "spte |= PT_WRITABLE_MASK | shadow_mmu_writable_mask |\n"
                "\t\t\t\t(is_last_spte(old_spte, level) && is_writable_pte(old_spte) ?\n"
                "\t\t\t\t 0 : shadow_dirty_mask);",
                "7.3",
            ),
            by="make_spte",
        ),
    ),
    _fix(
        changes.ACCESSED_IF_SYNCHRONIZING,
        "make_spte",
        "an SPTE that was synchronized, and in use, was made old",
        without(
            Substitution(SPTE_C, "if (!prefetch || synchronizing)", "if (!prefetch)", "7.3"),
            Substitution(SPTE_C, "if (prefetch && !synchronizing)", "if (prefetch)", "7.3"),
            by="make_spte",
        ),
    ),
    _fix(
        changes.DIRTY_LOG_IN_MAKE_SPTE,
        "make_spte",
        "a page made writable while its memslot is logged could be missing from the log",
        without(
            Substitution(
                SPTE_C, "if ((spte & PT_WRITABLE_MASK) && kvm_slot_dirty_track_enabled(slot)) {", "if (0) {"
            ),
            by="make_spte",
        ),
        roughly(
            Substitution(
                SPTE_C, "if ((spte & PT_WRITABLE_MASK) && kvm_slot_dirty_track_enabled(slot)) {", "if (0) {"
            ),
            by="first_touch_while_logging",
        ),
    ),
    _fix(
        changes.RSVD_CHECKED_WHEN_MADE,
        "make_spte",
        "an SPTE with reserved bits was made without a word",
        without(
            Substitution(
                SPTE_C,
                "WARN_ONCE(is_rsvd_spte(&vcpu->arch.mmu->shadow_zero_check, spte, level),",
                "WARN_ONCE(0,",
            ),
            by="make_spte",
        ),
    ),
    _fix(
        changes.NO_ACCESS_WARNS,
        "make_spte",
        "an SPTE that grants no access, and is not present to the processor, was made without a word",
        without(
            Substitution(SPTE_C, "WARN_ON_ONCE(!pte_access && !shadow_present_mask);", ""), by="make_spte"
        ),
    ),
    _fix(
        changes.PML_BY_DIRTY_LOG_SIZE,
        "kvm_mmu_page_ad_need_write_protect",
        "SPTEs of L2 were write-protected for the dirty log on processors that have no PML",
        without(
            Substitution(
                INTERNAL_H,
                "return kvm_x86_ops.cpu_dirty_log_size && sp->role.guest_mode;",
                "return sp->role.guest_mode;",
            ),
            by="make_spte",
        ),
    ),
    _fix(
        changes.NX_PER_VM,
        "is_nx_huge_page_enabled",
        "a VM could not be exempt from the NX mitigation",
        without(
            Substitution(
                INTERNAL_H,
                "READ_ONCE(nx_huge_pages) && !kvm->arch.disable_nx_huge_pages",
                "READ_ONCE(nx_huge_pages)",
            ),
            by="make_spte",
        ),
    ),
    _fix(
        changes.ME_VALUE,
        "make_spte",
        "with key ids in the address, as TDX has them, SPTEs would have carried all of them",
        without(
            Substitution(
                SPTE_C,
                "\tif (shadow_me_value && !kvm_is_mmio_pfn(pfn))\n\t\tspte |= shadow_me_value;",
                "\tif (!kvm_is_mmio_pfn(pfn))\n\t\tspte |= shadow_me_mask;",
            ),
            Substitution(
                SPTE_C,
                "shadow_user_mask | shadow_x_mask | shadow_me_value;",
                "shadow_user_mask | shadow_x_mask | shadow_me_mask;",
            ),
            by="make_nonleaf_spte",
            mode="ept-tme",
            exact=False,
        ),
    ),
    _fix(
        changes.SPLIT_TAKES_EXECUTION,
        "make_small_spte",
        "a page split off a huge one could be executable though the guest does not allow it",
        without(
            Substitution(
                SPTE_C,
                "if (is_nx_huge_page_enabled(kvm))\n\t\t\tchild_spte",
                "if ((role.access & ACC_EXEC_MASK) && is_nx_huge_page_enabled(kvm))\n\t\t\tchild_spte",
                "7.3",
            ),
            by="make_huge_page_split_spte",
        ),
    ),
    _fix(
        changes.SPLIT_BUGS_VM,
        "make_huge_page_split_spte",
        "splitting what is no huge SPTE only WARNed, and made an SPTE that is no SPTE",
        without(
            Substitution(
                SPTE_C,
                "KVM_BUG_ON(!is_shadow_present_pte(huge_spte) || !is_large_pte(huge_spte), kvm);",
                "if (WARN_ON_ONCE(!is_shadow_present_pte(huge_spte)))\n\t\treturn 0;\n\n"
                "\tif (WARN_ON_ONCE(!is_large_pte(huge_spte)))\n\t\treturn 0;",
                "6.12",
            ),
            by="make_huge_page_split_spte",
        ),
    ),
    # MMIO.
    _fix(
        changes.NO_MMIO_VALUE_WARNS,
        "make_mmio_spte",
        "with MMIO caching off an MMIO SPTE could be made that is none",
        without(
            Substitution(SPTE_C, "WARN_ON_ONCE(!shadow_mmio_value);", ""),
            by="make_mmio_spte",
            mode="shadow-nommio",
        ),
    ),
    _fix(
        changes.NO_MMIO_VALUE_ALLOWED,
        "make_mmio_spte",
        "a VM whose MMIO value is 0, as TDX's is, WARNed",
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
    _fix(
        changes.MMIO_L1TF_COLLISION,
        "kvm_mmu_set_mmio_spte_mask",
        "an MMIO value could collide with the gfn's bits that were moved because of L1TF",
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
    _fix(
        changes.MMIO_CACHING_REEVALUATED,
        "kvm_mmu_set_mmio_spte_mask",
        "with 52 address bits MMIO caching stayed off with EPT, too, which needs no reserved bit",
        without(
            Substitution(SPTE_C, "enable_mmio_caching = allow_mmio_caching;\n\tif (!enable", "if (!enable"),
            by="kvm_mmu_set_ept_masks",
            mode="shadow",
        ),
    ),
    _fix(
        changes.MMIO_CACHING_FLAG,
        "is_mmio_spte",
        "with MMIO caching off an SPTE of 0 was taken for MMIO, under SEV-ES and with 52 address bits",
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
    # What was shadowed.
    _fix(
        changes.PASSTHROUGH_PAGES,
        "kvm_mmu_page_get_gfn",
        "the pages that stand in for a missing fifth level were given gfns that they do not map",
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
    _fix(
        changes.TRANSLATION_BY_POINTER,
        "kvm_mmu_page_get_access",
        "whether a page has translations of its own was told by its role, which can say so of pages without",
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
    _fix(
        changes.EPT_XU_RESERVED_BITS,
        "__is_bad_mt_xwr",
        "a reserved combination with execution by users was not found",
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
    # Not-present SPTEs.
    _fix(
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
    _fix(
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
    # Walking.
    _fix(
        changes.RESTART_AFTER_YIELD,
        "tdp_iter_next",
        "a walk that yielded skipped the first SPTE after that",
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
"""Every fix that properties see. Some have stories besides."""
