/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fields of KVM's own structures that more than one thread accesses while they may change.  The other fields are
 * set once, belong to one vCPU, or only count.  Memory in no such structure (page tables, dirty bitmaps, the host's
 * page tables) is all shared.
 */
#ifndef CONFORMANCE_KVM_RACE_FIELDS_H
#define CONFORMANCE_KVM_RACE_FIELDS_H

#ifdef HAVE_NR_MEMSLOTS_DIRTY_LOGGING
#define KVM_DIRTY_LOGGING(F)	F(kvm, nr_memslots_dirty_logging)
#else
#define KVM_DIRTY_LOGGING(F)	F(kvm, arch.cpu_dirty_logging_count)
#endif

#ifdef HAVE_lpage_disallowed
#define KVM_NX(F)		F(kvm, arch.lpage_disallowed_mmu_pages)
#define SP_NX(F)		F(kvm_mmu_page, lpage_disallowed) F(kvm_mmu_page, lpage_disallowed_link)
#else
#define KVM_NX(F)		F(kvm, arch.possible_nx_huge_pages)
#define SP_NX(F)							\
	F(kvm_mmu_page, nx_huge_page_disallowed) F(kvm_mmu_page, possible_nx_huge_page_link)
#endif

/* F(structure, field) */
#define RACE_FIELDS(F)							\
	F(kvm, memslots[0])						\
	F(kvm, memslots[1])						\
	F(kvm, __memslots[0][0].generation)				\
	F(kvm, __memslots[0][1].generation)				\
	F(kvm, __memslots[1][0].generation)				\
	F(kvm, __memslots[1][1].generation)				\
	F(kvm, __memslots[0][0].gfn_tree)				\
	F(kvm, __memslots[0][1].gfn_tree)				\
	F(kvm, __memslots[0][0].hva_tree)				\
	F(kvm, __memslots[0][1].hva_tree)				\
	F(kvm, mn_active_invalidate_count)				\
	F(kvm, mn_memslots_update_rcuwait)				\
	F(kvm, mmu_invalidate_seq)					\
	F(kvm, mmu_invalidate_in_progress)				\
	F(kvm, mmu_invalidate_range_start)				\
	F(kvm, mmu_invalidate_range_end)				\
	F(kvm, vm_dead)							\
	F(kvm, arch.indirect_shadow_pages)				\
	F(kvm, arch.mmu_valid_gen)					\
	F(kvm, arch.tdp_mmu_roots)					\
	KVM_DIRTY_LOGGING(F)						\
	KVM_NX(F)							\
	F(kvm_vcpu, requests)						\
	F(kvm_vcpu, mode)						\
	F(kvm_vcpu, wait)						\
	F(kvm_mmu_page, link)						\
	F(kvm_mmu_page, role)						\
	F(kvm_mmu_page, tdp_mmu_root_count)				\
	F(kvm_mmu_page, unsync)						\
	F(kvm_mmu_page, unsync_children)				\
	F(kvm_mmu_page, unsync_child_bitmap)				\
	F(kvm_mmu_page, write_flooding_count)				\
	SP_NX(F)

#endif
