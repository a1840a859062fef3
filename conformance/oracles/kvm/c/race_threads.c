// SPDX-License-Identifier: GPL-2.0-only
/*
 * The threads of a race: each runs on a stack and a CPU of its own, one at a time, and stops at every point until
 * it is advanced.  What a CPU and a task have of their own (per-CPU variables, locks held, what is
 * said of a step) goes with the thread.
 */
#include "race_thread.h"

extern const char __ehdr_start[];
extern char _end[];

struct race_thread race_threads[RACE_THREADS + 1];
unsigned long race_nr;

struct race_thread *race_current;
/* Whose per-CPU variables are in place, and whom a condition is asked for. */
static struct race_thread *loaded = race_driver, *asking;

/* Keep what a call keeps, on the stack that is left, and go on with the one that is entered. */
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
	env_said = &t->said;
}

void race_stop(struct race_thread *t)
{
	race_switch(&t->sp, race_driver->sp);
}

void race_point_of(enum race_kind kind, const volatile void *object, const void *caller)
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

void race_point(enum race_kind kind, const volatile void *object)
{
	race_point_of(kind, object, __builtin_return_address(0));
}

/* A point that can be passed only while a condition holds. */
void race_wait_of(enum race_kind kind, const void *object, race_condition over, u64 since, const void *caller)
{
	if (!race_current)
		return;
	race_current->over = over;
	race_current->since = since;
	race_point_of(kind, object, caller);
}

void race_wait(const void *object, race_condition over, u64 since)
{
	race_wait_of(RACE_WAIT, object, over, since, __builtin_return_address(0));
}

static bool ready(struct race_thread *t)
{
	asking = t;
	return t->kind != RACE_ENDED && (!t->over || t->over((void *)t->object, t->since));
}

bool race_alone(void)
{
	int i;

	for (i = 0; i < race_nr; i++)
		if (&race_threads[i] != asking && race_threads[i].kind != RACE_ENDED)
			return false;
	return true;
}

/* Whether a thread other than the one that asks holds a lock: exclusively, if that is asked, and since before. */
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

/* An object by its address; one of the library by its offset, so that it is the same in each process. */
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

/* How often a thread was let go on; and what the one that runs stopped at last. */
static u64 moves;

u64 race_moves(void)
{
	return moves;
}

const void *race_last_object(void)
{
	return (const void *)race_current->object;
}

void race_run_until_it_stops(struct race_thread *t)
{
	moves++;
	race_load(t);
	race_current = t;
	race_switch(&race_driver->sp, t->sp);
	race_current = NULL;
}

/* Advance a thread that is ready: it does what it has announced, and runs to its next point. */
void race_step(unsigned long i)
{
	race_run_until_it_stops(&race_threads[i]);
	announce(i);
	for (i = 0; i < race_nr; i++)
		if (race_threads[i].over)
			race_shared->announced[i].ready = ready(&race_threads[i]);
}
