// SPDX-License-Identifier: GPL-2.0-only
/* Complaints of the kernel, and of the environment about the kernel: a line each, in order. */
#include <linux/kernel.h>
#include <linux/refcount.h>
#include "events.h"

void env_complain(const char *kind, const char *what)
{
	unsigned long at = env_exchange->events_length;
	const char *parts[] = { kind, " ", what, "\n" };
	int i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		const char *p = parts[i];

		while (*p && at < sizeof(env_exchange->events))
			env_exchange->events[at++] = *p++;
	}
	env_exchange->events_length = at;
}

void __noreturn env_bug(const char *function)
{
	env_die(ENV_BUG, function, (unsigned long)__builtin_return_address(0));
}

/* The text of a WARN is not observed; the WARN itself is. */
int _printk(const char *format, ...)
{
	return 0;
}

void refcount_warn_saturate(refcount_t *r, enum refcount_saturation_type t)
{
	env_complain("WARN", "refcount_warn_saturate");
}
