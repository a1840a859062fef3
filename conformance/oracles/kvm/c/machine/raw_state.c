// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's structures and variables as they lie in memory, for a review, which compares two kernels beyond what state.c
 * observes.  Python knows their layout from the compiler; see kept.py and members.py.
 *
 * After the address and the size of the library, each object is: kind, number, address, size, its bytes padded to
 * words, and the lengths of the lists whose heads are in it.
 */
#include <linux/kvm_host.h>
#include <asm/sections.h>
#include "process/address_space.h"
#include "process/exchange.h"
#include "kvm_shape.h"
#include "machine.h"
#include "processor.h"
#include "state.h"
#include "vendor.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"

/* As in kept.py. */
enum kind { VARIABLES, VM, VCPU, SLOT, PAGE, LPAGE_INFO, RMAP, PAE_ROOT, FLUSHES };

#define LONGEST		(1UL << 16)
#define TABLE_ADDRESS	GENMASK_ULL(51, 12)

extern const char __ehdr_start[];

static unsigned long library_size(void)
{
	return (unsigned long)_end - (unsigned long)__ehdr_start;
}

static void *room(size_t bytes)
{
	struct env_raw_state *raw = &env_exchange->raw;
	size_t words = DIV_ROUND_UP(bytes, 8);
	unsigned long *at = &raw->words[raw->nr_words];

	if (raw->nr_words + words > ENV_NR_RAW)
		env_die(ENV_LIMIT, "KVM keeps more than there is room for", 0);
	/* Clear the padding: with a rest of an earlier step it could look like a pointer. */
	if (bytes % 8)
		at[words - 1] = 0;
	raw->nr_words += words;
	return at;
}

static void put(u64 word)
{
	*(u64 *)room(8) = word;
}

/* The number of members of a list without its head; 0 if the pointers form no list. */
static unsigned long length_of(const struct list_head *head)
{
	const struct list_head *at = head->next;
	unsigned long length;

	for (length = 0; at != head && length < LONGEST; length++, at = at->next) {
		unsigned long address = (unsigned long)at;

		if (address - ENV_DIRECT_MAP >= ENV_KERNEL_END &&
		    address - (unsigned long)__ehdr_start >= library_size())
			return 0;
	}
	return length;
}

static void begin(enum kind kind, u64 which, const void *address, size_t size)
{
	put(kind);
	put(which);
	put((unsigned long)address);
	put(size);
}

static void object(enum kind kind, u64 which, const void *address, size_t size)
{
	struct env_raw_state *raw = &env_exchange->raw;
	unsigned long i;

	begin(kind, which, address, size);
	memcpy(room(size), address, size);
	for (i = 0; i < raw->nr_rings; i++)
		if (raw->rings[i][0] == kind)
			put(length_of(address + raw->rings[i][1]));
}

static void variables(void)
{
	struct env_raw_state *raw = &env_exchange->raw;
	unsigned long i, size = 0;

	for (i = 0; i < raw->nr_places; i++)
		size += ALIGN(raw->places[i][1], 8);
	begin(VARIABLES, 0, NULL, size);
	for (i = 0; i < raw->nr_places; i++)
		memcpy(room(raw->places[i][1]), __ehdr_start + raw->places[i][0], raw->places[i][1]);
}

static void slot(int as_id, struct kvm_memory_slot *slot)
{
	u64 which = (u64)as_id << 32 | (u16)slot->id;
	int i;

	object(SLOT, which, slot, sizeof(*slot));
	for (i = 0; i < KVM_NR_PAGE_SIZES; i++) {
		int bits = 9 * i;
		u64 n = ((slot->base_gfn + slot->npages - 1) >> bits) - (slot->base_gfn >> bits) + 1;

		if (i && slot->arch.lpage_info[i - 1])
			object(LPAGE_INFO, which | (u64)i << 40, slot->arch.lpage_info[i - 1],
			       n * sizeof(*slot->arch.lpage_info[0]));
		if (slot->arch.rmap[i])
			object(RMAP, which | (u64)i << 40, slot->arch.rmap[i], n * sizeof(*slot->arch.rmap[0]));
	}
}

static void slots(void)
{
	struct kvm_memory_slot *one;
	int as_id, bucket;

	for (as_id = 0; as_id < 2; as_id++)
		for_each_slot(one, bucket, __kvm_memslots(machine_kvm, as_id))
			slot(as_id, one);
}

/* The shadow pages of a table and of those below it, numbered by root, level and first gfn. */
static void page(u64 root, struct kvm_mmu_page *sp, int level, u64 gfn)
{
	u64 size = 1ULL << (9 * (level - 1));
	int i;

	object(PAGE, root << 60 | (u64)level << 56 | gfn, sp, sizeof(*sp));
	for (i = 0; i < 512; i++, gfn += size) {
		u64 spte = sp->spt[i];

		if (is_shadow_present_pte(spte) && !is_last_spte(spte, level))
			page(root, sptep_to_sp(__va(spte & TABLE_ADDRESS)), level - 1, gfn);
	}
}

static void pages(void)
{
	struct kvm_mmu_page *sp;
	u64 i = 0;

	/* Without the TDP MMU the list is not even initialised. */
	if (env_has_tdp_mmu())
		list_for_each_entry_reverse(sp, &machine_kvm->arch.tdp_mmu_roots, link)
			page(i++, sp, sp->role.level, 0);
	list_for_each_entry(sp, &machine_kvm->arch.active_mmu_pages, link)
		object(PAGE, 15ULL << 60 | i++, sp, sizeof(*sp));
}

static void vcpus(void)
{
	u64 i;

	for (i = 0; i < machine_nr_vcpus; i++) {
		struct kvm_vcpu *vcpu = machine_vcpu(i);

		object(VCPU, i, vcpu, sizeof(*vcpu));
		if (vcpu->arch.root_mmu.pae_root)
			object(PAE_ROOT, 2 * i, vcpu->arch.root_mmu.pae_root, 32);
		if (vcpu->arch.guest_mmu.pae_root)
			object(PAE_ROOT, 2 * i + 1, vcpu->arch.guest_mmu.pae_root, 32);
	}
}

void copy_raw_state(void)
{
	struct env_raw_state *raw = &env_exchange->raw;
	int srcu;

	raw->nr_words = 0;
	if (!raw->asked)
		return;
	put((unsigned long)__ehdr_start);
	put(library_size());
	variables();
	object(FLUSHES, 0, vendor_flushes.ranges, vendor_flushes.nr * sizeof(vendor_flushes.ranges[0]));
	/* A destroyed machine has variables only. */
	if (!machine_kvm)
		return;
	srcu = srcu_read_lock(&machine_kvm->srcu);
	object(VM, 0, machine_kvm, sizeof(*machine_kvm));
	vcpus();
	slots();
	pages();
	srcu_read_unlock(&machine_kvm->srcu, srcu);
}
