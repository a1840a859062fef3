// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which functions of KVM ran: the compiler inserts a call at the start of each.  A hash table in the last words of
 * the exchange, which no observation reaches, holds their distances from the function called.
 */
#include "exchange.h"

#define NR_COVERED	8192UL		/* as in interface.py; KVM has about 3000 functions */

void __cyg_profile_func_enter(void *function, void *caller);
void __cyg_profile_func_exit(void *function, void *caller);

void __cyg_profile_func_enter(void *function, void *caller)
{
	unsigned long distance = (char *)function - (char *)__cyg_profile_func_enter;
	unsigned long slot = distance / 16 % NR_COVERED;
	unsigned long *covered;

	if (!env_exchange)
		return;
	covered = &env_exchange->words[ENV_NR_WORDS - NR_COVERED];
	while (covered[slot] && covered[slot] != distance)
		slot = (slot + 1) % NR_COVERED;
	covered[slot] = distance;
}

void __cyg_profile_func_exit(void *function, void *caller)
{
}
