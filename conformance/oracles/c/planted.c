// SPDX-License-Identifier: GPL-2.0-only
/*
 * The number of the planted difference that is active, of those in a kernel; see review/planting.py.  None is active
 * unless one is chosen.
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
