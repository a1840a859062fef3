// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which mutant of a kernel is enabled, by its number: none unless one is selected; and the places of which mutants were
 * executed.  See coverage/compared/planting.py.
 */
#include <linux/types.h>
#include <linux/string.h>

/* As MOST in planting.py. */
#define MOST 65536

static unsigned long selected;

static unsigned char reached[MOST / 8];
static unsigned long reached_size;

__attribute__((visibility("default"))) void conformance_plant(unsigned long number);
void conformance_plant(unsigned long number)
{
	selected = number;
}

bool conformance_planted(unsigned long number);
bool conformance_planted(unsigned long number)
{
	if (number < MOST) {
		reached[number / 8] |= 1 << number % 8;
		if (reached_size <= number / 8)
			reached_size = number / 8 + 1;
	}
	return unlikely(selected == number);
}

unsigned long conformance_reached(void *to, unsigned long size);

/* Write a bit for each mutant whose place was executed, as many bytes as have one.  Returns their number. */
unsigned long conformance_reached(void *to, unsigned long size)
{
	if (reached_size <= size)
		memcpy(to, reached, reached_size);
	return reached_size;
}
