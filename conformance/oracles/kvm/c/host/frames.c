// SPDX-License-Identifier: GPL-2.0-only
/*
 * The content of the host's frames.  Content lies in a page of its own, to which the frame's struct page points, so
 * that frames that are only mapped cost nothing.
 */
#include <linux/mm.h>
#include "kernel/memory.h"
#include "process/observe.h"
#include "frames.h"

#define MAX_FRAMES	32768
/* The frames that have content, in the order in which they got it. */
static unsigned long frames[MAX_FRAMES];
static unsigned long nr_frames;

/* KVM looks at the private data of its own pages only. */
static u64 *words_of(unsigned long pfn)
{
	return (u64 *)page_private(pfn_to_page(pfn));
}

static u64 *make_words(unsigned long pfn)
{
	u64 *words = words_of(pfn);

	if (words)
		return words;
	if (nr_frames == MAX_FRAMES)
		env_die(ENV_LIMIT, "too many pages are written", 0);
	words = env_table_page();
	set_page_private(pfn_to_page(pfn), (unsigned long)words);
	frames[nr_frames++] = pfn;
	return words;
}

u64 frame_read(unsigned long pfn, unsigned long offset, size_t size)
{
	const u64 *words = words_of(pfn);
	u64 value = 0;

	if (words)
		memcpy(&value, (const char *)words + offset, size);
	return value;
}

void frame_write(unsigned long pfn, unsigned long offset, size_t size, u64 value)
{
	memcpy((char *)make_words(pfn) + offset, &value, size);
}

void *frame_word(unsigned long pfn, unsigned long offset)
{
	return (char *)make_words(pfn) + offset;
}

void frame_copy(unsigned long from, unsigned long to)
{
	const u64 *words = words_of(from);

	if (words)
		memcpy(make_words(to), words, PAGE_SIZE);
}

/* Where the direct map would have it: nothing is mapped there. */
const void *frame_object(unsigned long pfn, unsigned long offset)
{
	return __va((pfn << PAGE_SHIFT) + (offset & -8UL));
}

void put_memory(void)
{
	unsigned long start = begin_list(), i;
	int at;

	for (i = 0; i < nr_frames; i++) {
		const u64 *words = words_of(frames[i]);

		for (at = 0; at < PAGE_SIZE / 8; at++) {
			if (!words[at])
				continue;
			put_word(frames[i]);
			put_word(at);
			put_word(words[at]);
		}
	}
	end_list(start, 3);
}
