/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM under the names of its newer kernels, for those that call a thing otherwise or have it in another place.  What
 * a kernel does not have at all is said where it would be used.
 */
#ifndef CONFORMANCE_KVM_SHAPE_H
#define CONFORMANCE_KVM_SHAPE_H

#include <linux/kvm_host.h>
#include "x86.h"

#ifndef HAVE_mmu_invalidate_seq
#define mmu_invalidate_seq		mmu_notifier_seq
#define mmu_invalidate_in_progress	mmu_notifier_count
#endif

/* Whether memslots cannot change before the invalidations in progress are over. */
#ifdef HAVE_mn_active_invalidate_count
#define waits_for_invalidations(kvm)	((kvm)->mn_active_invalidate_count)
#else
#define waits_for_invalidations(kvm)	false
#endif

/* Leaf entries, by level from 4K; 0 where they are not counted. */
#ifdef HAVE_PF_STATISTICS
#define pages_mapped(kvm, level)	atomic64_read(&(kvm)->stat.pages[level])
#else
#define pages_mapped(kvm, level)	0
#endif

#ifdef HAVE_root_hpa
#define root_hpa_of(mmu)	((mmu)->root_hpa)
#define root_pgd_of(mmu)	((mmu)->root_pgd)
#define root_role_of(mmu)	((mmu)->mmu_role.base)
#else
#define root_hpa_of(mmu)	((mmu)->root.hpa)
#define root_pgd_of(mmu)	((mmu)->root.pgd)
#define root_role_of(mmu)	((mmu)->root_role)
#endif

/* Memslots are in an array, or in a hash table by number. */
#ifdef HAVE_MEMSLOT_ARRAY
#define for_each_slot(slot, bucket, slots)	kvm_for_each_memslot(slot, slots)
#else
#define for_each_slot(slot, bucket, slots)	kvm_for_each_memslot(slot, bucket, slots)
#endif

#ifndef HAVE_kvm_vcpu_srcu_read_lock
static inline void kvm_vcpu_srcu_read_lock(struct kvm_vcpu *vcpu)
{
	vcpu->srcu_idx = srcu_read_lock(&vcpu->kvm->srcu);
}

static inline void kvm_vcpu_srcu_read_unlock(struct kvm_vcpu *vcpu)
{
	srcu_read_unlock(&vcpu->kvm->srcu, vcpu->srcu_idx);
}
#endif

#ifdef HAVE_SKIP_TLB_FLUSH
#define init_mmu_of(vcpu)		kvm_init_mmu(vcpu, false)
#define free_roots(vcpu, mmu, roots)	kvm_mmu_free_roots(vcpu, mmu, roots)
#else
#define init_mmu_of(vcpu)		kvm_init_mmu(vcpu)
#define free_roots(vcpu, mmu, roots)	kvm_mmu_free_roots((vcpu)->kvm, mmu, roots)
#endif

/* A queued exception's. */
#ifdef HAVE_EXCEPTION_NR
#define vector_of(exception)	((exception)->nr)
#else
#define vector_of(exception)	((exception)->vector)
#endif

/* Operations of the vendor module. */
#ifdef HAVE_tlb_flush_all
#define flush_tlb_all		tlb_flush_all
#define flush_tlb_current	tlb_flush_current
#define flush_tlb_gva		tlb_flush_gva
#define flush_tlb_guest		tlb_flush_guest
#endif

#ifndef KVM_REQ_VM_DEAD
#define KVM_REQ_VM_DEAD		KVM_REQ_VM_BUGGED
#endif
/* The same request: roots that are obsolete are freed, or all are. */
#ifndef KVM_REQ_MMU_FREE_OBSOLETE_ROOTS
#define KVM_REQ_MMU_FREE_OBSOLETE_ROOTS		KVM_REQ_MMU_RELOAD
#define kvm_mmu_free_obsolete_roots(vcpu)	kvm_mmu_unload(vcpu)
#endif

/* Static in x86.c. */
void kvm_vcpu_flush_tlb_all(struct kvm_vcpu *vcpu);
#ifndef HAVE_kvm_service_local_tlb_flush_requests
void kvm_vcpu_flush_tlb_guest(struct kvm_vcpu *vcpu);

static inline void kvm_service_local_tlb_flush_requests(struct kvm_vcpu *vcpu)
{
	if (kvm_check_request(KVM_REQ_TLB_FLUSH_CURRENT, vcpu))
		kvm_vcpu_flush_tlb_current(vcpu);
	if (kvm_check_request(KVM_REQ_TLB_FLUSH_GUEST, vcpu))
		kvm_vcpu_flush_tlb_guest(vcpu);
}
#endif

#endif
