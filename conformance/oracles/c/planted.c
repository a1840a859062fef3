// SPDX-License-Identifier: GPL-2.0-only
/* Which mutant of a kernel is enabled, by its number: none unless one is selected. See coverage/planting.py. */
#include <linux/types.h>

static unsigned long selected;

__attribute__((visibility("default"))) void conformance_plant(unsigned long number);
void conformance_plant(unsigned long number)
{
	selected = number;
}

bool conformance_planted(unsigned long number);
bool conformance_planted(unsigned long number)
{
	return unlikely(selected == number);
}
