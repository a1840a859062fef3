// SPDX-License-Identifier: GPL-2.0-only
/*
 * The processor's part of the MMU: it walks the tables in memory, sets Accessed and Dirty in them, logs what it made
 * dirty, and caches translations until it is flushed.  Tables of linear addresses are walked by linear_walk.c.  EPT as in the Intel SDM, volume 3, "The extended page table
 * mechanism"; nested paging as in the AMD APM, volume 2.
 */
#include <linux/kvm_host.h>
#include "kernel/memory.h"
#include "process/exchange.h"
#include "process/scheduler.h"
#include "processor.h"
#include "mmu.h"

#define ADDRESS_MASK		GENMASK_ULL(51, 12)
/* Address bits beyond MAXPHYADDR, which is 48. */
#define RESERVED_ADDRESS	GENMASK_ULL(51, 48)
#define HUGE			BIT_ULL(7)

#define EPT_ACCESSED		BIT_ULL(8)
#define EPT_DIRTY		BIT_ULL(9)
#define NPT_ACCESSED		BIT_ULL(5)
#define NPT_DIRTY		BIT_ULL(6)
#define NPT_PRESENT		BIT_ULL(0)
#define NPT_WRITABLE		BIT_ULL(1)
#define NPT_USER		BIT_ULL(2)
#define NPT_NX			BIT_ULL(63)

/* The fault was in translating the guest's final address; the same bit with both vendors. */
#define FINAL			BIT_ULL(32)

u64 env_host[NR_HOST];
struct processor processors[MAX_VCPUS];
const struct processor_hooks *processor_hooks;

static bool has_ad_bits(const struct processor *cpu)
{
	return !env_host[HOST_EPT] || (env_host[HOST_AD_BITS] && !cpu->no_ad);
}

static u64 accessed_bit(void)
{
	return env_host[HOST_EPT] ? EPT_ACCESSED : NPT_ACCESSED;
}

static u64 dirty_bit(void)
{
	return env_host[HOST_EPT] ? EPT_DIRTY : NPT_DIRTY;
}

u64 *processor_table(u64 address)
{
	static u64 zero[PTRS_PER_PTE];

	return address < ENV_KERNEL_END ? __va(address) : zero;
}

/* The rights of an entry, and whether it has reserved bits set; false if it is not present. */
static bool decode(u64 entry, int *rights, bool *reserved)
{
	*reserved = entry & RESERVED_ADDRESS;
	if (env_host[HOST_EPT]) {
		*rights = entry & 7;
		*reserved |= (*rights & (ACCESS_READ | ACCESS_WRITE)) == ACCESS_WRITE;
		return *rights;
	}
	*rights = 0;
	if (entry & NPT_USER)
		*rights = ACCESS_READ | (entry & NPT_WRITABLE ? ACCESS_WRITE : 0) |
			  (entry & NPT_NX ? 0 : ACCESS_FETCH);
	return entry & NPT_PRESENT;
}

static struct exit exit_for(int kind, int rights, bool present, bool reserved)
{
	u64 code = FINAL;

	/* An EPT misconfiguration does not report the access. */
	if (reserved && env_host[HOST_EPT])
		return (struct exit){ true, PFERR_RSVD_MASK };
	if (kind == ACCESS_WRITE)
		code |= PFERR_WRITE_MASK;
	if (kind == ACCESS_FETCH)
		code |= PFERR_FETCH_MASK;
	/* With NPT every access is a user access; of EPT violations, KVM reports reads as such. */
	if (!env_host[HOST_EPT] || kind == ACCESS_READ)
		code |= PFERR_USER_MASK;
	if (env_host[HOST_EPT] ? rights : present)
		code |= PFERR_PRESENT_MASK;
	if (reserved)
		code |= PFERR_RSVD_MASK;
	return (struct exit){ reserved, code };
}

/* Walk for gfn: true if the entries allow the access, else false and the exit. */
static bool walk(struct processor *cpu, u64 gfn, int kind, struct table_walk *path, struct exit *exit)
{
	struct cached_table start = { .table = cpu->root, .level = 4, .rights = RIGHTS };
	u64 *table;
	int level, rights;
	bool reserved;

	if (unlikely(processor_hooks))
		processor_hooks->find_table(cpu, gfn, &start);
	memset(path, 0, sizeof(*path));
	path->rights = start.rights;
	table = processor_table(start.table);
	for (level = start.level;; level--) {
		u64 entry;

		path->entries[level] = &table[(gfn >> (9 * (level - 1))) & 511];
		sched_point(POINT_READ, path->entries[level]);
		entry = READ_ONCE(*path->entries[level]);
		path->seen[level] = entry;
		if (!decode(entry, &rights, &reserved)) {
			*exit = exit_for(kind, 0, false, false);
			return false;
		}
		if (reserved) {
			*exit = exit_for(kind, 0, true, true);
			return false;
		}
		path->rights &= rights;
		path->level = level;
		if (level == 1 || entry & HUGE)
			break;
		table = processor_table(entry & ADDRESS_MASK);
		if (unlikely(processor_hooks))
			processor_hooks->cache_table(cpu, gfn, level - 1, entry & ADDRESS_MASK, path->rights);
	}
	*exit = exit_for(kind, path->rights, true, false);
	return path->rights & kind;
}

/* Set bits, atomically with checking that the entry has not changed but for Accessed and Dirty; false if it has. */
static bool set_bits_in(u64 *entry, u64 *seen, u64 bits)
{
	if (!(bits & ~*seen))
		return true;
	sched_point(POINT_RMW, entry);
	if ((READ_ONCE(*entry) ^ *seen) & ~(accessed_bit() | dirty_bit()))
		return false;
	__asm__ volatile("lock orq %1, %0" : "+m"(*entry) : "r"(bits) : "memory");
	*seen = *entry;
	return true;
}

/*
 * Set Accessed and Dirty in the entries of a walk, and log the page if it was clean; false if an entry has changed
 * since it was read.
 */
static bool set_accessed_and_dirty(struct processor *cpu, struct table_walk *path, u64 gfn, int kind)
{
	u64 bits = accessed_bit() | (kind == ACCESS_WRITE ? dirty_bit() : 0);
	bool clean = bits & dirty_bit() & ~path->seen[path->level];
	int level;

	for (level = MAX_LEVEL; level > path->level; level--)
		if (path->entries[level] && !set_bits_in(path->entries[level], &path->seen[level], accessed_bit()))
			return false;
	if (!set_bits_in(path->entries[level], &path->seen[level], bits))
		return false;
	if (clean && cpu->pml_enabled && !cpu->in_l2)
		cpu->pml[cpu->nr_pml++] = gfn;
	return true;
}

static u64 base(u64 gfn, int level)
{
	return gfn & ~((1ULL << (9 * (level - 1))) - 1);
}

/* What a translation belongs to: with shadow paging a PCID, as the guest's own tables would; else a root. */
static u64 tag_of(struct processor *cpu)
{
	return env_host[HOST_TDP] ? env_serial(__va(cpu->root)) : 0;
}

static struct translation *find(struct processor *cpu, const struct reference *ref, int level)
{
	u64 serial = tag_of(cpu);
	int i;

	for (i = 0; i < cpu->nr_tlb; i++) {
		struct translation *t = &cpu->tlb[i];

		if (t->level == level && t->gfn == base(ref->page, level) && t->serial == serial &&
		    t->pcid == ref->pcid)
			return t;
	}
	return NULL;
}

bool processor_allows(int rights, const struct reference *ref)
{
	if (ref->user && !(rights & RIGHT_USER))
		return false;
	if (!ref->user && rights & RIGHT_USER && (ref->kind == ACCESS_FETCH ? ref->smep : ref->smap))
		return false;
	return rights & ref->kind;
}

/* The cached translation that allows the access, or NULL; one that forbids it is dropped. */
static struct translation *hit(struct processor *cpu, const struct reference *ref)
{
	int level;

	for (level = 1; level <= 3; level++) {
		struct translation *t = find(cpu, ref, level);

		if (!t)
			continue;
		if (processor_allows(t->rights, ref))
			return ref->kind != ACCESS_WRITE || t->dirty ? t : NULL;
		*t = cpu->tlb[--cpu->nr_tlb];
		return NULL;
	}
	return NULL;
}

static struct translation *cache(struct processor *cpu, const struct reference *ref, struct table_walk *path)
{
	struct translation *t = find(cpu, ref, path->level);
	u64 leaf = path->seen[path->level];

	if (!t) {
		if (cpu->nr_tlb == TLB_ENTRIES)
			env_die(ENV_LIMIT, "the TLB is full", 0);
		t = &cpu->tlb[cpu->nr_tlb++];
	}
	*t = (struct translation){
		.serial = tag_of(cpu),
		.tdp_mmu = cpu->tdp_mmu,
		.pcid = ref->pcid,
		.gfn = base(ref->page, path->level),
		.pfn = base((leaf & ADDRESS_MASK) >> PAGE_SHIFT, path->level),
		.level = path->level,
		.rights = path->rights,
		/* Without Dirty bits, a translation that was written through counts as dirty. */
		.dirty = has_ad_bits(cpu) ? !!(leaf & dirty_bit()) : ref->kind == ACCESS_WRITE,
	};
	return t;
}

/* The access itself: it cannot fault any more, but other threads may run before it. */
static void do_access(struct processor *cpu, const struct translation *t, u64 gfn, int kind)
{
	u64 pfn = t->pfn + gfn - t->gfn;

	sched_point(POINT_MARK, history);
	record_event(EVENT_ACCESS, 4, (u64)(cpu - processors), gfn,
		     (u64)kind, pfn);
}

const struct translation *processor_access(struct processor *cpu, const struct reference *ref, struct exit *exit)
{
	struct translation *t = hit(cpu, ref);
	struct table_walk path;

	if (!t) {
		do
			if (env_host[HOST_TDP] ? !walk(cpu, ref->page, ref->kind, &path, exit) :
						 !linear_walk(cpu, ref, &path, exit))
				return NULL;
		while (has_ad_bits(cpu) && !set_accessed_and_dirty(cpu, &path, ref->page, ref->kind));
		t = cache(cpu, ref, &path);
	}
	do_access(cpu, t, ref->page, ref->kind);
	return t;
}

void processor_flush(struct processor *cpu)
{
	cpu->nr_tlb = 0;
	if (unlikely(processor_hooks))
		processor_hooks->drop_tables(cpu);
	cpu->flushes++;
}

void processor_enter_l2(struct processor *cpu, bool ad)
{
	cpu->in_l2 = true;
	cpu->no_ad = !ad;
}

void processor_leave_l2(struct processor *cpu)
{
	cpu->in_l2 = cpu->no_ad = false;
}

void processor_flush_address(struct processor *cpu, u64 address)
{
	u64 page = address >> PAGE_SHIFT;
	int i;

	for (i = 0; i < cpu->nr_tlb;) {
		struct translation *t = &cpu->tlb[i];

		if (t->gfn == base(page, t->level))
			*t = cpu->tlb[--cpu->nr_tlb];
		else
			i++;
	}
}
