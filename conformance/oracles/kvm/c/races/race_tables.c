// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paging-structure caches (Intel SDM, volume 3): a processor may cache entries of upper levels and start a walk
 * there, and so set Accessed and Dirty in a table that is not linked any more, until it is flushed.  In a race it
 * always does: KVM has to be correct with and without.
 */
#include "kernel/memory.h"
#include "racing.h"

#define NR_CACHED	16
static struct { struct cached_table tables[NR_CACHED]; int nr; } caches[MAX_VCPUS];

static u64 base_of(u64 gfn, int level)
{
	return gfn >> (9 * level);
}

static u64 root_of(const struct processor *cpu)
{
	return env_serial(__va(cpu->root));
}

static struct cached_table *find(struct processor *cpu, u64 gfn, int level)
{
	int i, vcpu = cpu - processors;

	for (i = 0; i < caches[vcpu].nr; i++) {
		struct cached_table *t = &caches[vcpu].tables[i];

		if (t->level == level && t->gfn == base_of(gfn, level) && t->serial == root_of(cpu))
			return t;
	}
	return NULL;
}

void race_find_table(struct processor *cpu, u64 gfn, struct cached_table *found)
{
	struct cached_table *t = NULL;
	int level;

	for (level = 1; !t && level <= 3; level++)
		t = find(cpu, gfn, level);
	if (t)
		*found = *t;
}

void race_cache_table(struct processor *cpu, u64 gfn, int level, u64 table, int rights)
{
	struct cached_table *t = find(cpu, gfn, level);
	int vcpu = cpu - processors;

	/* Tables that do not fit are not cached, as in a processor. */
	if (!t && caches[vcpu].nr == NR_CACHED)
		return;
	if (!t)
		t = &caches[vcpu].tables[caches[vcpu].nr++];
	*t = (struct cached_table){ root_of(cpu), base_of(gfn, level), table, level, rights };
}

void race_drop_tables(struct processor *cpu)
{
	caches[cpu - processors].nr = 0;
}
