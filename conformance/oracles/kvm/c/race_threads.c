// SPDX-License-Identifier: GPL-2.0-only
/*
 * The threads of a race: each runs its steps on a stack and a CPU of its own, one at a time, and stops at every
 * point until it is advanced.  What a CPU and a task have of their own (per-CPU variables, locks held, what is
 * said of a step) goes with the thread.
 */
#include <linux/sched.h>
#include "racing.h"

extern const char __ehdr_start[];
extern char _end[];
/* Where the linker put the per-CPU variables; see build.py. */
extern char __start_percpu_variables[], __stop_percpu_variables[];
#define PERCPU_BYTES	4096
#define SAID_WORDS	4096

struct race_thread {
	unsigned long sp, stack_end;
	enum race_kind kind;
	const volatile void *object;
	const void *caller;
	race_condition over;
	u64 since;
	struct env_holder holder;
	struct env_said said;
	unsigned long words[SAID_WORDS];
	char percpu[PERCPU_BYTES];
	unsigned long cpu, nr_steps;
	unsigned long steps[RACE_STEPS][1 + ENV_NR_ARGS];
};

/* The last is whoever sets up the race, advances its threads and closes it. */
static struct race_thread threads[RACE_THREADS + 1];
#define driver	(&threads[RACE_THREADS])
static unsigned long nr;

struct race_thread *race_current;
/* Whose per-CPU variables are in place, and whom a condition is asked for. */
static struct race_thread *loaded = driver, *asking;

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

static void load(struct race_thread *t)
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

static void stop(struct race_thread *t)
{
	race_switch(&t->sp, driver->sp);
}

void race_point_of(enum race_kind kind, const volatile void *object, const void *caller)
{
	struct race_thread *t = race_current;

	if (!t)
		return;
	t->kind = kind;
	t->object = object;
	t->caller = caller;
	stop(t);
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

	for (i = 0; i < nr; i++)
		if (&threads[i] != asking && threads[i].kind != RACE_ENDED)
			return false;
	return true;
}

/* Whether a thread other than the one that asks holds a lock: exclusively, if that is asked, and since before. */
bool race_others_hold(const struct lockdep_map *map, bool exclusively, u64 before)
{
	int i, j;

	for (i = 0; i < nr; i++) {
		struct env_holder *holder = &threads[i].holder;

		for (j = 0; &threads[i] != asking && j < holder->nr; j++)
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

	announced->kind = threads[i].kind;
	announced->object = number_of(threads[i].object);
	announced->caller = threads[i].caller - (const void *)__ehdr_start;
	announced->ready = ready(&threads[i]);
}

void race_announce_all(void)
{
	int i;

	race_shared->nr_threads = nr;
	for (i = 0; i < nr; i++)
		announce(i);
}

static void run_until_it_stops(struct race_thread *t)
{
	load(t);
	race_current = t;
	race_switch(&driver->sp, t->sp);
	race_current = NULL;
}

/* Advance a thread that is ready: it does what it has announced, and runs to its next point. */
void race_step(unsigned long i)
{
	run_until_it_stops(&threads[i]);
	announce(i);
	for (i = 0; i < nr; i++)
		if (threads[i].over)
			race_shared->announced[i].ready = ready(&threads[i]);
}

static void do_step(struct race_thread *t, unsigned long thread, unsigned long number, const unsigned long *step)
{
	unsigned long i;

	t->said.at = 0;
	machine_do(step[0], step + 1);
	race_event(EVENT_STEP, 2, thread, number);
	for (i = 0; i < t->said.at; i++)
		race_event_more(t->words[i]);
}

static void run(void)
{
	struct race_thread *t = race_current;
	unsigned long i;

	for (i = 0; i < t->nr_steps; i++)
		do_step(t, t - threads, i, t->steps[i]);
	t->kind = RACE_ENDED;
	stop(t);
	env_die(ENV_BROKEN, "a thread that has ended was advanced", 0);
}

int race_add_thread(unsigned long cpu, unsigned long nr_steps, const unsigned long *steps)
{
	struct race_thread *t = &threads[nr];

	if (nr == RACE_THREADS || nr_steps > RACE_STEPS || cpu >= RACE_CPUS)
		return -EINVAL;
	t->cpu = cpu;
	t->nr_steps = nr_steps;
	memcpy(t->steps, steps, nr_steps * sizeof(t->steps[0]));
	nr++;
	return 0;
}

static void prepare(struct race_thread *t)
{
	unsigned long *top = race_new_stack(t - threads);

	t->stack_end = (unsigned long)top;
	t->said = (struct env_said){ t->words, 0, SAID_WORDS };
	memcpy(t->percpu, __start_percpu_variables, __stop_percpu_variables - __start_percpu_variables);
	/* run() begins as if it had been called: with a return address, of nobody, on an aligned stack. */
	top[-1] = 0;
	top[-2] = (unsigned long)run;
	t->sp = (unsigned long)&top[-8];	/* with six registers below */
}

/* Each thread goes to its first point. */
void race_start(void)
{
	int i;

	if (__stop_percpu_variables - __start_percpu_variables > PERCPU_BYTES)
		env_die(ENV_BROKEN, "there are more per-CPU variables than a thread has room for", 0);
	driver->holder = *env_holder;
	driver->said = (struct env_said){ driver->words, 0, SAID_WORDS };
	env_holder = &driver->holder;
	env_said = &driver->said;
	race_prepare_vcpus();
	for (i = 0; i < nr; i++)
		prepare(&threads[i]);
	for (i = 0; i < nr; i++) {
		load(&threads[i]);
		env_become(env_fellow_task(), threads[i].cpu);
		run_until_it_stops(&threads[i]);
	}
}

/* When all have ended: the closing steps, one after the other, and then what can be seen of the machine. */
int race_close(const unsigned long *steps, unsigned long nr_steps)
{
	unsigned long i, complaints;

	for (i = 0; i < nr; i++)
		if (threads[i].kind != RACE_ENDED)
			return -EBUSY;
	load(driver);
	for (i = 0; i < nr_steps; i++)
		do_step(driver, RACE_THREADS, i, steps + i * (1 + ENV_NR_ARGS));
	complaints = env_exchange->events_length;
	say_nothing_yet();
	env_exchange->events_length = complaints;
	observe();
	race_note_frames();
	return 0;
}

/* The part of a stack that is in use while its thread is stopped. */
unsigned long race_stack_pointer(unsigned long i)
{
	return threads[i].sp;
}

unsigned long race_stack_end(unsigned long i)
{
	return threads[i].stack_end;
}

unsigned long race_nr_threads(void)
{
	return nr;
}

/* What the object is that a thread has announced, for a person. */
void race_name(unsigned long i, struct race_named *named)
{
	if (i < nr)
		race_name_object((unsigned long)threads[i].object, named);
}
