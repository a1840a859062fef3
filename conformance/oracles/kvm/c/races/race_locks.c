// SPDX-License-Identifier: GPL-2.0-only
/*
 * What threads wait for: locks that others hold, readers of RCU and SRCU, CPUs that take no interrupt, and in a spin
 * loop any move of another thread.  Each acquisition has a ticket: a wait for readers ignores later ones.
 */
#include <linux/smp.h>
#include "process/stand_in.h"
#include "racing.h"

/* A CPU in guest mode takes no interrupt until the instruction is over. */
static struct lockdep_map in_guest[MAX_CPUS];

static bool is_free(const void *map, u64 write)
{
	return !race_others_hold(map, !write, -1ULL);
}

void race_lock(const struct lockdep_map *map, int read, const void *caller)
{
	race_wait(read ? POINT_LOCK_SHARED : POINT_LOCK, map, is_free, !read, caller);
}

static bool are_through(const void *map, u64 since)
{
	return !race_others_hold(map, false, since) && !env_parked_readers(map);
}

void race_wait_for_readers(const struct lockdep_map *map)
{
	race_wait(POINT_WAIT, map, are_through, env_ticket(), __builtin_return_address(0));
}

void race_enter_guest(int cpu)
{
	env_take(&in_guest[cpu], 2);
}

void race_leave_guest(int cpu)
{
	sched_stop(POINT_UNLOCK, &in_guest[cpu]);
	env_give(&in_guest[cpu]);
}

int race_cpu_of_guest(unsigned long object)
{
	unsigned long offset = object - ((unsigned long)in_guest & -8UL);

	return offset < sizeof(in_guest) ? offset / sizeof(in_guest[0]) : -1;
}

/* An interrupt for each CPU in a mask: `func` is not called, but the CPU has to take the interrupt. */
void env_smp_call_many(const unsigned long *mask, smp_call_func_t func, void *info, bool wait)
	STANDS_IN(smp_call_function_many);
void env_smp_call_many(const unsigned long *mask, smp_call_func_t func, void *info, bool wait)
{
	u64 since = env_ticket();
	int cpu;

	for (cpu = 0; wait && cpu < MAX_CPUS; cpu++) {
		if (!(*mask & 1UL << cpu))
			continue;
		race_wait(POINT_WAIT, &in_guest[cpu], are_through, since, __builtin_return_address(0));
		race_wait_for_walk(cpu, __builtin_return_address(0));
	}
}

static bool has_moved(const void *object, u64 moves)
{
	return race_moves() != moves;
}

/* cpu_relax(): a thread that spins looks again after another thread has moved. */
void env_race_relax(void);
void env_race_relax(void)
{
	if (racing())
		race_wait(POINT_WAIT, race_last_object(), has_moved, race_moves(), __builtin_return_address(0));
}

static void interrupt(int cpu)
{
}

/* A kick does not wait: a vCPU leaves the guest after each instruction anyway. */
struct smp_ops smp_ops = { .smp_send_reschedule = interrupt };
