/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface of single functions: entries that Python calls over columns of 64-bit words, and the
 * record of what the kernel code did meanwhile.
 */
#ifndef SHIM_H
#define SHIM_H

#include <linux/types.h>
#include "hosts.h"

struct shim_entry {
	const char *name;
	unsigned int nr_in, nr_out;
	void (*run)(const u64 *in, u64 *out, unsigned long n);
};

/* Before each case: forget what the kernel does but once.  Where it complains through us it does so each time. */
#ifndef SHIM_FRESH
#define SHIM_FRESH()	do { } while (0)
#endif

/*
 * SHIM(name, nr_in, nr_out) { ... } defines an entry: its body sees one case as in[] and fills out[].
 * in and out are matrices, one row a column of n words; the last row of out, after the nr_out of the
 * body, holds the events of each case (see shim_event()).
 */
#define SHIM(_name, _nr_in, _nr_out)						\
static void shim_case_##_name(const u64 *in, u64 *out);			\
static void shim_run_##_name(const u64 *in, u64 *out, unsigned long n)		\
{										\
	unsigned long i;							\
	int c;									\
										\
	for (i = 0; i < n; i++) {						\
		u64 a[(_nr_in)], r[(_nr_out)] = {};				\
										\
		for (c = 0; c < (_nr_in); c++)					\
			a[c] = in[c * n + i];					\
		*shim_at = i;							\
		shim_events = 0;						\
		SHIM_FRESH();							\
		shim_case_##_name(a, r);					\
		for (c = 0; c < (_nr_out); c++)					\
			out[c * n + i] = r[c];					\
		out[(_nr_out) * n + i] = shim_events;				\
	}									\
}										\
static const struct shim_entry shim_entry_##_name =				\
	{ #_name, _nr_in, _nr_out, shim_run_##_name };				\
static const struct shim_entry *const shim_listed_##_name			\
	__attribute__((used, section("shim_entries"))) = &shim_entry_##_name;	\
static void shim_case_##_name(const u64 *in, u64 *out)

/*
 * The case being run, where the parent process can read it should this one die; behind it there is room
 * to say where it did.
 */
extern volatile u64 *shim_at;

/*
 * What happened in this case besides values: WARNs and BUGs by function, calls into the environment
 * by name.  Eight counters of eight bits; which name has which is told by shim_expect(), and the last
 * counts what nobody expected.
 */
extern u64 shim_events;
extern int shim_events_muted;
void shim_event(const char *kind, const char *name);
#define SHIM_CALLED(name)	shim_event("call", name)

/*
 * Run statement; should kernel code BUG() in it, go on behind it (the case's BUG is an event).  Where
 * an entry does not use this, a BUG ends the process, which is a finding as well.
 */
extern void *shim_bug_return[5];
extern int shim_bug_armed;
#define SHIM_MAY_BUG(statement)						\
do {									\
	if (!__builtin_setjmp(shim_bug_return)) {			\
		shim_bug_armed = 1;					\
		statement;						\
	}								\
	shim_bug_armed = 0;						\
} while (0)

/*
 * A word of memory, set to value and watched: the writes to it are counted (plain stores in bits 7:0,
 * atomic read-modify-writes in bits 15:8), and just before the first of them it becomes raced, as if
 * another CPU had written it since the kernel code read it.  shim_watched() ends that: the writes, and
 * what the word has become.
 */
u64 *shim_watch(u64 value, u64 raced);
u64 shim_watched(u64 *value);
/* Leave the entry's kernel code right after its first store to the watched word. */
#define SHIM_UNTIL_WRITTEN(statement)					\
do {									\
	shim_stop_at_write = 1;						\
	SHIM_MAY_BUG(statement);					\
	shim_stop_at_write = 0;						\
} while (0)
extern int shim_stop_at_write;

/* What the environment answers, and the arguments it was asked with; environment.c. */
struct shim_environment {
	u64 mt_mask;			/* answered by kvm_x86_ops.get_mt_mask() */
	u64 mt_mask_gfn;
	u64 mt_mask_is_mmio;
	u64 pfn, pfn_is_ram;		/* answered by e820__mapped_raw_any() */
	u64 unsync_fails;		/* answered by mmu_try_to_unsync_pages() */
	u64 unsync_gfn;
	u64 unsync_how;			/* can_unsync, prefetch << 1 */
	u64 dirty_gfn;			/* passed to mark_page_dirty_in_slot() */
	u64 pfn_accessed;		/* passed to kvm_set_pfn_accessed() */
	u64 pfn_dirty;			/* passed to kvm_set_pfn_dirty() */
	u64 tdp_has_smep;		/* answered by kvm_x86_ops.tdp_has_smep() */
	u64 eflags_ac, cpl3;		/* answered by kvm_x86_ops.get_rflags() and get_cpl() */
	u64 guest_has_all;		/* answered by the guest's CPUID */
	u64 mitigations_off;		/* answered by cpu_mitigations_off() */
};
extern struct shim_environment shim_env;
/* The vendor module's get_mt_mask(), of whatever type this kernel has for it. */
extern void *const shim_get_mt_mask_op;

/* Physical memory of the host: address 0 of it lies at shim_memory. */
#define SHIM_MEMORY_PAGES	64
extern u8 shim_memory[SHIM_MEMORY_PAGES << 12];

/* Bring all masks to the state that the vendor modules would leave on such a host. */
void shim_set_host(const u64 host[NR_HOST]);

#endif
