// SPDX-License-Identifier: GPL-2.0-only
/* Per-CPU counters: with one CPU, the count itself. */
#include <linux/percpu_counter.h>
#include "process/stand_in.h"

/* How much CPUs count for themselves: it does not matter to one CPU. */
int percpu_counter_batch = 32;

void env_percpu_counter_add(struct percpu_counter *counter, s64 amount, s32 batch) STANDS_IN(percpu_counter_add_batch);
void env_percpu_counter_add(struct percpu_counter *counter, s64 amount, s32 batch)
{
	counter->count += amount;
}
