// SPDX-License-Identifier: GPL-2.0-only
/*
 * RCU and SRCU on one CPU.  A callback waits until a grace period is requested, which does not end while there is
 * a reader; so what KVM frees stays visible as long as a reader may look at it.  In a race, a grace period waits
 * until those that were readers when it began have left.
 */
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include "process/events.h"
#include "process/scheduler.h"
#include "process/stand_in.h"
#include "lockdep.h"
#include "rcu.h"

static struct rcu_head *first, **last = &first;
extern struct lockdep_map rcu_lock_map;

struct rcu_head *env_rcu_pending(void)
{
	return first;
}

const void *env_rcu_callbacks(void)
{
	return &first;
}

void call_rcu(struct rcu_head *head, rcu_callback_t callback)
{
	sched_point(POINT_RMW, &first);
	head->func = callback;
	head->next = NULL;
	*last = head;
	last = (struct rcu_head **)&head->next;
}

static void wait_for_readers(const struct lockdep_map *map)
{
	if (unlikely(lock_hooks))
		lock_hooks->wait_for_readers(map);
}

long env_grace_period(void)
{
	struct rcu_head *head, *next;
	long ran = 0;

	if (!racing() && env_readers())
		return 0;
	for (;;) {
		sched_point(POINT_RMW, &first);
		head = first;
		if (!head)
			return ran;
		first = NULL;
		last = &first;
		wait_for_readers(&rcu_lock_map);
		for (; head; head = next) {
			next = (struct rcu_head *)head->next;
			((rcu_callback_t)head->func)(head);
			ran++;
		}
	}
}

/* Waiting for a grace period never ends if the caller, or a parked walker, is a reader. */
static void wait_for_grace_period(const char *complaint)
{
	if (racing() ? env_is_reader() : env_readers())
		env_complain("LOCKDEP", complaint);
	wait_for_readers(&rcu_lock_map);
	if (!racing())
		env_grace_period();
}

void synchronize_rcu(void)
{
	wait_for_grace_period("synchronize_rcu inside a reader");
}

void rcu_barrier(void)
{
	wait_for_grace_period("rcu_barrier inside a reader");
}

bool rcu_is_watching(void)
{
	return true;
}

int debug_lockdep_rcu_enabled(void)
{
	return 1;
}

void lockdep_rcu_suspicious(const char *file, const int line, const char *complaint)
{
	env_complain("LOCKDEP", complaint);
}

/*
 * SRCU: the kernel's inlines report each reader to lockdep.  A grace period ends as soon as it is waited for;
 * waiting inside a reader would never end.
 */
static struct rcu_head *srcu_first, **srcu_last = &srcu_first;

static void wait_for_srcu(struct srcu_struct *srcu)
{
	if (lock_is_held(&srcu->dep_map))
		env_complain("LOCKDEP", "synchronize_srcu inside a reader");
	wait_for_readers(&srcu->dep_map);
	env_run_srcu();
}

void env_run_srcu(void)
{
	while (srcu_first) {
		struct rcu_head *head = srcu_first;

		srcu_first = (struct rcu_head *)head->next;
		if (!srcu_first)
			srcu_last = &srcu_first;
		((rcu_callback_t)head->func)(head);
	}
}

/* Where the first exists, __init_srcu_struct() is an inline that calls it. */
#ifdef HAVE_init_srcu_struct_lockdep
#define INIT_SRCU	STANDS_IN(init_srcu_struct_lockdep)
#else
#define INIT_SRCU	STANDS_IN(__init_srcu_struct)
#endif
int env_init_srcu(struct srcu_struct *srcu, const char *name, struct lock_class_key *key) INIT_SRCU;
int env_init_srcu(struct srcu_struct *srcu, const char *name, struct lock_class_key *key)
{
	memset(srcu, 0, sizeof(*srcu));
	return 0;
}

void env_synchronize_srcu(struct srcu_struct *srcu) STANDS_IN(synchronize_srcu);
void env_synchronize_srcu(struct srcu_struct *srcu)
{
	wait_for_srcu(srcu);
}
#define LIKE_SYNCHRONIZE_SRCU(symbol)					\
void env_##symbol(struct srcu_struct *srcu)				\
	STANDS_IN(symbol) __attribute__((alias("synchronize_srcu")))
LIKE_SYNCHRONIZE_SRCU(synchronize_srcu_expedited);
LIKE_SYNCHRONIZE_SRCU(srcu_barrier);
LIKE_SYNCHRONIZE_SRCU(cleanup_srcu_struct);

void env_call_srcu(struct srcu_struct *srcu, struct rcu_head *head, rcu_callback_t callback)
	STANDS_IN(call_srcu);
void env_call_srcu(struct srcu_struct *srcu, struct rcu_head *head, rcu_callback_t callback)
{
	head->func = callback;
	head->next = NULL;
	*srcu_last = head;
	srcu_last = (struct rcu_head **)&head->next;
}
