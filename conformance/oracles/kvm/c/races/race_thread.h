/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread of a race: for race_threads.c, which switches between threads, and race_steps.c, which runs their steps. */
#ifndef CONFORMANCE_KVM_RACE_THREAD_H
#define CONFORMANCE_KVM_RACE_THREAD_H

#include "process/observe.h"
#include "racing.h"

#define PERCPU_BYTES	4096
#define OUTCOME_WORDS	4096

struct race_thread {
	unsigned long sp, stack_end;
	/* What it does next, and the condition that it waits for, or NULL. */
	enum point_kind kind;
	const volatile void *object;
	const void *caller;
	sched_condition over;
	u64 since;
	/* The state of its CPU and task while another thread runs. */
	struct env_holder holder;
	struct observation outcome;
	unsigned long words[OUTCOME_WORDS];
	char percpu[PERCPU_BYTES];
	/* Its steps. */
	unsigned long cpu, nr_steps;
	unsigned long steps[RACE_STEPS][1 + ENV_NR_ARGS];
};

/* The last is the driver: it sets up the race, advances the threads and closes the race. */
extern struct race_thread race_threads[RACE_THREADS + 1];
#define race_driver	(&race_threads[RACE_THREADS])
extern unsigned long race_nr;

/* Where the linker put the per-CPU variables; see build.py. */
extern char __start_percpu_variables[], __stop_percpu_variables[];

/* The thread that runs, or NULL. */
extern struct race_thread *race_current;

void race_load(struct race_thread *t);
void race_stop(struct race_thread *t);
void race_run_until_it_stops(struct race_thread *t);

#endif
