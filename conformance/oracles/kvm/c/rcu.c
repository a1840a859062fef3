// SPDX-License-Identifier: GPL-2.0-only
/*
 * RCU and SRCU on one CPU.  A callback waits until a grace period is asked for, which never passes while
 * there is a reader; so what KVM frees stays visible as long as somebody may look.  In a race, a grace period
 * is waited for until those who were readers then are through.
 */
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include "racing.h"

static struct rcu_head *first, **last = &first;
extern struct lockdep_map rcu_lock_map;

struct rcu_head *env_rcu_pending(void)
{
	return first;
}

/* Where they begin. */
const void *env_rcu_callbacks(void)
{
	return &first;
}

void call_rcu(struct rcu_head *head, rcu_callback_t callback)
{
	race_point(RACE_RMW, &first);
	head->func = callback;
	head->next = NULL;
	*last = head;
	last = (struct rcu_head **)&head->next;
}

/* Run what waits, and what that adds; the number of callbacks, 0 and nothing inside a reader. */
long env_grace_period(void)
{
	struct rcu_head *head, *next;
	long ran = 0;

	if (!racing() && env_readers())
		return 0;
	for (;;) {
		race_point(RACE_RMW, &first);
		head = first;
		if (!head)
			return ran;
		first = NULL;
		last = &first;
		race_wait_for_readers(&rcu_lock_map);
		for (; head; head = next) {
			next = (struct rcu_head *)head->next;
			((rcu_callback_t)head->func)(head);
			ran++;
		}
	}
}

/* Who waits for a grace period waits for ever if he, or a walker that is stopped, is a reader. */
static void wait_for_grace_period(const char *who)
{
	if (racing() ? env_is_reader() : env_readers())
		env_complain("LOCKDEP", who);
	race_wait_for_readers(&rcu_lock_map);
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
 * SRCU: the kernel's inlines announce each reader to lockdep, which is all that has to be known.  A grace
 * period passes as soon as it is waited for; to wait for one inside of a reader would never end.
 */
static struct rcu_head *srcu_first, **srcu_last = &srcu_first;

static void wait_for_srcu(struct srcu_struct *srcu)
{
	if (lock_is_held(&srcu->dep_map))
		env_complain("LOCKDEP", "synchronize_srcu inside a reader");
	race_wait_for_readers(&srcu->dep_map);
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

/* In front of the first, __init_srcu_struct() has become an inline. */
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
