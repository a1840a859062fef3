// SPDX-License-Identifier: GPL-2.0-only
/* The state of the machine as words, each list preceded by its length; observation_words.py reads them in the same order. */
#include <linux/kvm_host.h>
#include "host/frames.h"
#include "interface.h"
#include "kernel/memory.h"
#include "kernel/rcu.h"
#include "process/exchange.h"
#include "process/observe.h"
#include "kvm_shape.h"
#include "machine.h"
#include "processor.h"
#include "shadow_state.h"
#include "state.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"

/* Static in tdp_mmu.c. */
void tdp_mmu_free_sp_rcu_callback(struct rcu_head *head);

/* An entry of a new table. */
#ifndef SHADOW_NONPRESENT_VALUE
#define SHADOW_NONPRESENT_VALUE	0
#endif
#ifdef HAVE_FROZEN_SPTE
#define is_removed_spte(spte)	is_frozen_spte(spte)
#endif

#define TABLE_ADDRESS	GENMASK_ULL(51, 12)

/* The roots, the oldest first: the kernel's list has the newest at its head. */
static struct kvm_mmu_page *root_at(unsigned int index)
{
	struct kvm_mmu_page *root;

	/* Without the TDP MMU the list is not even initialised. */
	if (!env_has_tdp_mmu())
		return NULL;
	list_for_each_entry_reverse(root, &machine_kvm->arch.tdp_mmu_roots, link)
		if (!index--)
			return root;
	return NULL;
}

/* 1 for the oldest; 0 if the table is no root any more. */
static u64 root_number(u64 serial)
{
	struct kvm_mmu_page *root;
	unsigned int i;

	for (i = 0; (root = root_at(i)); i++)
		if (env_serial(root->spt) == serial)
			return i + 1;
	return 0;
}

#define SUM_OVER_VCPUS(count)						\
	({								\
		u64 sum = 0;						\
		int i;							\
									\
		for (i = 0; i < machine_nr_vcpus; i++)			\
			sum += machine_vcpu(i)->stat.count;		\
		sum;							\
	})

/* An expression for each of STATE_FIELDS, which interface.h lists; 0 for what a kernel does not count. */
#define STATE_invalidate_in_progress	kvm->mmu_invalidate_in_progress
#define STATE_invalidate_seq		kvm->mmu_invalidate_seq
#define STATE_generation		__kvm_memslots(kvm, 0)->generation
#define STATE_nx_lpage_splits		kvm->stat.nx_lpage_splits
#define STATE_pf_fixed			SUM_OVER_VCPUS(pf_fixed)
#ifdef HAVE_PF_STATISTICS
#define STATE_flush_requests		kvm->stat.generic.remote_tlb_flush_requests
#define STATE_flushes			kvm->stat.generic.remote_tlb_flush
#define STATE_pages_4k			atomic64_read(&kvm->stat.pages_4k)
#define STATE_pages_2m			atomic64_read(&kvm->stat.pages_2m)
#define STATE_pages_1g			atomic64_read(&kvm->stat.pages_1g)
#define STATE_pf_taken			SUM_OVER_VCPUS(pf_taken)
#define STATE_pf_fast			SUM_OVER_VCPUS(pf_fast)
#define STATE_pf_spurious		SUM_OVER_VCPUS(pf_spurious)
#define STATE_pf_emulate		SUM_OVER_VCPUS(pf_emulate)
#define STATE_pf_mmio_spte_created	SUM_OVER_VCPUS(pf_mmio_spte_created)
#else
#define STATE_flush_requests		0
#define STATE_flushes			kvm->stat.remote_tlb_flush
#define STATE_pages_4k			0
#define STATE_pages_2m			0
#define STATE_pages_1g			0
#define STATE_pf_taken			0
#define STATE_pf_fast			0
#define STATE_pf_spurious		0
#define STATE_pf_emulate		0
#define STATE_pf_mmio_spte_created	0
#endif

static void put_state(void)
{
	struct kvm *kvm = machine_kvm;

#define PUT(field)	put_word(STATE_##field);
	STATE_FIELDS(PUT)
#undef PUT
}

static u64 other_requests(struct kvm_vcpu *vcpu)
{
	return kvm_test_request(KVM_REQ_MMU_FREE_OBSOLETE_ROOTS, vcpu) |
	       kvm_test_request(KVM_REQ_MMU_SYNC, vcpu) << 1 |
	       kvm_test_request(KVM_REQ_LOAD_MMU_PGD, vcpu) << 2 |
	       kvm_test_request(KVM_REQ_TLB_FLUSH_CURRENT, vcpu) << 3 |
	       kvm_test_request(KVM_REQ_TLB_FLUSH_GUEST, vcpu) << 4;
}

static void put_vcpus(void)
{
	int i;

	put_word(machine_nr_vcpus);
	for (i = 0; i < machine_nr_vcpus; i++) {
		struct kvm_vcpu *vcpu = machine_vcpu(i);
		/* Of root_mmu, which keeps its root while the vCPU is in L2. */
		hpa_t root = root_hpa_of(&vcpu->arch.root_mmu);

		put_word(VALID_PAGE(root) ? root_number(env_serial(__va(root))) : 0);
		put_word(kvm_test_request(KVM_REQ_TLB_FLUSH, vcpu));
		put_word(other_requests(vcpu));
		put_word(processors[i].flushes);
		put_word(!!(vcpu->arch.hflags & HF_SMM_MASK));
	}
}

static void put_tlbs(void)
{
	int i, j;

	put_word(machine_nr_vcpus);
	for (i = 0; i < machine_nr_vcpus; i++) {
		struct processor *cpu = &processors[i];

		unsigned long start = begin_list();

		for (j = 0; j < cpu->nr_tlb; j++) {
			struct translation *t = &cpu->tlb[j];

			if (!t->tdp_mmu)
				continue;
			put_word(root_number(t->serial));
			put_word(t->gfn);
			put_word(t->level);
			put_word(t->pfn);
			put_word(t->rights);
			put_word(t->dirty);
		}
		end_list(start, 6);
	}
}

static void put_slot(int as_id, struct kvm_memory_slot *slot)
{
	unsigned long i, n = slot->dirty_bitmap ? kvm_dirty_bitmap_bytes(slot) / 8 : 0;

	put_word(5 + n);
	put_word(as_id);
	put_word(slot->id);
	put_word(slot->base_gfn);
	put_word(slot->npages);
	put_word(slot->flags);
	for (i = 0; i < n; i++)
		put_word(slot->dirty_bitmap[i]);
}

static void put_slots(void)
{
	struct kvm_memory_slot *slot;
	unsigned long start = begin_list();
	u64 n = 0;
	int as_id, bucket;

	for (as_id = 0; as_id < 2; as_id++) {
		for_each_slot(slot, bucket, __kvm_memslots(machine_kvm, as_id)) {
			put_slot(as_id, slot);
			n++;
		}
	}
	set_length(start, n);
}

#ifdef HAVE_TDP_MMU
static void put_table(u64 *table, int level, u64 gfn)
{
	u64 size = 1ULL << (9 * (level - 1));
	int i;

	for (i = 0; i < 512; i++, gfn += size) {
		u64 spte = table[i];
		u64 *child;

		if (spte == SHADOW_NONPRESENT_VALUE)
			continue;
		put_word(level);
		put_word(gfn);
		if (!is_shadow_present_pte(spte) || is_last_spte(spte, level)) {
			put_word(spte);
			put_word(0);
			continue;
		}
		child = __va(spte & TABLE_ADDRESS);
		put_word(spte & ~TABLE_ADDRESS);
		put_word(env_serial(child));
		put_table(child, level - 1, gfn);
	}
}

static void put_roots(void)
{
	unsigned long roots = begin_list();
	struct kvm_mmu_page *root;
	unsigned int i;

	for (i = 0; (root = root_at(i)); i++) {
		unsigned long entries;

		put_word(root->role.smm);
		put_word(root->role.level);
		put_word(root->role.invalid);
		put_word(refcount_read(&root->tdp_mmu_root_count));
		entries = begin_list();
		put_table(root->spt, root->role.level, 0);
		end_list(entries, 4);
	}
	set_length(roots, i);
}

static void put_retired(void)
{
	unsigned long start = begin_list();
	struct rcu_head *head;

	for (head = env_rcu_pending(); head; head = (struct rcu_head *)head->next) {
		struct kvm_mmu_page *sp = container_of(head, struct kvm_mmu_page, rcu_head);
		u64 frozen = 0, present = 0;
		int i;

		if ((void *)head->func != tdp_mmu_free_sp_rcu_callback)
			continue;
		for (i = 0; i < 512; i++) {
			frozen += is_removed_spte(sp->spt[i]);
			present += is_shadow_present_pte(sp->spt[i]);
		}
		put_word(sp->role.level);
		put_word(sp->gfn);
		put_word(env_serial(sp->spt));
		put_word(frozen);
		put_word(present);
	}
	end_list(start, 5);
}
#else
/* This kernel's TDP MMU, which it has off by default, never runs. */
static void put_roots(void)
{
	put_word(0);
}

static void put_retired(void)
{
	put_word(0);
}
#endif

void observe_machine(void)
{
	int srcu;

	env_observation->words[0] = (env_observation->at - 1) / 2;
	if (machine_kvm) {
		srcu = srcu_read_lock(&machine_kvm->srcu);
		put_state();
		put_vcpus();
		put_tlbs();
		put_slots();
		put_roots();
		put_retired();
		put_memory();
		put_shadow();
		srcu_read_unlock(&machine_kvm->srcu, srcu);
	}
	env_exchange->nr_words = env_observation->at;
}
