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

/* Part of the outcome: a signed number, or a word of bits. Python has to know which it is. */
void put_outcome(long number);
void put_outcome_bits(u64 bits);

#endif
