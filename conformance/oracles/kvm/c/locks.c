// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks.  There is one thread, so none is ever waited for, but in a race (racing.h); what is kept is who holds
 * what, for the kernel's own assertions, and to tell what would have hung or gone wrong: to take a lock that is
 * held, to release one that is not, to sleep or to end a step with one held.
 */
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include "racing.h"

/* Of the function that stands in for the kernel's, whatever is inlined there. */
#define CALLER	__builtin_return_address(0)

static struct env_holder only;
struct env_holder *env_holder = &only;
static u64 last_ticket;

/* Readers of RCU that are parked. */
static int parked;

int env_debug_locks STANDS_IN(debug_locks) = 1;
/* As lockdep sees it: interrupts are never off, since none ever comes. */
DEFINE_PER_CPU(int, hardirqs_enabled) = 1;

struct lockdep_map rcu_lock_map, rcu_sched_lock_map;

static bool holds(const struct lockdep_map *map, int read)
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

/* read: 0 exclusively, 1 shared, 2 shared and may be taken again */
void env_take(const struct lockdep_map *map, int read)
{
	if (read ? holds(map, 0) : holds(map, -1))
		env_complain("LOCKDEP", "a lock is taken that is held already");
	if (env_holder->nr == MAX_HELD)
		env_die(ENV_BROKEN, "too many locks are held", (unsigned long)__builtin_return_address(0));
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
	return holds(&rcu_lock_map, -1) || holds(&rcu_sched_lock_map, -1);
}

/* How many readers RCU has to wait for, if any. */
int env_readers(void)
{
	return env_is_reader() + parked;
}

int env_parked_readers(const struct lockdep_map *map)
{
	return map == &rcu_lock_map ? parked : 0;
}

/* A reader of RCU is another task, which does nothing for now: what it holds does not count as ours. */
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
 * What the kernel announces to lockdep, RCU and SRCU among it.  Units in which no thread of a race can stop
 * announce it here, for there is nothing between their taking and giving.
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
	/* Readers of RCU and SRCU wait for nobody, but others do for them; of these here, KVM has none that matters. */
	if (read == 2 && map != &rcu_sched_lock_map)
		race_point_of(RACE_LOCK_SHARED, map, CALLER);
	env_take(map, read);
}

void lock_release(struct lockdep_map *map, unsigned long ip)
{
	if (holds(map, 1) && map != &rcu_sched_lock_map)
		race_point_of(RACE_UNLOCK, map, CALLER);
	env_give(map);
}

int lock_is_held_type(const struct lockdep_map *map, int read)
{
	return holds(map, read);
}

int rcu_read_lock_held(void)
{
	return env_is_reader();
}
/* Spinlocks and rwlocks keep the processor; so the kernel may not sleep while it holds one. */
static __always_inline void spin(struct lockdep_map *map, int read)
{
	preempt_disable();
	race_lock(map, read, CALLER);
	env_take(map, read);
}

static __always_inline void unspin(struct lockdep_map *map)
{
	race_unlock(map, CALLER);
	env_give(map);
	preempt_enable_no_resched();
}

static void may_sleep(void)
{
	if (preempt_count())
		env_complain("LOCKDEP", "sleeps while it holds the processor");
}

#define SPINLOCK(symbol)						\
void env##symbol(raw_spinlock_t *lock) STANDS_IN(symbol);		\
void env##symbol(raw_spinlock_t *lock)					\
{									\
	spin(&lock->dep_map, 0);					\
}
#define SPINUNLOCK(symbol)						\
void env##symbol(raw_spinlock_t *lock) STANDS_IN(symbol);		\
void env##symbol(raw_spinlock_t *lock)					\
{									\
	unspin(&lock->dep_map);						\
}
#define RWLOCK(symbol, read)						\
void env##symbol(rwlock_t *lock) STANDS_IN(symbol);			\
void env##symbol(rwlock_t *lock)					\
{									\
	spin(&lock->dep_map, read);					\
}
#define RWUNLOCK(symbol)						\
void env##symbol(rwlock_t *lock) STANDS_IN(symbol);			\
void env##symbol(rwlock_t *lock)					\
{									\
	unspin(&lock->dep_map);						\
}

SPINLOCK(_raw_spin_lock)
SPINLOCK(_raw_spin_lock_irq)
SPINLOCK(_raw_spin_lock_irqsave)
SPINLOCK(_raw_spin_lock_bh)
SPINUNLOCK(_raw_spin_unlock)
SPINUNLOCK(_raw_spin_unlock_irq)
SPINUNLOCK(_raw_spin_unlock_irqrestore)
SPINUNLOCK(_raw_spin_unlock_bh)
RWLOCK(_raw_read_lock, 1)
RWLOCK(_raw_read_lock_irqsave, 1)
RWLOCK(_raw_write_lock, 0)
RWLOCK(_raw_write_lock_irq, 0)
RWUNLOCK(_raw_read_unlock)
RWUNLOCK(_raw_read_unlock_irqrestore)
RWUNLOCK(_raw_write_unlock)
RWUNLOCK(_raw_write_unlock_irq)

/* A lock is as it is initialised: all that is kept of it is its address. */
void env_raw_spin_lock_init(raw_spinlock_t *lock, const char *name, struct lock_class_key *key, short inner)
	STANDS_IN(__raw_spin_lock_init);
void env_raw_spin_lock_init(raw_spinlock_t *lock, const char *name, struct lock_class_key *key, short inner)
{
	memset(lock, 0, sizeof(*lock));
}

void env_rwlock_init(rwlock_t *lock, const char *name, struct lock_class_key *key) STANDS_IN(__rwlock_init);
void env_rwlock_init(rwlock_t *lock, const char *name, struct lock_class_key *key)
{
	memset(lock, 0, sizeof(*lock));
}

/* In front of it, __mutex_init() has become an inline. */
#ifdef HAVE_mutex_init_lockdep
#define MUTEX_INIT	STANDS_IN(mutex_init_lockdep)
#else
#define MUTEX_INIT	STANDS_IN(__mutex_init)
#endif
void env_mutex_init(struct mutex *lock, const char *name, struct lock_class_key *key) MUTEX_INIT;
void env_mutex_init(struct mutex *lock, const char *name, struct lock_class_key *key)
{
	memset(lock, 0, sizeof(*lock));
}

void env_init_rwsem(struct rw_semaphore *lock, const char *name, struct lock_class_key *key)
{
	memset(lock, 0, sizeof(*lock));
}

/* Sleeping locks */
static __always_inline int sleep_on(struct lockdep_map *map, int read)
{
	may_sleep();
	race_lock(map, read, CALLER);
	env_take(map, read);
	return 0;
}

static __always_inline void wake(struct lockdep_map *map)
{
	race_unlock(map, CALLER);
	env_give(map);
}

#define MUTEX(symbol, taken)						\
int env_##symbol(struct mutex *lock) STANDS_IN(symbol);			\
int env_##symbol(struct mutex *lock)					\
{									\
	return sleep_on(&lock->dep_map, 0) + (taken);			\
}
MUTEX(mutex_lock_nested, 0)
MUTEX(mutex_lock_killable_nested, 0)
MUTEX(_mutex_lock_killable, 0)
MUTEX(_mutex_trylock_nest_lock, 1)

void env_mutex_unlock(struct mutex *lock) STANDS_IN(mutex_unlock);
void env_mutex_unlock(struct mutex *lock)
{
	wake(&lock->dep_map);
}

bool mutex_is_locked(struct mutex *lock)
{
	return holds(&lock->dep_map, -1);
}

void down_read(struct rw_semaphore *lock)
{
	sleep_on(&lock->dep_map, 1);
}

void down_write(struct rw_semaphore *lock)
{
	sleep_on(&lock->dep_map, 0);
}

void up_read(struct rw_semaphore *lock)
{
	wake(&lock->dep_map);
}

void up_write(struct rw_semaphore *lock)
{
	wake(&lock->dep_map);
}

/* Where the kernel would let others run: it must be able to, and nobody else wants to. */
int env_cond_resched(void) STANDS_IN(__cond_resched);
int env_cond_resched(void)
{
	may_sleep();
	return 0;
}

/* What somebody else does while the task gives way: once, then nobody does anything. */
void (*env_while_away)(void);

/* Let go of a lock and take it again, which is all that others would notice. */
static __always_inline int resched_rwlock(rwlock_t *lock, int read)
{
	void (*others)(void) = env_while_away;

	unspin(&lock->dep_map);
	may_sleep();
	env_while_away = NULL;
	if (others)
		others();
	spin(&lock->dep_map, read);
	return 1;
}

int env_cond_resched_rwlock_read(rwlock_t *lock) STANDS_IN(__cond_resched_rwlock_read);
int env_cond_resched_rwlock_read(rwlock_t *lock)
{
	return resched_rwlock(lock, 1);
}

int env_cond_resched_rwlock_write(rwlock_t *lock) STANDS_IN(__cond_resched_rwlock_write);
int env_cond_resched_rwlock_write(rwlock_t *lock)
{
	return resched_rwlock(lock, 0);
}
