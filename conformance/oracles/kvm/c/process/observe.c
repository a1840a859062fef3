// SPDX-License-Identifier: GPL-2.0-only
/* The words of an observation, and where the running task puts them. */
#include "observe.h"

static struct observation whole;
struct observation *env_observation = &whole;

void begin_observation(void)
{
	env_exchange->events_length = 0;
	whole = (struct observation){ env_exchange->words, 1, ENV_NR_WORDS };
	env_observation = &whole;
}

void put_outcome(long number)
{
	put_word(1);
	put_word(number);
}

void put_outcome_bits(u64 bits)
{
	put_word(0);
	put_word(bits);
}
