/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Points at which a race can stop the running thread, and the history that invariants are checked against.  An
 * ordinary machine has one task: the hooks are NULL and points are nothing.  races/race_hooks.c fills them.
 */
#ifndef CONFORMANCE_KVM_SCHEDULER_H
#define CONFORMANCE_KVM_SCHEDULER_H

#include <linux/compiler.h>
#include <linux/types.h>

/* What a thread is about to do; as race_interface.py. */
enum point_kind {
	POINT_READ, POINT_WRITE, POINT_RMW, POINT_LOCK, POINT_LOCK_SHARED, POINT_UNLOCK, POINT_WAIT, POINT_MARK,
	POINT_ENDED,
};

/* Whether a thread that waits may go on; evaluated after each move of another thread. */
typedef bool (*sched_condition)(const void *object, u64 since);

struct sched_hooks {
	/* Stop before an access to an object; `caller` is the address that names the function. */
	void (*point)(enum point_kind kind, const volatile void *object, const void *caller);
	/* Stop until a condition holds. */
	void (*wait)(enum point_kind kind, const void *object, sched_condition over, u64 since, const void *caller);
};

/* Set while a thread of a race runs, NULL while the race is set up and closed. */
extern const struct sched_hooks *sched_hooks;

static __always_inline bool racing(void)
{
	return unlikely(sched_hooks);
}

/* The arguments are evaluated in a race only. */
#define sched_point(kind, object)					\
do {									\
	if (racing())							\
		sched_stop(kind, object);				\
} while (0)
#define sched_point_of(kind, object, caller)				\
do {									\
	if (racing())							\
		sched_hooks->point(kind, object, caller);		\
} while (0)

/* The point or wait of the function that calls this. */
void sched_stop(enum point_kind kind, const volatile void *object);
void sched_wait(const void *object, sched_condition over, u64 since);

/* What happened, each with its numbers; as race_interface.py. */
enum history_event {
	EVENT_ACCESS = 1,	/* vcpu gfn kind pfn; or the page of a linear address, or of L2's */
	EVENT_RELEASED,		/* pfn */
	EVENT_PROTECTED,	/* pfn */
	EVENT_LOGGED,		/* slot gfn... */
	EVENT_SLOT_GONE,	/* slot */
	EVENT_STEP,		/* thread step (is-number number)... */
	EVENT_WRITABLE,		/* pfn */
	EVENT_CLEARED,		/* slot */
	EVENT_MOVED,		/* pfn page */
};

struct history_hooks {
	/* `n` numbers follow, each a u64. */
	void (*event)(enum history_event event, int n, ...);
	/* The numbers of the bits that are set in a bitmap, counted from `first`, after a number. */
	void (*bits)(enum history_event event, u64 number, u64 first, const u64 *bitmap, unsigned long nbits);
};

extern const struct history_hooks *history_hooks;

/* The object of every point that records: accesses commute with each other, all else is ordered. */
extern u64 history[1];

#define record_event(event_, n, ...)					\
do {									\
	if (unlikely(history_hooks))					\
		history_hooks->event(event_, n, __VA_ARGS__);		\
} while (0)
#define record_bits(event_, number, first, bitmap, nbits)		\
do {									\
	if (unlikely(history_hooks))					\
		history_hooks->bits(event_, number, first, bitmap, nbits);	\
} while (0)

#endif
