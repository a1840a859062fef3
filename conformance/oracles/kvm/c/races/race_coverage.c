// SPDX-License-Identifier: GPL-2.0-only
/*
 * The execution counters of a library for coverage, in a race.  Each schedule rewinds the memory that they are in, so
 * that they are kept in a table which is not rewound.
 */
#include <linux/types.h>
#include "race.h"

#define NR_COUNTS	(1UL << RACE_COUNTS_BITS)

struct race_count *race_counts;

unsigned long conformance_coverage(void *to, unsigned long size);

/* What counts in code that is compiled with -fprofile-update=atomic and -fsanitize=thread; nothing else calls it. */
u64 __tsan_atomic64_fetch_add(volatile u64 *counter, u64 value, int order);
u64 __tsan_atomic64_fetch_add(volatile u64 *counter, u64 value, int order)
{
	unsigned long slot = (unsigned long)counter / sizeof(*counter) % NR_COUNTS;

	while (race_counts[slot].counter && race_counts[slot].counter != counter)
		slot = (slot + 1) % NR_COUNTS;
	race_counts[slot].counter = counter;
	race_counts[slot].n += value;
	return 0;
}

/* As conformance_coverage(), of all schedules. */
__attribute__((visibility("default"))) unsigned long race_coverage(void *to, unsigned long size);
unsigned long race_coverage(void *to, unsigned long size)
{
	unsigned long slot;

	for (slot = 0; slot < NR_COUNTS; slot++)
		if (race_counts[slot].counter)
			*race_counts[slot].counter = race_counts[slot].n;
	return conformance_coverage(to, size);
}
