// SPDX-License-Identifier: GPL-2.0-only
/* Counters that are spread over CPUs, of which there is one: each is its sum. */
#include <linux/percpu_counter.h>
#include "environment.h"

void env_percpu_counter_add(struct percpu_counter *counter, s64 amount, s32 batch) STANDS_IN(percpu_counter_add_batch);
void env_percpu_counter_add(struct percpu_counter *counter, s64 amount, s32 batch)
{
	counter->count += amount;
}
