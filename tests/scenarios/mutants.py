# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of the TDP MMU: small textual changes to the fetched sources, each with the story that kills it."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.kernels.substitutions import ITER_C, KVM_MAIN_C, MMU_C, TDP_C, Substitution

__all__ = ["PLANTED", "Planted"]


@dataclass(frozen=True)
class Planted:
    """What is wrong in words, the change that makes it so, and where it shows."""

    wrong: str
    mutant: Substitution
    story: str
    mode: str = "ept-ad"


PLANTED = [
    # From the host's ranges to memslots and roots.
    Planted(
        "the flush that one memslot wants is forgotten over the next",
        Substitution(
            KVM_MAIN_C, "ret |= range->handler(kvm, &gfn_range);", "ret = range->handler(kvm, &gfn_range);"
        ),
        "flush_across_memslots",
    ),
    Planted(
        "the flush that one root wants is forgotten over the next",
        Substitution(TDP_C, "range->may_block, flush);", "range->may_block, false);"),
        "flush_across_roots",
    ),
    Planted(
        "a range that ends behind a memslot reaches its neighbour's gfns",
        Substitution(
            KVM_MAIN_C,
            "hva_end = min(range->end, slot->userspace_addr +\n\t\t\t\t\t\t  (slot->npages << PAGE_SHIFT));",
            "hva_end = range->end;",
        ),
        "range_over_the_end_of_a_memslot",
    ),
    Planted(
        "a range that ends where a memslot begins is taken for the memslot's",
        Substitution(KVM_MAIN_C, "range->start, range->end - 1)", "range->start, range->end)"),
        "range_beside_a_memslot",
    ),
    Planted(
        "a second invalidation shortens the first",
        Substitution(KVM_MAIN_C, "max(kvm->mmu_invalidate_range_end, end);", "end;"),
        "invalidations_side_by_side",
    ),
    # Where memslots, words of the log and generations end.
    Planted(
        "memslots may overlap by one page",
        Substitution(KVM_MAIN_C, "base_gfn, base_gfn + npages))", "base_gfn, base_gfn + npages - 1))"),
        "memslots_overlap_by_one_page",
    ),
    Planted(
        "the last word of the log is cleared only if it is a whole one",
        Substitution(
            KVM_MAIN_C,
            "n = DIV_ROUND_UP(log->num_pages, BITS_PER_LONG); n--;",
            "n = log->num_pages / BITS_PER_LONG; n--;",
        ),
        "clear_of_the_last_word_in_part",
    ),
    Planted(
        "of two huge pages under one word of the log only the first is protected",
        Substitution(
            MMU_C,
            "if (ALIGN(start << PAGE_SHIFT, PMD_SIZE) !=",
            "if (0 && ALIGN(start << PAGE_SHIFT, PMD_SIZE) !=",
        ),
        "two_huge_pages_in_one_word_of_the_log",
    ),
    Planted(
        "the generation of SMM's memslots never wraps",
        Substitution(MMU_C, "gen &= ~((u64)KVM_ADDRESS_SPACE_NUM - 1);", ""),
        "generation_wraps_in_smm",
    ),
    Planted(
        "an invalid root is invalidated again, and let go of twice",
        Substitution(
            TDP_C,
            "if (!root->role.invalid) {\n\t\t\troot->tdp_mmu_scheduled_root_to_zap",
            "if (true) {\n\t\t\troot->tdp_mmu_scheduled_root_to_zap",
        ),
        "roots_invalidated_twice",
    ),
    # Zapping.
    Planted(
        "a missing flush after leaves were zapped",
        Substitution(
            TDP_C, "tdp_mmu_set_spte(kvm, &iter, 0);\n\t\tflush = true;", "tdp_mmu_set_spte(kvm, &iter, 0);"
        ),
        "unmap_one_page",
    ),
    Planted(
        "the last gfn of an unmapped range is left mapped",
        Substitution(
            TDP_C,
            "for_each_tdp_pte_min_level(iter, root, PG_LEVEL_4K, start, end) {",
            "for_each_tdp_pte_min_level(iter, root, PG_LEVEL_4K, start, end - 1) {",
        ),
        "unmap_a_range",
    ),
    Planted(
        "an unmap visits address space 0 only",
        Substitution(
            TDP_C,
            "__for_each_tdp_mmu_root_yield_safe(kvm, root, range->slot->as_id, false, false)",
            "__for_each_tdp_mmu_root_yield_safe(kvm, root, 0, false, false)",
        ),
        "one_page_in_two_address_spaces",
    ),
    Planted(
        "an invalid root skipped when unmapping",
        Substitution(
            TDP_C,
            "__for_each_tdp_mmu_root_yield_safe(kvm, root, range->slot->as_id, false, false)",
            "__for_each_tdp_mmu_root_yield_safe(kvm, root, range->slot->as_id, false, true)",
        ),
        "unmap_meets_an_invalid_root",
    ),
    Planted(
        "roots are not invalidated when a memslot goes",
        Substitution(
            TDP_C,
            "root->tdp_mmu_scheduled_root_to_zap = true;\n\t\t\troot->role.invalid = true;",
            "root->tdp_mmu_scheduled_root_to_zap = false;",
        ),
        "memslot_deleted",
    ),
    Planted(
        "invalidated roots are not zapped",
        Substitution(TDP_C, "tdp_mmu_zap_root(kvm, root, true);", ""),
        "memslot_deleted",
    ),
    Planted(
        "a missing flush when an SPTE is zapped atomically",
        Substitution(
            TDP_C,
            "kvm_flush_remote_tlbs_with_address(kvm, iter->gfn,\n"
            "\t\t\t\t\t   KVM_PAGES_PER_HPAGE(iter->level));",
            "",
        ),
        "logging_switched_off",
    ),
    Planted(
        "a zap yields for ever",
        Substitution(TDP_C, "if (iter->next_last_level_gfn == iter->yielded_gfn)\n\t\treturn false;", ""),
        "unmap_while_yielding",
    ),
    # Tables that are removed.
    Planted(
        "entries of a removed table are not frozen",
        Substitution(
            TDP_C,
            "kvm_tdp_mmu_write_spte_atomic(sptep, REMOVED_SPTE);",
            "kvm_tdp_mmu_write_spte_atomic(sptep, 0);",
        ),
        "reader_in_a_removed_table",
    ),
    Planted(
        "a removed table is freed under a reader",
        Substitution(
            TDP_C, "call_rcu(&sp->rcu_head, tdp_mmu_free_sp_rcu_callback);\n}", "tdp_mmu_free_sp(sp);\n}"
        ),
        "reader_in_a_removed_table",
    ),
    Planted(
        "a missing flush when a table gives way to a huge page",
        Substitution(
            TDP_C,
            "else if (is_shadow_present_pte(iter->old_spte) &&\n"
            "\t\t !is_last_spte(iter->old_spte, iter->level))",
            "else if (0)",
        ),
        "rebuilt_after_collapse",
    ),
    # Faults.
    Planted(
        "the wrong old value after a huge page was zapped to be split",
        Substitution(
            TDP_C,
            "iter.old_spte = kvm_tdp_mmu_read_spte(iter.sptep);\n\t\t}\n\n\t\tif (!is_shadow",
            "}\n\n\t\tif (!is_shadow",
        ),
        "execution_on_a_huge_page",
    ),
    Planted(
        "a table made for execution is not accounted",
        Substitution(TDP_C, "if (account_nx)\n", "if (0)\n"),
        "execution_on_a_huge_page",
    ),
    Planted(
        "installing an MMIO SPTE does not ask for emulation",
        Substitution(TDP_C, "if (unlikely(is_mmio_spte(new_spte))) {", "if (0) {"),
        "mmio_is_cached",
    ),
    Planted(
        "the stale check forced off",
        Substitution(
            MMU_C,
            "return fault->slot &&\n"
            "\t       mmu_invalidate_retry_hva(vcpu->kvm, fault->mmu_seq, fault->hva);",
            "return false;",
        ),
        "fault_during_an_invalidation",
    ),
    Planted(
        "every fault is stale while any range is invalidated",
        Substitution(
            MMU_C,
            "mmu_invalidate_retry_hva(vcpu->kvm, fault->mmu_seq, fault->hva)",
            "mmu_invalidate_retry(vcpu->kvm, fault->mmu_seq)",
        ),
        "fault_beside_an_invalidation",
    ),
    Planted(
        "a huge mapping does not begin where the huge page does",
        Substitution(
            MMU_C,
            "fault->goal_level = fault->req_level;\n\tmask = KVM_PAGES_PER_HPAGE(fault->goal_level) - 1;\n"
            "\tVM_BUG_ON((fault->gfn & mask) != (fault->pfn & mask));\n\tfault->pfn &= ~mask;",
            "fault->goal_level = fault->req_level;",
        ),
        "mapped_in_2m",
    ),
    Planted(
        "huge pages across the edge of a memslot",
        Substitution(
            MMU_C,
            "\t\tif (!linfo->disallow_lpage)\n\t\t\tbreak;\n\t}\n\n\tif (max_level == PG_LEVEL_4K)",
            "\t\tbreak;\n\t}\n\n\tif (max_level == PG_LEVEL_4K)",
        ),
        "huge_page_across_the_edge_of_a_memslot",
    ),
    Planted(
        "an old MMIO SPTE is taken for a fresh one",
        Substitution(MMU_C, "return likely(kvm_gen == spte_gen);", "return true;"),
        "memory_appears_where_mmio_was",
    ),
    Planted(
        "nothing is zapped when the generation wraps",
        Substitution(
            MMU_C,
            'kvm_debug_ratelimited("kvm: zapping shadow pages for mmio generation wraparound\\n");\n'
            "\t\tkvm_mmu_zap_all_fast(kvm);",
            "",
        ),
        "generation_wraps",
    ),
    # The fast path.
    Planted(
        "W is set again without recording the page",
        Substitution(
            MMU_C,
            "if (is_writable_pte(new_spte) && !is_writable_pte(old_spte))\n\t\tmark_page_dirty_in_slot",
            "if (0)\n\t\tmark_page_dirty_in_slot",
        ),
        "write_after_logging_began",
    ),
    Planted(
        "a huge page is made writable while its memslot is logged",
        Substitution(
            MMU_C,
            "if (sp->role.level > PG_LEVEL_4K &&\n"
            "\t\t\t    kvm_slot_dirty_track_enabled(fault->slot))\n\t\t\t\tbreak;",
            "",
        ),
        "no_eager_split",
    ),
    Planted(
        "an access-tracked SPTE is not restored",
        Substitution(MMU_C, "if (unlikely(!kvm_ad_enabled()) && is_access_track_spte(spte))\n", "if (0)\n"),
        "aged_by_access_tracking",
        "ept-noad",
    ),
    # Dirty logging.
    Planted(
        "write-protection that leaves MMU-writable set",
        Substitution(TDP_C, "~(PT_WRITABLE_MASK | shadow_mmu_writable_mask);", "~PT_WRITABLE_MASK;"),
        "huge_page_protected_when_cleared",
    ),
    Planted(
        "write-protection for the log takes MMU-writable, too",
        Substitution(
            TDP_C,
            "new_spte = iter.old_spte & ~PT_WRITABLE_MASK;\n\n\t\tif (tdp_mmu_set_spte_atomic",
            "new_spte = iter.old_spte & ~(PT_WRITABLE_MASK | shadow_mmu_writable_mask);\n\n"
            "\t\tif (tdp_mmu_set_spte_atomic",
        ),
        "logging_write_protects",
    ),
    Planted(
        "the present check dropped in clear-dirty",
        Substitution(
            TDP_C,
            "tdp_root_for_each_leaf_pte(iter, root, gfn + __ffs(mask),\n",
            "tdp_root_for_each_pte(iter, root, gfn + __ffs(mask),\n",
        ),
        "clear_over_a_stale_mmio_spte",
    ),
    Planted(
        "a page that is not in the mask is cleared",
        Substitution(
            TDP_C,
            "if (iter.level > PG_LEVEL_4K ||\n\t\t    !(mask & (1UL << (iter.gfn - gfn))))\n\t\t\tcontinue;",
            "if (iter.level > PG_LEVEL_4K)\n\t\t\tcontinue;",
        ),
        "manual_protection",
    ),
    Planted(
        "a dirty bit cleared without recording: logging starts with D set",
        Substitution(
            TDP_C,
            "new_spte = iter.old_spte & ~shadow_dirty_mask;\n\t\t\telse\n\t\t\t\tcontinue;\n\t\t}\n\n"
            "\t\tif (tdp_mmu_set_spte_atomic",
            "new_spte = iter.old_spte;\n\t\t\telse\n\t\t\t\tcontinue;\n\t\t}\n\n"
            "\t\tif (tdp_mmu_set_spte_atomic",
        ),
        "logging_by_dirty_bits",
    ),
    Planted(
        "a dirty bit cleared without recording: the log's own write-protection is recorded as a write",
        Substitution(TDP_C, "_tdp_mmu_set_spte(kvm, iter, new_spte, true, false);", "return;"),
        "get_dirty_log",
    ),
    Planted(
        "all pieces of a split huge page map its beginning",
        Substitution(
            TDP_C,
            "make_huge_page_split_spte(kvm, huge_spte, sp->role, i);",
            "make_huge_page_split_spte(kvm, huge_spte, sp->role, 0);",
        ),
        "eager_split",
    ),
    Planted(
        "the pieces of a split huge page are not counted",
        Substitution(TDP_C, "kvm_update_page_stats(kvm, level - 1, SPTE_ENT_PER_PAGE);", ""),
        "eager_split",
    ),
    Planted(
        "mappings that could be huge are kept when logging ends",
        Substitution(TDP_C, "if (max_mapping_level < iter.level)", "if (max_mapping_level <= iter.level)"),
        "logging_switched_off",
    ),
    # Aging.
    Planted(
        "aging leaves Accessed set",
        Substitution(TDP_C, "new_spte &= ~shadow_accessed_mask;", ""),
        "aged_by_accessed_bits",
        "npt",
    ),
    Planted(
        "aging without A/D bits changes nothing",
        Substitution(TDP_C, "new_spte = mark_spte_for_access_track(new_spte);", ""),
        "aged_by_access_tracking",
        "ept-noad",
    ),
    Planted(
        "everything mapped is young",
        Substitution(TDP_C, "return is_accessed_spte(iter->old_spte);", "return true;"),
        "aged_by_accessed_bits",
    ),
    Planted(
        "only address space 0 is aged",
        Substitution(
            TDP_C,
            "for_each_tdp_mmu_root(kvm, root, range->slot->as_id) {",
            "for_each_tdp_mmu_root(kvm, root, 0) {",
        ),
        "aging_in_smm",
    ),
    # The iterator.
    Planted(
        "an iterator steps down by an entry that it read before",
        Substitution(
            ITER_C, "iter->old_spte = kvm_tdp_mmu_read_spte(iter->sptep);\n\n\tchild_pt", "child_pt"
        ),
        "reader_meets_a_changed_entry",
    ),
    Planted(
        "an iterator loses its place when it steps aside",
        Substitution(ITER_C, "iter->next_last_level_gfn = iter->gfn;\n", ""),
        "reader_across_tables",
    ),
    Planted(
        "an iterator that yielded skips an entry: without commit 3a0f64de479c",
        Substitution(ITER_C, "tdp_iter_restart(iter);\n\t\treturn;", "tdp_iter_restart(iter);"),
        "zap_while_yielding",
    ),
    # The same in the newest kernel, where the text differs.
    Planted(
        "a missing flush after leaves were zapped",
        Substitution(TDP_C, "if (!root->role.invalid)\n\t\t\tflush = true;", "", "7.3"),
        "unmap_one_page",
    ),
    Planted(
        "W is set again without recording the page",
        Substitution(
            MMU_C,
            "if (is_writable_pte(new_spte) && !is_writable_pte(old_spte))\n\t\tmark_page_dirty_in_slot",
            "if (0)\n\t\tmark_page_dirty_in_slot",
            "7.3",
        ),
        "write_after_logging_began",
    ),
    Planted(
        "the present check dropped in clear-dirty",
        Substitution(
            TDP_C,
            "tdp_root_for_each_leaf_pte(iter, kvm, root, gfn + __ffs(mask),\n",
            "tdp_root_for_each_pte(iter, kvm, root, gfn + __ffs(mask),\n",
            "7.3",
        ),
        "clear_over_a_stale_mmio_spte",
    ),
    Planted(
        "aging without A/D bits changes nothing",
        Substitution(
            TDP_C,
            "new_spte = mark_spte_for_access_track(iter->old_spte);",
            "new_spte = iter->old_spte;",
            "7.3",
        ),
        "aged_by_access_tracking",
        "ept-noad",
    ),
    Planted(
        "all pieces of a split huge page map its beginning",
        Substitution(
            TDP_C,
            "make_small_spte(kvm, huge_spte, sp->role, i);",
            "make_small_spte(kvm, huge_spte, sp->role, 0);",
            "7.3",
        ),
        "eager_split",
        "npt",
    ),
    Planted(
        "a missing flush after huge pages were recovered",
        Substitution(
            TDP_C,
            "flush = true;\n\t}\n\n\tif (flush)\n\t\tkvm_flush_remote_tlbs_memslot",
            "}\n\n\tif (flush)\n\t\tkvm_flush_remote_tlbs_memslot",
            "7.3",
        ),
        "logging_switched_off",
    ),
    Planted(
        "an iterator loses its place when it steps aside",
        Substitution(ITER_C, "iter->next_last_level_gfn = iter->gfn;\n", "", "7.3"),
        "reader_across_tables",
        "npt",
    ),
]
"""Every mutant. Those of kernel 6.1 come first."""
