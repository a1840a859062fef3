/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread of a race: for those who switch between threads, and those who say what each does. */
#ifndef CONFORMANCE_KVM_RACE_THREAD_H
#define CONFORMANCE_KVM_RACE_THREAD_H

#include "racing.h"

#define PERCPU_BYTES	4096
#define SAID_WORDS	4096

struct race_thread {
	unsigned long sp, stack_end;
	/* What it has announced, and the condition for doing it, if there is one. */
	enum race_kind kind;
	const volatile void *object;
	const void *caller;
	race_condition over;
	u64 since;
	/* What is its own while it runs. */
	struct env_holder holder;
	struct env_said said;
	unsigned long words[SAID_WORDS];
	char percpu[PERCPU_BYTES];
	/* What it does. */
	unsigned long cpu, nr_steps;
	unsigned long steps[RACE_STEPS][1 + ENV_NR_ARGS];
};

/* The last is whoever sets up the race, advances its threads and closes it. */
extern struct race_thread race_threads[RACE_THREADS + 1];
#define race_driver	(&race_threads[RACE_THREADS])
extern unsigned long race_nr;

/* Where the linker put the per-CPU variables; see build.py. */
extern char __start_percpu_variables[], __stop_percpu_variables[];

void race_load(struct race_thread *t);
void race_stop(struct race_thread *t);
void race_run_until_it_stops(struct race_thread *t);

#endif
