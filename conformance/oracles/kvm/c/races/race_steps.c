// SPDX-License-Identifier: GPL-2.0-only
/* The steps of the threads of a race, and the closing steps after all threads have ended. */
#include "machine/state.h"
#include "machine/steps.h"
#include "race_thread.h"

static void do_step(struct race_thread *t, unsigned long thread, unsigned long number, const unsigned long *step)
{
	unsigned long i;

	t->outcome.at = 0;
	machine_do(step[0], step + 1);
	race_event(EVENT_STEP, 2, thread, number);
	for (i = 0; i < t->outcome.at; i++)
		race_event_more(t->words[i]);
}

static void run(void)
{
	struct race_thread *t = race_current;
	unsigned long i;

	for (i = 0; i < t->nr_steps; i++)
		do_step(t, t - race_threads, i, t->steps[i]);
	t->kind = POINT_ENDED;
	race_stop(t);
	env_die(ENV_LIMIT, "a thread that has ended was advanced", 0);
}

int race_add_thread(unsigned long cpu, void *stack_end, unsigned long nr_steps, const unsigned long *steps)
{
	struct race_thread *t = &race_threads[race_nr];

	BUILD_BUG_ON(RACE_THREADS > MAX_OTHER_CPUS);
	if (race_nr == RACE_THREADS || nr_steps > RACE_STEPS || cpu >= MAX_CPUS)
		return -EINVAL;
	t->cpu = cpu;
	t->stack_end = (unsigned long)stack_end;
	t->nr_steps = nr_steps;
	memcpy(t->steps, steps, nr_steps * sizeof(t->steps[0]));
	race_nr++;
	return 0;
}

static void prepare(struct race_thread *t)
{
	unsigned long *top = (unsigned long *)t->stack_end;

	t->outcome = (struct observation){ t->words, 0, OUTCOME_WORDS };
	memcpy(t->percpu, __start_percpu_variables, __stop_percpu_variables - __start_percpu_variables);
	/* run() starts as if it had been called: with a return address, which is 0, on an aligned stack. */
	top[-1] = 0;
	top[-2] = (unsigned long)run;
	t->sp = (unsigned long)&top[-8];	/* with six registers below */
}

/* Run each thread to its first point. */
void race_start(void)
{
	int i;

	if (__stop_percpu_variables - __start_percpu_variables > PERCPU_BYTES)
		env_die(ENV_LIMIT, "there are more per-CPU variables than a thread has room for", 0);
	race_driver->holder = *env_holder;
	race_driver->outcome = (struct observation){ race_driver->words, 0, OUTCOME_WORDS };
	env_holder = &race_driver->holder;
	env_observation = &race_driver->outcome;
	race_prepare_vcpus();
	for (i = 0; i < race_nr; i++)
		prepare(&race_threads[i]);
	for (i = 0; i < race_nr; i++) {
		race_load(&race_threads[i]);
		env_become(env_fellow_task(), race_threads[i].cpu);
		race_run_until_it_stops(&race_threads[i]);
	}
}

/* When all threads have ended: take the closing steps, then observe the machine.  -EBUSY before. */
int race_close(const unsigned long *steps, unsigned long nr_steps)
{
	unsigned long i, complaints;

	for (i = 0; i < race_nr; i++)
		if (race_threads[i].kind != POINT_ENDED)
			return -EBUSY;
	race_load(race_driver);
	for (i = 0; i < nr_steps; i++)
		do_step(race_driver, RACE_THREADS, i, steps + i * (1 + ENV_NR_ARGS));
	complaints = env_exchange->events_length;
	begin_observation();
	env_exchange->events_length = complaints;
	observe_machine();
	race_note_frames();
	return 0;
}

/* The part of a stack that is in use while its thread is stopped. */
unsigned long race_stack_pointer(unsigned long i)
{
	return race_threads[i].sp;
}

unsigned long race_stack_end(unsigned long i)
{
	return race_threads[i].stack_end;
}

unsigned long race_nr_threads(void)
{
	return race_nr;
}

/* Name the object of the point at which a thread has stopped. */
void race_name(unsigned long i, struct race_named *named)
{
	if (i < race_nr)
		race_name_object((unsigned long)race_threads[i].object, named);
}
