// SPDX-License-Identifier: GPL-2.0-only
/* The history of a race, in order: for each event a word of kind and length, then its numbers. */
#include <linux/mm.h>
#include <linux/kvm_host.h>
#include "host/host.h"
#include "host/marks.h"
#include "racing.h"

#define LENGTH_SHIFT	8

static unsigned long header;

void race_event_more(u64 number)
{
	if (race_shared->nr_events == RACE_EVENTS)
		env_die(ENV_LIMIT, "too much happens in a race", 0);
	race_shared->events[race_shared->nr_events++] = number;
	race_shared->events[header] += 1 << LENGTH_SHIFT;
}

void race_event(enum history_event event, int n, ...)
{
	va_list numbers;

	header = race_shared->nr_events;
	if (header == RACE_EVENTS)
		env_die(ENV_LIMIT, "too much happens in a race", 0);
	race_shared->events[race_shared->nr_events++] = event;
	va_start(numbers, n);
	while (n--)
		race_event_more(va_arg(numbers, u64));
	va_end(numbers);
}

void race_event_bits(enum history_event event, u64 number, u64 first, const u64 *bitmap, unsigned long nbits)
{
	unsigned long i;

	race_event(event, 1, number);
	for (i = 0; i < nbits; i++)
		if (bitmap[i / 64] >> i % 64 & 1)
			race_event_more(first + i);
}

/* Marks of the setup do not count. */
void race_forget_frames(void)
{
	unsigned long pfn;

	for (pfn = ENV_RAM_START_PFN; pfn < env_next_pfn(); pfn++) {
		*flags_of(pfn_to_page(pfn)) &= ~(BIT(PG_referenced) | BIT(PG_dirty));
	}
}

void race_note_frames(void)
{
	unsigned long pfn, n = 0;

	for (pfn = ENV_RAM_START_PFN; pfn < env_next_pfn(); pfn++) {
		unsigned long flags = *flags_of(pfn_to_page(pfn));
		bool dirty = flags & BIT(PG_dirty), accessed = flags & BIT(PG_referenced);

		if (!dirty && !accessed)
			continue;
		if (n == RACE_FRAMES)
			env_die(ENV_LIMIT, "too many frames are used in a race", 0);
		race_shared->frames[n++] = pfn << 2 | accessed << 1 | dirty;
	}
	race_shared->nr_frames = n;
}
