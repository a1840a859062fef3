/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The observation of a step, as words: the number of words of the outcome and those, then the state of the
 * machine (machine/state.c).
 */
#ifndef CONFORMANCE_KVM_OBSERVE_H
#define CONFORMANCE_KVM_OBSERVE_H

#include <linux/types.h>
#include "exchange.h"

/* The words of the running task: in a race, each thread has its own. */
struct observation { unsigned long *words, at, room; };
extern struct observation *env_observation;

/* Empty the exchange's observation and its events, and write to it. */
void begin_observation(void);

static inline void put_word(u64 word)
{
	if (env_observation->at == env_observation->room)
		env_die(ENV_LIMIT, "an observation is too long", 0);
	env_observation->words[env_observation->at++] = word;
}

/* Begin a list whose length is not known yet; end it with end_list(), or set_length() if its elements differ in size. */
static inline unsigned long begin_list(void)
{
	put_word(0);
	return env_observation->at;
}

static inline void set_length(unsigned long start, u64 length)
{
	env_observation->words[start - 1] = length;
}

static inline void end_list(unsigned long start, unsigned int words_each)
{
	set_length(start, (env_observation->at - start) / words_each);
}

/* Part of the outcome: a signed number, or a word of bits. Python has to know which it is. */
void put_outcome(long number);
void put_outcome_bits(u64 bits);

#endif
