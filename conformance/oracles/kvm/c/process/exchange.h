/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory shared with Python, whose half is interface.py: the step to take, what was observed of it, and how
 * the machine ended.  Included by units compiled against libc and by units compiled as kernel code, hence without
 * a header of either.
 */
#ifndef CONFORMANCE_KVM_EXCHANGE_H
#define CONFORMANCE_KVM_EXCHANGE_H

/* Why a machine ended. */
enum env_death {
	ENV_ALIVE,
	ENV_BUG,		/* what: the function with the BUG() */
	ENV_MISSING,		/* what: a symbol without a stand-in; at: its user */
	ENV_SIGNAL,		/* number: the signal; at: the instruction; address: its operand */
	ENV_HUNG,		/* at: the instruction that ran when the time was up */
	ENV_BROKEN,		/* what: a wait that cannot end */
	ENV_LIMIT,		/* what: the limit of this environment that was reached; at: the caller */
};

#define ENV_NR_ARGS	8
#define ENV_NR_WORDS	(8UL << 20)

#define ENV_NR_PLACES	16384UL
#define ENV_NR_RINGS	1024UL
#define ENV_NR_RAW	(2UL << 20)

/*
 * Raw copies of KVM's structures and variables, for a review; see kept.c.  Input: offset and size of each variable
 * of the library, and kind and offset of each list head in a structure.  Nothing is copied if `asked` is 0.
 */
struct env_raw_state {
	unsigned long asked, nr_places, nr_rings;
	unsigned long places[ENV_NR_PLACES][2], rings[ENV_NR_RINGS][2];
	unsigned long nr_words, words[ENV_NR_RAW];
};

struct env_exchange {
	unsigned long step, args[ENV_NR_ARGS];
	unsigned long death, number, at, address;
	char what[120];
	unsigned long nr_words, events_length;
	char events[4096];
	unsigned long words[ENV_NR_WORDS];
	struct env_raw_state raw;
};

/* process.c */
extern struct env_exchange *env_exchange;
/* End the process; `at` is an address in the library. */
void env_die(enum env_death death, const char *what, unsigned long at) __attribute__((noreturn));

#endif
