// SPDX-License-Identifier: GPL-2.0-only
/* The writes of kernel code to the watched word. */
#include <linux/types.h>
#include "shim.h"

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
