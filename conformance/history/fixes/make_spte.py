# SPDX-License-Identifier: GPL-2.0-only
"""Fixes of functions that make shadow-present SPTEs."""

from __future__ import annotations

from conformance.history.fix import fix, roughly, without
from conformance.kernels.substitutions import INTERNAL_H, PAGING_TMPL_H, SPTE_C, Substitution
from conformance.model import changes

__all__ = ["MAKE_SPTE"]

MAKE_SPTE = (
    fix(
        changes.UNSYNC_SKIP_IFF_LEAF,
        "make_spte",
        "a writable SPTE was made for a page that holds a shadowed table, because the previous entry, which"
        " pointed to a table, had W set",
        without(
            Substitution(
                SPTE_C,
                "if (is_last_spte(old_spte, level) && is_writable_pte(old_spte))",
                "if (is_writable_pte(old_spte))",
            ),
            by="make_spte",
        ),
    ),
    fix(
        changes.UNSYNC_NOT_FOR_PREFETCH,
        "make_spte",
        "prefetching an SPTE unsynced shadow pages, although no access required it",
        without(
            Substitution(
                SPTE_C,
                "(vcpu->kvm, slot, gfn, can_unsync, prefetch)",
                "(vcpu->kvm, slot, gfn, can_unsync, false)",
            ),
            by="make_spte",
        ),
    ),
    fix(
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
    fix(
        changes.ACCESSED_IF_SYNCHRONIZING,
        "make_spte",
        "synchronising an SPTE that was in use cleared Accessed",
        without(
            Substitution(SPTE_C, "if (!prefetch || synchronizing)", "if (!prefetch)", "7.3"),
            Substitution(SPTE_C, "if (prefetch && !synchronizing)", "if (prefetch)", "7.3"),
            by="make_spte",
        ),
    ),
    fix(
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
    fix(
        changes.RSVD_CHECKED_WHEN_MADE,
        "make_spte",
        "an SPTE with reserved bits set was made without a warning",
        without(
            Substitution(
                SPTE_C,
                "WARN_ONCE(is_rsvd_spte(&vcpu->arch.mmu->shadow_zero_check, spte, level),",
                "WARN_ONCE(0,",
            ),
            by="make_spte",
        ),
    ),
    fix(
        changes.NO_ACCESS_WARNS,
        "make_spte",
        "an SPTE that grants no access, and that the processor treats as non-present, was made without a"
        " warning",
        without(
            Substitution(SPTE_C, "WARN_ON_ONCE(!pte_access && !shadow_present_mask);", ""), by="make_spte"
        ),
        # Not even synchronizing avoids it.
        roughly(
            Substitution(
                PAGING_TMPL_H, "if ((!pte_access && !shadow_present_mask) ||\n\t\t    gfn", "if (gfn"
            ),
            by="rwx0_after_sync",
        ),
        roughly(
            Substitution(
                PAGING_TMPL_H,
                "if ((pte_access | shadow_present_mask) == SHADOW_NONPRESENT_VALUE ||\n\t    gfn",
                "if (gfn",
                "7.3",
            ),
            by="rwx0_after_sync",
        ),
    ),
    fix(
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
    fix(
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
    fix(
        changes.ME_VALUE,
        "make_spte",
        "with key IDs in the address, as in TDX, every SPTE would have had all bits of the key ID set",
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
    fix(
        changes.SPLIT_TAKES_EXECUTION,
        "make_small_spte",
        "a page split off a huge page could be executable although the guest does not allow it",
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
    fix(
        changes.SPLIT_BUGS_VM,
        "make_huge_page_split_spte",
        "splitting an SPTE that is not huge only triggered a WARN, and made an invalid SPTE",
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
)
"""Most of them are of make_spte()."""
