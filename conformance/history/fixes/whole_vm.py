# SPDX-License-Identifier: GPL-2.0-only
"""Fixes whose absence takes a whole VM to show: the story that must notice ends differently."""

from __future__ import annotations

from conformance.history.fix import fix, roughly, without
from conformance.kernels.substitutions import KVM_MAIN_C, MMU_C, TDP_C, X86_H, Substitution
from conformance.model import changes
from conformance.model.changes import Change

__all__ = ["WHOLE_VM"]

_RETRY = "if (mmu_invalidate_retry_gfn_unsafe(vcpu->kvm, fault->mmu_seq, fault->gfn))"

WHOLE_VM = (
    # Zapping and flushing.
    fix(
        Change(
            commit="d62007edf01f",
            title="KVM: x86/mmu: Zap _all_ roots when unmapping gfn range in TDP MMU",
            since="5.18",
            effect="An unmap reaches roots that are invalid but not yet empty, too.",
        ),
        "kvm_tdp_mmu_unmap_gfn_range",
        "a page that the host had reclaimed stayed mapped by an invalid root",
        roughly(
            Substitution(
                TDP_C,
                "__for_each_tdp_mmu_root_yield_safe(kvm, root, range->slot->as_id, false, false)",
                "__for_each_tdp_mmu_root_yield_safe(kvm, root, range->slot->as_id, false, true)",
            ),
            by="unmap_meets_an_invalid_root",
        ),
    ),
    fix(
        Change(
            commit="048f49809c52",
            title="KVM: x86/mmu: Ensure TLBs are flushed for TDP MMU during NX zapping",
            since="5.12",
            effect="Recovering huge pages from the NX mitigation flushes what it zapped.",
        ),
        "kvm_recover_nx_lpages",
        "the guest could still use small pages through its TLB after they were zapped",
        roughly(
            Substitution(MMU_C, "flush |= kvm_tdp_mmu_zap_sp(kvm, sp);", "kvm_tdp_mmu_zap_sp(kvm, sp);"),
            by="recovery_of_nx_huge_pages",
        ),
    ),
    fix(
        changes.INVALID_ROOTS_NOT_FLUSHED,
        "tdp_mmu_zap_leafs",
        "unmapping from an invalid root, which no vCPU will use again, requested a flush",
        without(
            Substitution(TDP_C, "if (!root->role.invalid)\n\t\t\tflush = true;", "flush = true;", "6.12"),
            by="unmap_meets_an_invalid_root",
        ),
    ),
    fix(
        changes.ROOTS_ZAPPED_FROM_4K,
        "tdp_mmu_zap_root",
        "zapping a root did not yield before a whole 1 GiB was zapped",
        without(
            Substitution(
                TDP_C,
                "if (!IS_ENABLED(CONFIG_KVM_PROVE_MMU)) {\n\t\t__tdp_mmu_zap_root",
                "if (0) {\n\t\t__tdp_mmu_zap_root",
                "6.12",
            ),
            by="zapped_page_by_page",
        ),
    ),
    # Write-protection and the dirty log.
    fix(
        Change(
            commit="7c8a4742c4ab",
            title="KVM: x86/mmu: Fix write-protection of PTs mapped by the TDP MMU",
            since="5.17",
            effect="Write-protection takes MMU-writable, too, if W is clear already.",
        ),
        "write_protect_gfn",
        "an SPTE whose W was already clear stayed MMU-writable, and a fast page fault set W again",
        roughly(
            Substitution(
                TDP_C,
                "if (new_spte == iter.old_spte)\n\t\t\tbreak;\n\n"
                "\t\ttdp_mmu_set_spte(kvm, &iter, new_spte);\n\t\tspte_set = true;",
                "if (!is_writable_pte(iter.old_spte))\n\t\t\tbreak;\n\n"
                "\t\ttdp_mmu_set_spte(kvm, &iter, new_spte);\n\t\tspte_set = true;",
            ),
            by="protected_while_aged",
            mode="ept-noad",
        ),
    ),
    fix(
        changes.SPLIT_LAST_CLEARED,
        "kvm_arch_mmu_enable_log_dirty_pt_masked",
        "a huge page was not split if only the dirty bit of its first page was cleared",
        without(
            Substitution(
                MMU_C,
                "kvm_mmu_try_split_huge_pages(kvm, slot, start, end + 1, PG_LEVEL_4K);",
                "kvm_mmu_try_split_huge_pages(kvm, slot, start, end, PG_LEVEL_4K);",
                "6.12",
            ),
            by="split_for_the_first_page",
        ),
    ),
    # Faults.
    fix(
        Change(
            commit="57a3e96d6d17",
            title="KVM: x86/mmu: Fix return value in tdp_mmu_map_handle_target_level()",
            since="5.15",
            effect="A fault that was fixed is counted so.",
        ),
        "tdp_mmu_map_handle_target_level",
        "a fault that was fixed was reported as one to be retried",
        roughly(
            Substitution(
                TDP_C, "u64 new_spte;\n\tint ret = RET_PF_FIXED;", "u64 new_spte;\n\tint ret = RET_PF_RETRY;"
            ),
            by="first_write",
        ),
    ),
    fix(
        changes.RETRY_BEFORE_FAULTIN,
        "kvm_faultin_pfn",
        "a fault took a page from the host while the host was reclaiming it",
        without(
            Substitution(
                MMU_C, f"{_RETRY}\n\t\treturn RET_PF_RETRY;\n\n\tret = __kvm", "ret = __kvm", "6.12"
            ),
            Substitution(MMU_C, f"{_RETRY} {{\n\t\tkvm_release", "if (0) {\n\t\tkvm_release", "6.12"),
            by="write_to_read_only_memory_during_an_invalidation",
        ),
    ),
    fix(
        changes.SPURIOUS_IF_ALLOWED,
        "tdp_mmu_map_handle_target_level",
        "a fault that another vCPU had already handled wrote the SPTE once more",
        without(
            Substitution(
                TDP_C,
                "(fault->prefetch || !spte_permission_fault(mmu, iter->old_spte, fault)) &&",
                "(fault->prefetch || (0 && mmu)) &&",
                "7.3",
            ),
            by="executed_after_it_was_aged",
        ),
    ),
    fix(
        changes.SPLIT_ON_FAULT,
        "kvm_tdp_mmu_map",
        "a fault on a small page zapped the other 511 pages of the huge page",
        without(
            Substitution(
                TDP_C,
                "sp = tdp_mmu_alloc_sp(vcpu);\n\t\ttdp_mmu_init_child_sp(sp, &iter);",
                "if (is_shadow_present_pte(iter.old_spte)) {\n"
                "\t\t\tif (tdp_mmu_zap_spte_atomic(kvm, &iter))\n\t\t\t\tgoto retry;\n"
                "\t\t\titer.old_spte = kvm_tdp_mmu_read_spte(iter.sptep);\n\t\t}\n\n"
                "\t\tsp = tdp_mmu_alloc_sp(vcpu);\n\t\ttdp_mmu_init_child_sp(sp, &iter);",
                "6.12",
            ),
            by="execution_on_a_huge_page",
        ),
    ),
    fix(
        changes.ROOTS_WITHOUT_BUDGET,
        "mmu_alloc_direct_roots",
        "a vCPU could not enter a VM that had no memslot yet",
        without(
            Substitution(
                MMU_C,
                "if (tdp_mmu_enabled)\n\t\treturn kvm_tdp_mmu_alloc_root(vcpu);\n\n"
                "\twrite_lock(&vcpu->kvm->mmu_lock);\n\tr = make_mmu_pages_available(vcpu);\n"
                "\tif (r < 0)\n\t\tgoto out_unlock;\n",
                "write_lock(&vcpu->kvm->mmu_lock);\n\tr = make_mmu_pages_available(vcpu);\n"
                "\tif (r < 0)\n\t\tgoto out_unlock;\n\n\tif (tdp_mmu_enabled) {\n"
                "\t\twrite_unlock(&vcpu->kvm->mmu_lock);\n\t\treturn kvm_tdp_mmu_alloc_root(vcpu);\n\t}\n",
                "6.12",
            ),
            by="entered_without_memory",
        ),
    ),
    # The NX mitigation.
    fix(
        changes.NX_TAGGED_ALWAYS,
        "kvm_tdp_mmu_map",
        "a table of executable pages was not tagged if no huge page would have fitted there",
        without(
            Substitution(
                TDP_C,
                "sp->nx_huge_page_disallowed = fault->huge_page_disallowed;",
                "sp->nx_huge_page_disallowed = fault->huge_page_disallowed &&\n"
                "\t\t\t\t\t      fault->req_level >= iter.level;",
                "6.12",
            ),
            by="executed_before_it_was_huge",
        ),
    ),
    fix(
        changes.NX_TAG_DECIDES,
        "disallowed_hugepage_adjust",
        "under the mitigation no table was replaced by a huge page, whatever it was created for",
        without(
            Substitution(
                MMU_C,
                "!is_large_pte(spte) &&\n\t    spte_to_child_sp(spte)->nx_huge_page_disallowed) {",
                "!is_large_pte(spte)) {",
                "6.12",
            ),
            by="huge_again_under_the_mitigation",
        ),
    ),
    fix(
        changes.NX_RECOVERY_SKIPS_LOGGED,
        "kvm_recover_nx_huge_pages",
        "tables of dirty-logged memory were zapped, only to be created again at once",
        without(
            Substitution(MMU_C, "if (slot && kvm_slot_dirty_track_enabled(slot))", "if (0)", "6.12"),
            by="recovery_spares_logged_memory",
        ),
    ),
    # Aging and MMIO.
    fix(
        changes.AGING_NOT_FLUSHED,
        "kvm_mmu_notifier_clear_flush_young",
        "each round of aging flushed the TLBs of the whole VM",
        without(
            Substitution(KVM_MAIN_C, "!IS_ENABLED(CONFIG_KVM_ELIDE_TLB_FLUSH_IF_YOUNG)", "true", "7.3"),
            by="aged_by_accessed_bits",
        ),
    ),
    fix(
        changes.MMIO_CACHE_OF_ADDRESS_SPACE,
        "vcpu_match_mmio_gen",
        "a vCPU in SMM emulated accesses to memory that had been added since (CVE-2026-99082)",
        without(
            Substitution(
                X86_H,
                "u64 gen = kvm_vcpu_memslots(vcpu)->generation;",
                "u64 gen = kvm_memslots(vcpu->kvm)->generation;",
                "7.3",
            ),
            Substitution(
                X86_H,
                "mmio_gen == kvm_vcpu_memslots(vcpu)->generation",
                "mmio_gen == kvm_memslots(vcpu->kvm)->generation",
                "7.3",
            ),
            by="memory_of_smm_where_mmio_was",
        ),
    ),
)
"""Each is noticed by a scenario, or by one of the stories of extra_stories.py."""
