/* SPDX-License-Identifier: GPL-2.0-only */
/* What a task holds: locks, and read-side critical sections of RCU and SRCU. */
#ifndef CONFORMANCE_KVM_LOCKDEP_H
#define CONFORMANCE_KVM_LOCKDEP_H

#include <linux/lockdep_types.h>
#include <linux/types.h>

#define MAX_HELD	64

/* Each acquisition has a ticket; tickets increase. */
struct env_held { const struct lockdep_map *map; int read; u64 ticket; };
struct env_holder { struct env_held held[MAX_HELD]; int nr; };
/* Of the running task. */
extern struct env_holder *env_holder;

/* A race waits where another thread holds what is wanted. */
struct lock_hooks {
	void (*lock)(const struct lockdep_map *map, int read, const void *caller);
	/* Until all that are readers now have left. */
	void (*wait_for_readers)(const struct lockdep_map *map);
};

/* NULL in an ordinary machine, where no lock is ever contended. */
extern const struct lock_hooks *lock_hooks;

u64 env_ticket(void);
/* read: 0 exclusively, 1 shared, -1 either. */
bool env_holds(const struct lockdep_map *map, int read);
/* read: 0 exclusively, 1 shared, 2 shared and recursive. */
void env_take(const struct lockdep_map *map, int read);
void env_give(const struct lockdep_map *map);

bool env_is_reader(void);
/* How many readers of RCU there are, parked ones included. */
int env_readers(void);
/* How many parked readers the grace period of a lock waits for. */
int env_parked_readers(const struct lockdep_map *map);
/* A parked reader is another task, which makes no progress: the running task does not hold what it holds. */
void env_park_reader(void);
void env_resume_reader(void);

/* Complain of what is still held, and drop it. */
void env_locks_at_end_of_step(void);

#endif
