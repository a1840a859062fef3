// SPDX-License-Identifier: GPL-2.0-only
/*
 * In place of native.c where the code is executed on symbols (conformance/symbolic): nothing traps there.  The
 * executor sees every write, and does with the watched word what native.c does.
 */
#include "front.h"
#include "shim.h"

/* Where it is: in the host's memory, where a table would be, and no walk comes so far.  Read by the executor. */
u64 *const shim_watched_word = (u64 *)&shim_memory[(SHIM_MEMORY_PAGES - 1) << PAGE_SHIFT];
u64 shim_watching, shim_race, shim_raced, shim_accesses;
int shim_stop_at_write;

u64 *shim_watch(u64 value, u64 other)
{
	*shim_watched_word = value;
	shim_raced = other;
	shim_watching = shim_race = 1;
	shim_accesses = 0;
	return shim_watched_word;
}

u64 shim_watched(u64 *value)
{
	shim_watching = 0;
	*value = *shim_watched_word;
	return shim_accesses;
}
