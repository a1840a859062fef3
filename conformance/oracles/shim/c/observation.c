// SPDX-License-Identifier: GPL-2.0-only
/* What only kernel code compiled for it tells: its writes to the watched word, and which functions ran. */
#include <linux/types.h>
#include "shim.h"

#define EXPORT __attribute__((visibility("default")))

/* What -finstrument-functions calls. */
void __cyg_profile_func_enter(void *function, void *caller);
void __cyg_profile_func_exit(void *function, void *caller);

/*
 * Which functions ran, in a library that is built to tell (build.py): the compiler has each of the kernel's
 * functions call this as it begins, one that was folded into another too.
 */

#define NR_COVERED	4096		/* far more than a shim has functions */

extern const char __ehdr_start[];	/* where the library begins in memory */

static void *covered[NR_COVERED];

void __cyg_profile_func_enter(void *function, void *caller)
{
	unsigned long slot = (unsigned long)function / 16 % NR_COVERED;

	while (covered[slot] && covered[slot] != function)
		slot = (slot + 1) % NR_COVERED;
	covered[slot] = function;
}

void __cyg_profile_func_exit(void *function, void *caller)
{
}

/* Their offsets in the library; those since the last call. Returns how many there are, at most NR_COVERED. */
EXPORT unsigned long shim_covered(u64 *offsets)
{
	unsigned long n = 0;
	int slot;

	for (slot = 0; slot < NR_COVERED; slot++) {
		if (covered[slot])
			offsets[n++] = (const char *)covered[slot] - __ehdr_start;
		covered[slot] = NULL;
	}
	return n;
}

/* The watched word */

static u64 word, *watched;
static u64 raced;
static bool race;
static u64 accesses;
int shim_stop_at_write;

u64 *shim_watch(u64 value, u64 other)
{
	word = value;
	watched = &word;
	raced = other;
	race = true;
	accesses = 0;
	return &word;
}

u64 shim_watched(u64 *value)
{
	watched = NULL;
	*value = word;
	return accesses;
}

void shim_access(const volatile void *address, int atomic)
{
	if (address != watched || !watched)
		return;
	if (race)
		*watched = raced;
	race = false;
	accesses += atomic ? 1 << 8 : 1;
}

void shim_stored(const volatile void *address)
{
	if (address == watched && shim_stop_at_write)
		__builtin_longjmp(shim_bug_return, 1);
}
