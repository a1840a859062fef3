// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of shadow paging as words: counters, each vCPU's paging, shadow pages, rmaps.  Names that differ by kernel
 * are hidden behind the macros at the beginning; shadow_words.py reads the words in the same order.
 */
#include <linux/kvm_host.h>
#include "interface.h"
#include "kernel/memory.h"
#include "process/observe.h"
#include "kvm_shape.h"
#include "machine.h"
#include "nested.h"
#include "processor.h"
#include "shadow_state.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"

/* An entry of a new table. */
#ifndef SHADOW_NONPRESENT_VALUE
#define SHADOW_NONPRESENT_VALUE	0
#endif
#define TABLE_ADDRESS	GENMASK_ULL(51, 12)

/* An expression for each of COUNTER_FIELDS, which interface.h lists. */
#define COUNTER_mmu_shadow_zapped	kvm->stat.mmu_shadow_zapped
#define COUNTER_mmu_pte_write		kvm->stat.mmu_pte_write
#define COUNTER_mmu_pde_zapped		kvm->stat.mmu_pde_zapped
#define COUNTER_mmu_flooded		kvm->stat.mmu_flooded
#define COUNTER_mmu_recycled		kvm->stat.mmu_recycled
#define COUNTER_mmu_cache_miss		kvm->stat.mmu_cache_miss
#define COUNTER_mmu_unsync		kvm->stat.mmu_unsync
#ifdef HAVE_n_used_mmu_pages
#define COUNTER_n_used_mmu_pages	kvm->arch.n_used_mmu_pages
#else
#define COUNTER_n_used_mmu_pages	kvm->stat.mmu_shadow_pages
#endif
#define COUNTER_n_max_mmu_pages		kvm->arch.n_max_mmu_pages
#define COUNTER_indirect_shadow_pages	kvm->arch.indirect_shadow_pages

/* An expression for each of ROLE_FIELDS. */
#define ROLE_level		role.level
#ifdef HAVE_GPTE_IS_8_BYTES
#define ROLE_has_4_byte_gpte	!role.gpte_is_8_bytes
#define ROLE_efer_nx		role.nxe
/* Every level of its tables is shadowed. */
#define ROLE_passthrough	0
#else
#define ROLE_has_4_byte_gpte	role.has_4_byte_gpte
#define ROLE_efer_nx		role.efer_nx
#define ROLE_passthrough	role.passthrough
#endif
#define ROLE_quadrant		role.quadrant
#define ROLE_direct		role.direct
#define ROLE_access		role.access
#define ROLE_invalid		role.invalid
#define ROLE_cr0_wp		role.cr0_wp
#ifdef HAVE_ROLE_CR4_SMEP
#define ROLE_smep		role.cr4_smep
#else
#define ROLE_smep		role.smep_andnot_wp
#endif
#define ROLE_smap_andnot_wp	role.smap_andnot_wp
#define ROLE_ad_disabled	role.ad_disabled
#define ROLE_guest_mode		role.guest_mode
#define ROLE_smm		role.smm

#ifdef HAVE_lpage_disallowed
#define nx_huge_page_disallowed	lpage_disallowed
#endif

#ifdef HAVE_GFN_WRITE_TRACK
#define write_track_of(slot)	((slot)->arch.gfn_write_track)
#else
#define write_track_of(slot)	((slot)->arch.gfn_track[KVM_PAGE_TRACK_WRITE])
#endif

/* As kvm_mmu_page_set_translation() packs them. */
#ifdef HAVE_shadowed_translation
#define translation_gfn(sp, at)		((sp)->shadowed_translation[at] >> PAGE_SHIFT)
#define translation_access(sp, at)	((sp)->shadowed_translation[at] & ACC_ALL)
#define has_translations(sp)		((sp)->shadowed_translation)
#else
#define translation_gfn(sp, at)		((sp)->gfns[at])
#define translation_access(sp, at)	0
#define has_translations(sp)		((sp)->gfns)
#endif

#ifndef IS_VALID_PAE_ROOT
#define IS_VALID_PAE_ROOT(entry)	((entry) && VALID_PAGE(entry))
#endif

#ifndef HAVE_pte_list_count
/* Static in mmu.c, as its iterator is. */
struct rmap_iterator { void *desc; int pos; };
u64 *rmap_get_first(struct kvm_rmap_head *head, struct rmap_iterator *iterator);
u64 *rmap_get_next(struct rmap_iterator *iterator);

static unsigned int pte_list_count(struct kvm_rmap_head *head)
{
	struct rmap_iterator iterator;
	unsigned int count = 0;
	u64 *sptep;

	for (sptep = rmap_get_first(head, &iterator); sptep; sptep = rmap_get_next(&iterator))
		count++;
	return count;
}
#endif

static void put_counters(void)
{
	struct kvm *kvm = machine_kvm;

#define PUT(field)	put_word(COUNTER_##field);
	COUNTER_FIELDS(PUT)
#undef PUT
}

static void put_role(union kvm_mmu_page_role role)
{
#define PUT(field)	put_word(ROLE_##field);
	ROLE_FIELDS(PUT)
#undef PUT
}

/* The shadow page of a root or of a PAE root's entry; NULL if it is no shadow page or one of the TDP MMU. */
static struct kvm_mmu_page *page_at(hpa_t address)
{
	struct kvm_mmu_page *sp;

	if (!VALID_PAGE(address) || !(address & TABLE_ADDRESS))
		return NULL;
	/* Also of PAE roots and of the dummy root, the zero page, which have no shadow page. */
	sp = (void *)page_private(pfn_to_page((address & TABLE_ADDRESS) >> PAGE_SHIFT));
	return sp && !sp->tdp_mmu_page ? sp : NULL;
}

static u64 serial_at(hpa_t address)
{
	struct kvm_mmu_page *sp = page_at(address);

	return sp ? env_serial(sp->spt) : 0;
}

/* 0 if the MMU has none, or has no page of PAE roots. */
static u64 pae_root_of(struct kvm_mmu *mmu, int index)
{
	u64 entry = mmu->pae_root ? mmu->pae_root[index] : 0;

	return IS_VALID_PAE_ROOT(entry) ? entry : 0;
}

static void put_tlb(struct processor *cpu)
{
	unsigned long start = begin_list();
	int i;

	for (i = 0; i < cpu->nr_tlb; i++) {
		struct translation *t = &cpu->tlb[i];

		if (t->tdp_mmu)
			continue;
		put_word(t->serial);
		put_word(t->pcid);
		put_word(t->gfn);
		put_word(t->level);
		put_word(t->pfn);
		put_word(t->rights);
		put_word(t->dirty);
	}
	end_list(start, 7);
}

static void put_paging(struct kvm_vcpu *vcpu)
{
	struct kvm_mmu *mmu = vcpu->arch.mmu;
	int i;

	put_word(vcpu->arch.cr0);
	put_word(vcpu->arch.cr3);
	put_word(vcpu->arch.cr4);
	put_word(vcpu->arch.efer);
	put_word(is_guest_mode(vcpu));
	put_role(root_role_of(mmu));
	put_word(serial_at(root_hpa_of(mmu)));
	put_word(VALID_PAGE(root_hpa_of(mmu)) ? root_pgd_of(mmu) : 0);
	for (i = 0; i < KVM_MMU_NUM_PREV_ROOTS; i++) {
		struct kvm_mmu_root_info *root = &mmu->prev_roots[i];

		put_word(serial_at(root->hpa));
		put_word(VALID_PAGE(root->hpa) ? root->pgd : 0);
	}
	for (i = 0; i < 4; i++)
		put_word(serial_at(pae_root_of(mmu, i)));
	put_word(vcpu->stat.pf_guest);
	put_word(vcpu->stat.invlpg);
	put_tlb(&processors[vcpu->vcpu_idx]);
}

static void put_entries(struct kvm_mmu_page *sp)
{
	unsigned long start = begin_list();
	int i;

	for (i = 0; i < 512; i++) {
		u64 spte = sp->spt[i];
		bool present = is_shadow_present_pte(spte), table, translated;

		if (spte == SHADOW_NONPRESENT_VALUE)
			continue;
		table = present && !is_last_spte(spte, sp->role.level);
		translated = present && !table && has_translations(sp);
		put_word(i);
		put_word(table ? spte & ~TABLE_ADDRESS : spte);
		put_word(table ? env_serial(__va(spte & TABLE_ADDRESS)) : 0);
		put_word(translated ? translation_gfn(sp, i) : 0);
		put_word(translated ? translation_access(sp, i) : 0);
		put_word(test_bit(i, sp->unsync_child_bitmap));
	}
	end_list(start, 6);
}

static void put_shadow_page(struct kvm_mmu_page *sp)
{
	put_word(env_serial(sp->spt));
	put_word(sp->gfn);
	put_role(sp->role);
	put_word(sp->unsync);
	put_word(sp->unsync_children);
	put_word(sp->root_count);
	put_word(pte_list_count(&sp->parent_ptes));
	put_word(atomic_read(&sp->write_flooding_count));
	put_word(sp->mmu_valid_gen);
	put_word(sp->nx_huge_page_disallowed);
	put_entries(sp);
}

/* Zapped pages, which are in no list, until the last vCPU drops them as its root. */
#define MAX_ZAPPED	(MAX_VCPUS * 2 * (1 + KVM_MMU_NUM_PREV_ROOTS + 4))
struct zapped { int n; struct kvm_mmu_page *pages[MAX_ZAPPED]; };

static void note_zapped(struct zapped *zapped, hpa_t root)
{
	struct kvm_mmu_page *sp = page_at(root);
	int i;

	if (!sp || !sp->role.invalid)
		return;
	for (i = 0; i < zapped->n; i++)
		if (zapped->pages[i] == sp)
			return;
	zapped->pages[zapped->n++] = sp;
}

static void note_zapped_roots(struct zapped *zapped, struct kvm_mmu *mmu)
{
	int i;

	note_zapped(zapped, root_hpa_of(mmu));
	for (i = 0; i < KVM_MMU_NUM_PREV_ROOTS; i++)
		note_zapped(zapped, mmu->prev_roots[i].hpa);
	for (i = 0; i < 4; i++)
		note_zapped(zapped, pae_root_of(mmu, i));
}

static void put_shadow_pages(void)
{
	struct zapped zapped = {};
	struct kvm_mmu_page *sp;
	unsigned long start = begin_list();
	u64 n = 0;
	int i;

	/* The kernel's list has the newest at its head. */
	list_for_each_entry_reverse(sp, &machine_kvm->arch.active_mmu_pages, link) {
		put_shadow_page(sp);
		n++;
	}
	for (i = 0; i < machine_nr_vcpus; i++) {
		note_zapped_roots(&zapped, &machine_vcpu(i)->arch.root_mmu);
		note_zapped_roots(&zapped, &machine_vcpu(i)->arch.guest_mmu);
	}
	for (i = 0; i < zapped.n; i++)
		put_shadow_page(zapped.pages[i]);
	set_length(start, n + zapped.n);
}

static void put_rmaps_of(int as_id, struct kvm_memory_slot *slot, int level)
{
	struct kvm_rmap_head *rmaps = slot->arch.rmap[level - 1];
	struct kvm_lpage_info *lpages = level > 1 ? slot->arch.lpage_info[level - 2] : NULL;
	unsigned short *tracked = level == 1 ? write_track_of(slot) : NULL;
	int shift = 9 * (level - 1);
	u64 first = slot->base_gfn >> shift, last = (slot->base_gfn + slot->npages - 1) >> shift, i;

	for (i = 0; i <= last - first; i++) {
		u64 sptes = rmaps ? pte_list_count(&rmaps[i]) : 0;
		u64 disallow = lpages ? lpages[i].disallow_lpage : 0, track = tracked ? tracked[i] : 0;

		if (!sptes && !disallow && !track)
			continue;
		put_word(as_id);
		put_word(level);
		put_word((first + i) << shift);
		put_word(sptes);
		put_word(disallow);
		put_word(track);
	}
}

static void put_rmaps(void)
{
	struct kvm_memory_slot *slot;
	unsigned long start = begin_list();
	int as_id, bucket, level;

	for (as_id = 0; as_id < 2; as_id++)
		for_each_slot(slot, bucket, __kvm_memslots(machine_kvm, as_id))
			for (level = 1; level <= KVM_NR_PAGE_SIZES; level++)
				put_rmaps_of(as_id, slot, level);
	end_list(start, 6);
}

void put_shadow(void)
{
	bool used = !env_has_tdp_mmu() || nested_is_used();
	int i;

	put_word(used);
	if (!used)
		return;
	put_counters();
	put_word(machine_nr_vcpus);
	for (i = 0; i < machine_nr_vcpus; i++)
		put_paging(machine_vcpu(i));
	put_shadow_pages();
	put_rmaps();
}
