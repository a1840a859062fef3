/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the two halves of the environment know of each other: process.c, which is an ordinary program,
 * and everything else, which is compiled as kernel code.  Hence no header of either here.
 */
#ifndef CONFORMANCE_KVM_ENV_H
#define CONFORMANCE_KVM_ENV_H

/*
 * Where things lie.  User addresses are lowest, as in a kernel, else KVM takes them for its own: host
 * virtual memory, then the kernel's direct map and the array of struct page, mapped sparsely.
 */
#define ENV_HOST_BASE		0x100000000000UL
#define ENV_HOST_PAGES		(1UL << 24)
#define ENV_DIRECT_MAP		0x200000000000UL
#define ENV_VMEMMAP		0x300000000000UL

/* The direct map reaches from physical address 0 to ENV_KERNEL_END; the host's other memory lies above. */
#define ENV_KERNEL_START	(16UL << 20)
#define ENV_KERNEL_END		(1UL << 30)
#define ENV_RAM_START_PFN	0x100000UL
#define ENV_RAM_END_PFN		0x1100000UL

/* How a machine came to its end. */
enum env_death {
	ENV_ALIVE,
	ENV_BUG,		/* what: the function that has the BUG() */
	ENV_MISSING,		/* what: the symbol that nothing stands in for; at: who wanted it */
	ENV_SIGNAL,		/* number: the signal; at, address */
	ENV_HUNG,		/* at: where it was */
	ENV_BROKEN,		/* what: what can never go on */
	ENV_LIMIT,		/* what: the limit of this environment that was reached; at: by whom */
};

#define ENV_NR_ARGS	8
#define ENV_NR_WORDS	(8UL << 20)

#define ENV_NR_PLACES	16384UL
#define ENV_NR_RINGS	1024UL
#define ENV_NR_KEPT	(2UL << 20)

/*
 * What a review asks about KVM's memory, see kept.c.  In: where the library's variables lie, with their
 * sizes, and where lists begin in the structures of each kind.  Nothing is copied if `asked` is 0.
 */
struct env_kept {
	unsigned long asked, nr_places, nr_rings;
	unsigned long places[ENV_NR_PLACES][2], rings[ENV_NR_RINGS][2];
	unsigned long nr_words, words[ENV_NR_KEPT];
};

/* Shared with Python, whose half is interface.py: all that is said in a step, and how a machine died. */
struct env_exchange {
	unsigned long step, args[ENV_NR_ARGS];
	unsigned long death, number, at, address;
	char what[120];
	unsigned long nr_words, events_length;
	char events[4096];
	unsigned long words[ENV_NR_WORDS];
	struct env_kept kept;
};

extern struct env_exchange *env_exchange;

/* process.c */
void env_die(enum env_death death, const char *what, unsigned long at) __attribute__((noreturn));

/* events.c */
void env_complain(const char *kind, const char *what);

/* machine.c: errors are negative, as the kernel's. */
int machine_boot(const unsigned long *host);
int machine_create(const unsigned long *options);
/* steps.c */
void machine_step(unsigned long step, const unsigned long *args);

#endif
