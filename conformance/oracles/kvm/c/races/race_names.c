// SPDX-License-Identifier: GPL-2.0-only
/* Names of objects for reports: which entry of which table, which field, which lock. */
#include <linux/kvm_host.h>
#include "host/host.h"
#include "kernel/memory.h"
#include "kernel/rcu.h"
#include "machine/machine.h"
#include "racing.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "race_fields.h"

extern struct lockdep_map rcu_lock_map;

static struct kvm_mmu_page *table_of(unsigned long address)
{
	return race_is_kernel_memory(address) ? race_table_of(address) : NULL;
}

static bool name_spte(unsigned long object, struct race_named *named)
{
	struct kvm_mmu_page *sp = table_of(object);

	if (!sp)
		return false;
	named->what = WHAT_SPTE;
	named->numbers[0] = sp->role.level;
	named->numbers[1] = sp->gfn + ((object / 8 % 512) << (9 * (sp->role.level - 1)));
	named->numbers[2] = env_serial(sp->spt);
	named->numbers[3] = *(u64 *)object;
	return true;
}

static bool name_host_entry(unsigned long object, struct race_named *named)
{
	struct area *area;
	unsigned long i, page;

	for (i = 0; (area = host_area(i)); i++) {
		for (page = area->start; page < area->start + area->npages; page++) {
			struct host_walk walk = host_walk_to(page);

			if ((unsigned long)walk.entry != object)
				continue;
			named->what = WHAT_HOST;
			named->numbers[0] = walk.level;
			named->numbers[1] = page;
			named->numbers[3] = *walk.entry;
			return true;
		}
	}
	return false;
}

static bool name_frame(unsigned long object, struct race_named *named)
{
	if (object - ENV_VMEMMAP >= ENV_RAM_END_PFN * sizeof(struct page))
		return false;
	named->what = WHAT_FRAME;
	named->numbers[0] = page_to_pfn((struct page *)object);
	return true;
}

/* A word of the content of a frame: see frame_object(). */
static bool name_word(unsigned long object, struct race_named *named)
{
	unsigned long first = ENV_DIRECT_MAP + (ENV_RAM_START_PFN << PAGE_SHIFT);

	if (object - first >= (ENV_RAM_END_PFN - ENV_RAM_START_PFN) << PAGE_SHIFT)
		return false;
	named->what = WHAT_WORD;
	named->numbers[0] = __pa(object) >> PAGE_SHIFT;
	named->numbers[1] = object % PAGE_SIZE / 8;
	return true;
}

/* A field of a structure that begins at `base`, or a lock. */
static bool within(unsigned long object, const void *field, size_t size, const char *name, u64 instance,
		   struct race_named *named)
{
	unsigned long start = (unsigned long)field & -8UL;

	if (object < start || object >= (unsigned long)field + size)
		return false;
	named->what = WHAT_FIELD;
	named->name = name;
	named->numbers[0] = instance;
	named->numbers[1] = object - start;
	named->numbers[3] = *(u64 *)object;
	return true;
}

static bool name_field_of(unsigned long object, const char *structure, void *base, u64 instance,
			  struct race_named *named)
{
#define NAME_FIELD(type, field)						\
	if (sysfs_streq(structure, #type) &&				\
	    within(object, &((struct type *)base)->field, sizeof(((struct type *)base)->field),	\
		   #type "->" #field, instance, named))			\
		return true;
	RACE_FIELDS(NAME_FIELD)
	return false;
}

static bool name_field(unsigned long object, struct race_named *named)
{
	unsigned long page;
	int i;

	if (name_field_of(object, "kvm", machine_kvm, 0, named))
		return true;
	for (i = 0; i < machine_nr_vcpus; i++)
		if (name_field_of(object, "kvm_vcpu", machine_vcpu(i), i, named))
			return true;
	for (page = ENV_DIRECT_MAP + ENV_KERNEL_START; page < env_unused(); page += PAGE_SIZE) {
		struct kvm_mmu_page *sp = table_of(page);

		if (sp && name_field_of(object, "kvm_mmu_page", sp, env_serial(sp->spt), named))
			return true;
	}
	return false;
}

static bool name_lock(unsigned long object, struct race_named *named)
{
	struct kvm *kvm = machine_kvm;
	const struct { const struct lockdep_map *map; const char *name; } locks[] = {
		{ &kvm->mmu_lock.dep_map, "mmu_lock" },
		{ &kvm->slots_lock.dep_map, "slots_lock" },
		{ &kvm->slots_arch_lock.dep_map, "slots_arch_lock" },
		{ &kvm->lock.dep_map, "kvm->lock" },
		{ &kvm->mn_invalidate_lock.dep_map, "mn_invalidate_lock" },
		{ &kvm->arch.tdp_mmu_pages_lock.dep_map, "tdp_mmu_pages_lock" },
		{ &kvm->arch.mmu_unsync_pages_lock.dep_map, "mmu_unsync_pages_lock" },
		{ &kvm->srcu.dep_map, "kvm->srcu" },
		{ &current->mm->mmap_lock.dep_map, "mmap_lock" },
		{ &rcu_lock_map, "RCU" },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(locks); i++)
		if (object == ((unsigned long)locks[i].map & -8UL))
			return within(object, locks[i].map, 8, locks[i].name, 0, named);
	if (within(object, &nx_huge_pages, sizeof(nx_huge_pages), "nx_huge_pages", 0, named) ||
	    within(object, env_rcu_callbacks(), 8, "RCU callbacks", 0, named) ||
	    within(object, history, 8, "what happens", 0, named))
		return true;
	i = race_cpu_of_guest(object);
	return i >= 0 && within(object, (void *)object, 8, "guest", i, named);
}

static bool name_dirty_bitmap(unsigned long object, struct race_named *named)
{
	struct kvm_memory_slot *slot;
	int as_id, bucket;

	for (as_id = 0; as_id < 2; as_id++)
		kvm_for_each_memslot(slot, bucket, rcu_dereference_raw(machine_kvm->memslots[as_id]))
			if (slot->dirty_bitmap && within(object, slot->dirty_bitmap, 2 * kvm_dirty_bitmap_bytes(slot),
							 "memslot->dirty_bitmap", slot->id, named))
				return true;
	return false;
}

void race_name_object(unsigned long object, struct race_named *named)
{
	object &= -8UL;
	memset(named, 0, sizeof(*named));
	if (name_spte(object, named) || name_frame(object, named) || name_word(object, named) || name_lock(object, named) ||
	    name_field(object, named) || name_dirty_bitmap(object, named) || name_host_entry(object, named))
		return;
	named->what = race_is_kernel_memory(object) ? WHAT_MEMORY : WHAT_SYMBOL;
	named->numbers[0] = object;
}
