// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks.  An ordinary machine has one thread, so none is contended; a race waits in lock_hooks.  All that is kept
 * of a lock is its holder (lockdep.c).  Sleeping or yielding in atomic context is checked here as well.
 */
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include "process/events.h"
#include "process/scheduler.h"
#include "lockdep.h"
#include "locks.h"
#include "process/stand_in.h"

/* The caller of the stand-in: what uses this is inlined there. */
#define CALLER	__builtin_return_address(0)

static __always_inline void take(struct lockdep_map *map, int read)
{
	if (unlikely(lock_hooks))
		lock_hooks->lock(map, read, CALLER);
	env_take(map, read);
}

static __always_inline void give(struct lockdep_map *map)
{
	sched_point_of(POINT_UNLOCK, map, CALLER);
	env_give(map);
}

/* Spinlocks and rwlocks disable preemption: the kernel may not sleep while it holds one. */
static __always_inline void spin(struct lockdep_map *map, int read)
{
	preempt_disable();
	take(map, read);
}

static __always_inline void unspin(struct lockdep_map *map)
{
	give(map);
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

/* All that is used of a lock is its address. */
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

/* Where this exists, __mutex_init() is an inline that calls it. */
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
	STANDS_IN(__init_rwsem);
void env_init_rwsem(struct rw_semaphore *lock, const char *name, struct lock_class_key *key)
{
	memset(lock, 0, sizeof(*lock));
}

/* Sleeping locks */
static __always_inline int sleep_on(struct lockdep_map *map, int read)
{
	may_sleep();
	take(map, read);
	return 0;
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
	give(&lock->dep_map);
}

bool mutex_is_locked(struct mutex *lock)
{
	return env_holds(&lock->dep_map, -1);
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
	give(&lock->dep_map);
}

void up_write(struct rw_semaphore *lock)
{
	give(&lock->dep_map);
}

/*
 * The kernel would reschedule here: it must be allowed to, and there is no other task to run.  It need not again in
 * this step: who drops a lock and begins anew until need_resched() is false would never end.
 */
#ifdef HAVE__cond_resched
#define COND_RESCHED	STANDS_IN(_cond_resched)
#else
#define COND_RESCHED	STANDS_IN(__cond_resched)
#endif
int env_cond_resched(void) COND_RESCHED;
int env_cond_resched(void)
{
	may_sleep();
	clear_tsk_thread_flag(current, TIF_NEED_RESCHED);
	return 0;
}

void (*env_while_away)(void);

/* Where the kernel would reschedule, drop a lock and take it again, which is all that is visible to others. */
static __always_inline int resched_lock(struct lockdep_map *map, int read)
{
	void (*others)(void) = env_while_away;

	if (!need_resched())
		return 0;
	unspin(map);
	may_sleep();
	env_while_away = NULL;
	if (others)
		others();
	spin(map, read);
	return 1;
}

int env_cond_resched_lock(spinlock_t *lock) STANDS_IN(__cond_resched_lock);
int env_cond_resched_lock(spinlock_t *lock)
{
	return resched_lock(&lock->dep_map, 0);
}

int env_cond_resched_rwlock_read(rwlock_t *lock) STANDS_IN(__cond_resched_rwlock_read);
int env_cond_resched_rwlock_read(rwlock_t *lock)
{
	return resched_lock(&lock->dep_map, 1);
}

int env_cond_resched_rwlock_write(rwlock_t *lock) STANDS_IN(__cond_resched_rwlock_write);
int env_cond_resched_rwlock_write(rwlock_t *lock)
{
	return resched_lock(&lock->dep_map, 0);
}
