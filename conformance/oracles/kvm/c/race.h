/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the two halves of the environment, and Python (race_interface.py), know of a race.  As env.h, without
 * a header of either half.
 */
#ifndef CONFORMANCE_KVM_RACE_H
#define CONFORMANCE_KVM_RACE_H

/* What a thread is about to do. */
enum race_kind {
	RACE_READ, RACE_WRITE, RACE_RMW, RACE_LOCK, RACE_LOCK_SHARED, RACE_UNLOCK, RACE_WAIT, RACE_MARK,
	RACE_ENDED,
};

/* What happened, each with its numbers after it. */
enum race_event {
	EVENT_ACCESS = 1,	/* vcpu gfn kind pfn */
	EVENT_RELEASED,		/* pfn */
	EVENT_PROTECTED,	/* pfn */
	EVENT_LOGGED,		/* slot gfn... */
	EVENT_SLOT_GONE,	/* slot */
	EVENT_STEP,		/* thread step (is-number number)... */
	EVENT_WRITABLE,		/* pfn */
	EVENT_CLEARED,		/* slot */
};

#define RACE_THREADS	8
#define RACE_STEPS	16
#define RACE_CHOICES	(1UL << 16)
#define RACE_EVENTS	(1UL << 16)
/* Frames of the host of which KVM said that they were accessed or made dirty. */
#define RACE_FRAMES	4096

/* Shared with Python, after the exchange that every machine has: what is announced, and what has happened. */
struct race_shared {
	unsigned long nr_choices, nr_threads, nr_events, nr_frames;
	struct race_announced { unsigned long kind, object, ready, caller; } announced[RACE_THREADS];
	unsigned long frames[RACE_FRAMES];
	unsigned long events[RACE_EVENTS];
	unsigned char choices[RACE_CHOICES];
};

extern struct race_shared *race_shared;

/* What is named when a person asks what a thread is about to do. */
enum race_what {
	WHAT_MEMORY,		/* address */
	WHAT_SPTE,		/* level gfn serial value */
	WHAT_HOST,		/* level page - value */
	WHAT_FRAME,		/* pfn */
	WHAT_FIELD,		/* name; instance offset - value */
	WHAT_SYMBOL,		/* address */
};
struct race_named { unsigned long what; const char *name; unsigned long numbers[4]; };

/* A byte beside each byte of the direct map; see race_shared.c. */
#define RACE_PRIVATE		0x400000000000UL

/* race_threads.c and race_steps.c, for race_process.c */
int race_add_thread(unsigned long cpu, unsigned long nr_steps, const unsigned long *steps);
void race_start(void);
void race_step(unsigned long thread);
void race_announce_all(void);
int race_close(const unsigned long *steps, unsigned long nr_steps);
void race_name(unsigned long thread, struct race_named *named);
unsigned long race_nr_threads(void);
unsigned long race_stack_pointer(unsigned long thread);
unsigned long race_stack_end(unsigned long thread);
/* race_shared.c */
int race_add_hot(unsigned long long gfn);
/* memory.c */
unsigned long env_unused(void);
/* race_process.c: the end of a new stack. */
void *race_new_stack(unsigned long thread);

#endif
