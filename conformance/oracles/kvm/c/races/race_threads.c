// SPDX-License-Identifier: GPL-2.0-only
/*
 * The threads of a race: each runs on a stack and a CPU of its own, one at a time, and stops at every point until
 * it is advanced.  The state of its CPU and task (per-CPU variables, locks held, the outcome of its step) is
 * switched with it.
 */
#include "race_thread.h"

extern const char __ehdr_start[];
extern char _end[];

struct race_thread race_threads[RACE_THREADS + 1];
unsigned long race_nr;

struct race_thread *race_current;
/* The thread whose per-CPU variables are loaded, and the one whose condition is evaluated. */
static struct race_thread *loaded = race_driver, *asking;

/* Save the callee-saved registers on the stack that is left, and return on the one that is entered. */
void race_switch(unsigned long *left, unsigned long entered);
__asm__(".pushsection .text\n"
	".globl race_switch\n"
	".hidden race_switch\n"
	"race_switch:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".popsection\n");

void race_load(struct race_thread *t)
{
	size_t size = __stop_percpu_variables - __start_percpu_variables;

	if (loaded == t)
		return;
	memcpy(loaded->percpu, __start_percpu_variables, size);
	memcpy(__start_percpu_variables, t->percpu, size);
	loaded = t;
	env_holder = &t->holder;
	env_observation = &t->outcome;
}

void race_stop(struct race_thread *t)
{
	race_switch(&t->sp, race_driver->sp);
}

void race_point(enum point_kind kind, const volatile void *object, const void *caller)
{
	struct race_thread *t = race_current;

	if (!t)
		return;
	t->kind = kind;
	t->object = object;
	t->caller = caller;
	race_stop(t);
	t->over = NULL;
}

void race_wait(enum point_kind kind, const void *object, sched_condition over, u64 since, const void *caller)
{
	if (!race_current)
		return;
	race_current->over = over;
	race_current->since = since;
	race_point(kind, object, caller);
}

static bool ready(struct race_thread *t)
{
	asking = t;
	return t->kind != POINT_ENDED && (!t->over || t->over((void *)t->object, t->since));
}

bool race_alone(void)
{
	int i;

	for (i = 0; i < race_nr; i++)
		if (&race_threads[i] != asking && race_threads[i].kind != POINT_ENDED)
			return false;
	return true;
}

bool race_others_hold(const struct lockdep_map *map, bool exclusively, u64 before)
{
	int i, j;

	for (i = 0; i < race_nr; i++) {
		struct env_holder *holder = &race_threads[i].holder;

		for (j = 0; &race_threads[i] != asking && j < holder->nr; j++)
			if (holder->held[j].map == map && holder->held[j].ticket < before &&
			    !(exclusively && holder->held[j].read))
				return true;
	}
	return false;
}

/* The address of an object, or its offset in the library, so that it is the same in each process. */
static unsigned long number_of(const volatile void *object)
{
	unsigned long address = (unsigned long)object & -8UL, offset = address - (unsigned long)__ehdr_start;

	return address < (unsigned long)_end && (long)offset >= 0 ? offset : address;
}

static void announce(int i)
{
	struct race_announced *announced = &race_shared->announced[i];

	announced->kind = race_threads[i].kind;
	announced->object = number_of(race_threads[i].object);
	announced->caller = race_threads[i].caller - (const void *)__ehdr_start;
	announced->ready = ready(&race_threads[i]);
}

void race_announce_all(void)
{
	int i;

	race_shared->nr_threads = race_nr;
	for (i = 0; i < race_nr; i++)
		announce(i);
}

static u64 moves;

u64 race_moves(void)
{
	return moves;
}

const void *race_last_object(void)
{
	return (const void *)race_current->object;
}

static const struct sched_hooks hooks = { .point = race_point, .wait = race_wait };

void race_run_until_it_stops(struct race_thread *t)
{
	moves++;
	race_load(t);
	race_current = t;
	sched_hooks = &hooks;
	race_switch(&race_driver->sp, t->sp);
	race_current = NULL;
	sched_hooks = NULL;
}

/* Advance a thread that is ready: it passes its point and runs to the next. */
void race_step(unsigned long i)
{
	race_run_until_it_stops(&race_threads[i]);
	announce(i);
	for (i = 0; i < race_nr; i++)
		if (race_threads[i].over)
			race_shared->announced[i].ready = ready(&race_threads[i]);
}
