// SPDX-License-Identifier: GPL-2.0-only
/* The machinery of single functions: the table of entries, events, BUGs. */
#include <linux/string.h>
#include "shim.h"

#define EXPORT __attribute__((visibility("default")))

extern const struct shim_entry *const __start_shim_entries[], *const __stop_shim_entries[];

static u64 nowhere[8];
volatile u64 *shim_at = nowhere;

EXPORT unsigned long shim_nr_entries(void)
{
	return __stop_shim_entries - __start_shim_entries;
}

EXPORT const struct shim_entry *shim_entry(unsigned long i)
{
	return __start_shim_entries[i];
}

EXPORT void shim_run(unsigned long entry, const u64 *in, u64 *out, unsigned long n, u64 *at)
{
	shim_at = at;
	__start_shim_entries[entry]->run(in, out, n);
	shim_at = nowhere;
}

EXPORT void shim_configure(const u64 *host)
{
	shim_set_host(host);
}

/* Events */

#define NR_EXPECTED	7
#define NAME_LEN	80

static char expected[NR_EXPECTED][NAME_LEN];
static char unexpected[NAME_LEN];
u64 shim_events;
int shim_events_muted;

EXPORT void shim_expect(unsigned int slot, const char *name)
{
	int i;

	for (i = 0; name[i] && i < NAME_LEN - 1; i++)
		expected[slot][i] = name[i];
	expected[slot][i] = 0;
	unexpected[0] = 0;
}

/* The last event that has no slot of its own, or "". */
EXPORT const char *shim_unexpected(void)
{
	return unexpected;
}

static bool is_event(const char *slot, const char *kind, const char *name)
{
	while (*kind && *slot == *kind)
		slot++, kind++;
	if (*kind || *slot++ != ' ')
		return false;
	while (*name && *slot == *name)
		slot++, name++;
	return !*name && !*slot;
}

void shim_event(const char *kind, const char *name)
{
	int slot, i = 0;

	if (shim_events_muted)
		return;
	for (slot = 0; slot < NR_EXPECTED; slot++)
		if (is_event(expected[slot], kind, name))
			break;
	if (slot == NR_EXPECTED) {
		while (*kind && i < NAME_LEN / 4)
			unexpected[i++] = *kind++;
		unexpected[i++] = ' ';
		while (*name && i < NAME_LEN - 1)
			unexpected[i++] = *name++;
		unexpected[i] = 0;
	}
	shim_events += 1ULL << (8 * slot);
}

void shim_warn(const char *function)
{
	shim_event("WARN", function);
}

void *shim_bug_return[5];
int shim_bug_armed;

void __noreturn shim_bug(const char *function)
{
	shim_event("BUG", function);
	if (!shim_bug_armed)
		__builtin_trap();
	__builtin_longjmp(shim_bug_return, 1);
}
