// SPDX-License-Identifier: GPL-2.0-only
/*
 * The processor's half of the MMU: it walks the tables in memory, sets Accessed and Dirty in them, logs
 * what it made dirty, and remembers translations until it is told to forget them.  EPT as in the Intel SDM,
 * volume 3, "The extended page table mechanism"; nested paging as in the AMD APM, volume 2.
 */
#include <linux/kvm_host.h>
#include "racing.h"
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

/* The bit that says that the fault was in translating the guest's final address, as both vendors have it. */
#define FINAL			BIT_ULL(32)

struct processor processors[MAX_VCPUS];

static bool has_ad_bits(void)
{
	return !env_host[HOST_EPT] || env_host[HOST_AD_BITS];
}

static u64 accessed_bit(void)
{
	return env_host[HOST_EPT] ? EPT_ACCESSED : NPT_ACCESSED;
}

static u64 dirty_bit(void)
{
	return env_host[HOST_EPT] ? EPT_DIRTY : NPT_DIRTY;
}

/* What an entry allows; false if it is not present. */
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

	/* An EPT misconfiguration tells nothing of the access. */
	if (reserved && env_host[HOST_EPT])
		return (struct exit){ true, PFERR_RSVD_MASK };
	if (kind == ACCESS_WRITE)
		code |= PFERR_WRITE_MASK;
	if (kind == ACCESS_FETCH)
		code |= PFERR_FETCH_MASK;
	/* To NPT every access is one of user mode; of EPT's exits KVM calls reads so. */
	if (!env_host[HOST_EPT] || kind == ACCESS_READ)
		code |= PFERR_USER_MASK;
	if (env_host[HOST_EPT] ? rights : present)
		code |= PFERR_PRESENT_MASK;
	if (reserved)
		code |= PFERR_RSVD_MASK;
	return (struct exit){ reserved, code };
}

/* The entries by level down to the leaf, and what was read there; of a level that was skipped there is none. */
struct table_walk { u64 *entries[5], seen[5]; int level, rights; };

/* Walk for gfn: the entries by level down to the leaf, and what they all allow; false and why not. */
static bool walk(struct processor *cpu, u64 gfn, int kind, struct table_walk *path, struct exit *exit)
{
	struct cached_table start = { .table = cpu->root, .level = 4, .rights = RIGHTS };
	u64 *table;
	int level, rights;
	bool reserved;

	race_find_table(cpu, gfn, &start);
	memset(path, 0, sizeof(*path));
	path->rights = start.rights;
	table = __va(start.table);
	for (level = start.level;; level--) {
		u64 entry;

		path->entries[level] = &table[(gfn >> (9 * (level - 1))) & 511];
		race_point(RACE_READ, path->entries[level]);
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
		table = __va(entry & ADDRESS_MASK);
		race_keep_table(cpu, gfn, level - 1, entry & ADDRESS_MASK, path->rights);
	}
	*exit = exit_for(kind, path->rights, true, false);
	return path->rights & kind;
}

/* Set bits in one go with making sure that the entry says what it said, but for those bits; false if not. */
static bool set_bits_in(u64 *entry, u64 *seen, u64 bits)
{
	if (!(bits & ~*seen))
		return true;
	race_point(RACE_RMW, entry);
	if ((READ_ONCE(*entry) ^ *seen) & ~(accessed_bit() | dirty_bit()))
		return false;
	__asm__ volatile("lock orq %1, %0" : "+m"(*entry) : "r"(bits) : "memory");
	*seen = *entry;
	return true;
}

/*
 * What a walk that succeeds leaves in the entries it used, and in the log of pages made dirty; false if one of
 * them has changed since it was read.
 */
static bool set_accessed_and_dirty(struct processor *cpu, struct table_walk *path, u64 gfn, int kind)
{
	u64 bits = accessed_bit() | (kind == ACCESS_WRITE ? dirty_bit() : 0);
	bool clean = bits & dirty_bit() & ~path->seen[path->level];
	int level;

	for (level = 4; level > path->level; level--)
		if (path->entries[level] && !set_bits_in(path->entries[level], &path->seen[level], accessed_bit()))
			return false;
	if (!set_bits_in(path->entries[level], &path->seen[level], bits))
		return false;
	if (clean && cpu->pml_enabled)
		cpu->pml[cpu->nr_pml++] = gfn;
	return true;
}

static u64 base(u64 gfn, int level)
{
	return gfn & ~((1ULL << (9 * (level - 1))) - 1);
}

static struct translation *find(struct processor *cpu, u64 gfn, int level)
{
	u64 serial = env_serial(__va(cpu->root));
	int i;

	for (i = 0; i < cpu->nr_tlb; i++) {
		struct translation *t = &cpu->tlb[i];

		if (t->level == level && t->gfn == base(gfn, level) && t->serial == serial)
			return t;
	}
	return NULL;
}

/* The remembered translation that lets the access through, if any; one that forbids it is forgotten. */
static struct translation *hit(struct processor *cpu, u64 gfn, int kind)
{
	int level;

	for (level = 1; level <= 3; level++) {
		struct translation *t = find(cpu, gfn, level);

		if (!t)
			continue;
		if (t->rights & kind)
			return kind != ACCESS_WRITE || t->dirty ? t : NULL;
		*t = cpu->tlb[--cpu->nr_tlb];
		return NULL;
	}
	return NULL;
}

static struct translation *remember(struct processor *cpu, u64 gfn, struct table_walk *path, int kind)
{
	struct translation *t = find(cpu, gfn, path->level);
	u64 leaf = path->seen[path->level];

	if (!t) {
		if (cpu->nr_tlb == TLB_ENTRIES)
			env_die(ENV_LIMIT, "the TLB is full", 0);
		t = &cpu->tlb[cpu->nr_tlb++];
	}
	*t = (struct translation){
		.serial = env_serial(__va(cpu->root)),
		.gfn = base(gfn, path->level),
		.pfn = base((leaf & ADDRESS_MASK) >> PAGE_SHIFT, path->level),
		.level = path->level,
		.rights = path->rights,
		/* Without Dirty bits, what was written through counts as dirty. */
		.dirty = has_ad_bits() ? !!(leaf & dirty_bit()) : kind == ACCESS_WRITE,
	};
	return t;
}

/* The access itself: nobody can hold it up any more, but others may get something done before. */
static void go_through(struct processor *cpu, const struct translation *t, u64 gfn, int kind)
{
	u64 pfn = t->pfn + gfn - t->gfn;

	race_point(RACE_MARK, race_history);
	race_event(EVENT_ACCESS, 4, (u64)(cpu - processors), gfn, (u64)kind, pfn);
}

/* One access at the processor's current root: true if it goes through, else what the exit tells. */
bool processor_access(struct processor *cpu, u64 gfn, int kind, struct exit *exit)
{
	struct translation *t = hit(cpu, gfn, kind);
	struct table_walk path;

	if (!t) {
		do
			if (!walk(cpu, gfn, kind, &path, exit))
				return false;
		while (has_ad_bits() && !set_accessed_and_dirty(cpu, &path, gfn, kind));
		t = remember(cpu, gfn, &path, kind);
	}
	go_through(cpu, t, gfn, kind);
	return true;
}

void processor_flush(struct processor *cpu)
{
	cpu->nr_tlb = 0;
	race_forget_tables(cpu);
	cpu->flushes++;
}
