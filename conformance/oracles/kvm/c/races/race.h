/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A race, as Python (race_interface.py), race_process.c and the units compiled as kernel code see it; hence without
 * a header of libc or of the kernel.
 */
#ifndef CONFORMANCE_KVM_RACE_H
#define CONFORMANCE_KVM_RACE_H

#define RACE_THREADS	8
#define RACE_STEPS	16
#define RACE_CHOICES	(1UL << 16)
#define RACE_EVENTS	(1UL << 16)
/* Frames of the host that KVM has marked as accessed or dirty. */
#define RACE_FRAMES	4096

/* Shared with Python, after the exchange of every machine: what each thread is about to do, and what happened. */
struct race_shared {
	unsigned long nr_choices, nr_threads, nr_events, nr_frames;
	struct race_announced { unsigned long kind, object, ready, caller; } announced[RACE_THREADS];
	unsigned long frames[RACE_FRAMES];
	unsigned long events[RACE_EVENTS];
	unsigned char choices[RACE_CHOICES];
};

extern struct race_shared *race_shared;

/* The kind of an object that is named in a report, with its numbers. */
enum race_what {
	WHAT_MEMORY,		/* address */
	WHAT_SPTE,		/* level gfn serial value */
	WHAT_HOST,		/* level page - value */
	WHAT_FRAME,		/* pfn */
	WHAT_FIELD,		/* name; instance offset - value */
	WHAT_SYMBOL,		/* address */
	WHAT_WORD,		/* pfn index */
};
struct race_named { unsigned long what; const char *name; unsigned long numbers[4]; };

/* A byte for each byte of the direct map; see race_shared.c. */
#define RACE_PRIVATE		0x400000000000UL

/* A counter of coverage, and its sum over all schedules; see race_coverage.c. */
struct race_count { volatile unsigned long long *counter; unsigned long long n; };
#define RACE_COUNTS_BITS	17	/* KVM has about 20,000 */
extern struct race_count *race_counts;

/* race_hooks.c */
void race_register_hooks(void);
/* race_threads.c and race_steps.c */
/* stack_end: the address behind the thread's stack. */
int race_add_thread(unsigned long cpu, void *stack_end, unsigned long nr_steps, const unsigned long *steps);
void race_start(void);
void race_step(unsigned long thread);
void race_announce_all(void);
int race_close(const unsigned long *steps, unsigned long nr_steps);
void race_name(unsigned long thread, struct race_named *named);
unsigned long race_nr_threads(void);
unsigned long race_stack_pointer(unsigned long thread);
unsigned long race_stack_end(unsigned long thread);
/* race_shared.c: RACE_ANY_GFN says that hot pages are those of linear addresses. */
#define RACE_ANY_GFN		(-1ULL)
int race_add_hot(unsigned long long gfn);
/* The end of the direct map that was ever allocated. */
unsigned long race_memory_end(void);

#endif
