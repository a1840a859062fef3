// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which of the differences planted into a kernel is the one that shows, by number; see review/planting.py.
 * None shows unless one is chosen.
 */
#include <linux/types.h>

static unsigned long chosen;

__attribute__((visibility("default"))) void conformance_plant(unsigned long number);
void conformance_plant(unsigned long number)
{
	chosen = number;
}

bool conformance_planted(unsigned long number);
bool conformance_planted(unsigned long number)
{
	return unlikely(chosen == number);
}
