// SPDX-License-Identifier: GPL-2.0-only
/* The points of an environment that no race has hooked, and their way to one that has. */
#include "scheduler.h"

const struct sched_hooks *sched_hooks;
const struct history_hooks *history_hooks;
u64 history[1];

noinline void sched_stop(enum point_kind kind, const volatile void *object)
{
	if (racing())
		sched_hooks->point(kind, object, __builtin_return_address(0));
}

noinline void sched_wait(const void *object, sched_condition over, u64 since)
{
	if (racing())
		sched_hooks->wait(POINT_WAIT, object, over, since, __builtin_return_address(0));
}
