// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a task holds: locks, and read-side critical sections of RCU and SRCU.  The kernel's own assertions ask for
 * it; complained of are recursive locking, releasing what is not held, and ending a step with a lock held.
 */
#include <linux/lockdep.h>
#include <linux/rcupdate.h>
#include "process/events.h"
#include "process/scheduler.h"
#include "process/stand_in.h"
#include "lockdep.h"

static struct env_holder task;
struct env_holder *env_holder = &task;
const struct lock_hooks *lock_hooks;
static u64 last_ticket;

static int parked;

int env_debug_locks STANDS_IN(debug_locks) = 1;
/* Interrupts never come, so lockdep sees them as always enabled. */
DEFINE_PER_CPU(int, hardirqs_enabled) = 1;

struct lockdep_map rcu_lock_map, rcu_sched_lock_map;

bool env_holds(const struct lockdep_map *map, int read)
{
	int i;

	for (i = env_holder->nr - 1; i >= 0; i--)
		if (env_holder->held[i].map == map && (read < 0 || !!env_holder->held[i].read == !!read))
			return true;
	return false;
}

u64 env_ticket(void)
{
	return ++last_ticket;
}

void env_take(const struct lockdep_map *map, int read)
{
	if (read ? env_holds(map, 0) : env_holds(map, -1))
		env_complain("LOCKDEP", "a lock is taken that is held already");
	if (env_holder->nr == MAX_HELD)
		env_die(ENV_LIMIT, "too many locks are held", (unsigned long)__builtin_return_address(0));
	env_holder->held[env_holder->nr++] = (struct env_held){ map, read, env_ticket() };
}

void env_give(const struct lockdep_map *map)
{
	struct env_held *held = env_holder->held;
	int i;

	for (i = env_holder->nr - 1; i >= 0 && held[i].map != map; i--)
		;
	if (i < 0) {
		env_complain("LOCKDEP", "a lock is released that is not held");
		return;
	}
	for (env_holder->nr--; i < env_holder->nr; i++)
		held[i] = held[i + 1];
}

bool env_is_reader(void)
{
	return env_holds(&rcu_lock_map, -1) || env_holds(&rcu_sched_lock_map, -1);
}

int env_readers(void)
{
	return env_is_reader() + parked;
}

int env_parked_readers(const struct lockdep_map *map)
{
	return map == &rcu_lock_map ? parked : 0;
}

void env_park_reader(void)
{
	env_give(&rcu_lock_map);
	preempt_enable_no_resched();
	parked++;
}

void env_resume_reader(void)
{
	parked--;
	preempt_disable();
	env_take(&rcu_lock_map, 2);
}

void env_locks_at_end_of_step(void)
{
	if (env_holder->nr || preempt_count())
		env_complain("LOCKDEP", "a step ends with a lock held");
	env_holder->nr = 0;
	preempt_count_set(0);
}

/*
 * What the kernel reports to lockdep, RCU and SRCU included.  Units in which threads of a race do not stop call
 * these two instead (build.py).
 */
void env_lock_acquire(struct lockdep_map *map, unsigned int subclass, int trylock, int read, int check,
		      struct lockdep_map *nest, unsigned long ip)
{
	env_take(map, read);
}

void env_lock_release(struct lockdep_map *map, unsigned long ip)
{
	env_give(map);
}

void lock_acquire(struct lockdep_map *map, unsigned int subclass, int trylock, int read, int check,
		  struct lockdep_map *nest, unsigned long ip)
{
	/* Readers of RCU and SRCU never wait, but grace periods wait for them; none does for rcu_sched here. */
	if (read == 2 && map != &rcu_sched_lock_map)
		sched_point_of(POINT_LOCK_SHARED, map, __builtin_return_address(0));
	env_take(map, read);
}

void lock_release(struct lockdep_map *map, unsigned long ip)
{
	if (env_holds(map, 1) && map != &rcu_sched_lock_map)
		sched_point_of(POINT_UNLOCK, map, __builtin_return_address(0));
	env_give(map);
}

int lock_is_held_type(const struct lockdep_map *map, int read)
{
	return env_holds(map, read);
}

int rcu_read_lock_held(void)
{
	return env_is_reader();
}
