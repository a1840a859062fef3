// SPDX-License-Identifier: GPL-2.0-only
/* Operations on mapped memory, with the notifier calls that mm/ makes around each. */
#include <linux/mm.h>
#include "kernel/memory.h"
#include "process/scheduler.h"
#include "frames.h"
#include "host.h"
#include "notifiers.h"
#include "operations.h"

/* Replace a huge entry by 512 that map the same, as __split_huge_pmd() does. */
static void split(unsigned long page)
{
	struct host_walk walk = host_walk_to(page);
	unsigned long start = page & -512UL;
	u64 huge = *walk.entry, *table;
	int i;

	env_range_start(start, 512, MMU_NOTIFY_CLEAR);
	sched_point(POINT_RMW, walk.entry);
	table = env_table_page();
	for (i = 0; i < 512; i++)
		table[i] = (huge & ~HUGE) + ((u64)i << PAGE_SHIFT);
	*walk.entry = __pa(table) | PRESENT | W;
	env_range_end(start, 512, MMU_NOTIFY_CLEAR);
}

/* Make entries end where a range does: -EINVAL without a change if a 1G entry would have to be split. */
static int split_at_ends(unsigned long page, unsigned long npages)
{
	unsigned long ends[] = { page, page + npages };
	int i, level;

	for (level = 3; level >= 2; level--) {
		for (i = 0; i < ARRAY_SIZE(ends); i++) {
			struct host_walk walk = host_walk_to(ends[i]);

			if (walk.level != level || !(*walk.entry & P) || !(ends[i] % host_level_pages[level]))
				continue;
			if (level == 3)
				return -EINVAL;
			split(ends[i]);
		}
	}
	return 0;
}

/* Frames that are released, or write-protected, when an operation is over. */
#define MAX_CHANGED	512
struct changed { unsigned long n, pfns[MAX_CHANGED], pages[MAX_CHANGED]; };

static void note(struct changed *changed, unsigned long page, u64 entry, unsigned long size)
{
	unsigned long pfn = (entry & PFN_MASK) >> PAGE_SHIFT;

	for (page &= -size; size-- && changed->n < MAX_CHANGED; page++) {
		changed->pages[changed->n] = page;
		changed->pfns[changed->n++] = pfn++;
	}
}

static bool may_be_written(unsigned long page)
{
	return *host_walk_to(page).entry & W;
}

/*
 * Inlined, so that reports name the operation.  A page that was made writable meanwhile is not protected, and the zero
 * page is never released: it is mapped again wherever memory is read before it is written.
 */
static __always_inline void record(const struct changed *changed, enum history_event event)
{
	unsigned long i;

	if (changed->n)
		sched_point(POINT_WRITE, history);
	for (i = 0; i < changed->n; i++) {
		if (event == EVENT_PROTECTED && may_be_written(changed->pages[i]))
			continue;
		if (event == EVENT_RELEASED && changed->pfns[i] == ZERO_PFN)
			continue;
		record_event(event, 1, (u64)changed->pfns[i]);
	}
}

/* Each present entry in the range, in order. */
static void change_range(unsigned long page, unsigned long npages, u64 keep, struct changed *changed)
{
	unsigned long end = page + npages;

	while (page < end) {
		struct host_walk walk = host_walk_to(page);
		unsigned long size = host_level_pages[walk.level];

		sched_point(POINT_RMW, walk.entry);
		if (*walk.entry & P) {
			if (*walk.entry & ~keep)
				note(changed, page, *walk.entry, size);
			*walk.entry &= keep;
		}
		page = (page & -size) + size;
	}
}

static int change(unsigned long page, unsigned long npages, u64 keep, int event)
{
	struct changed changed = {};
	int r;

	if (!npages || page + npages > ENV_HOST_PAGES)
		return -EINVAL;
	r = split_at_ends(page, npages);
	if (r)
		return r;
	env_range_start(page, npages, event);
	change_range(page, npages, keep, &changed);
	record(&changed, keep ? EVENT_PROTECTED : EVENT_RELEASED);
	env_range_end(page, npages, event);
	return 0;
}

static int ksm_merge(unsigned long page)
{
	struct host_walk walk = host_walk_to(page);
	struct changed changed = {};
	unsigned long pfn;
	u64 seen = *walk.entry;

	if (walk.level != 1 || !(seen & P))
		return -EINVAL;
	env_range_start(page, 1, MMU_NOTIFY_CLEAR);
	sched_point(POINT_RMW, walk.entry);
	/* Checked again, as by replace_page(). */
	if (*walk.entry != seen) {
		env_range_end(page, 1, MMU_NOTIFY_CLEAR);
		return -EFAULT;
	}
	note(&changed, page, seen, 1);
	*walk.entry = 0;
	pfn = host_allocate(1);
	if (pfn) {
		frame_copy((seen & PFN_MASK) >> PAGE_SHIFT, pfn);
		env_change_pte(page, host_leaf(pfn, 1, false));
		*walk.entry = host_leaf(pfn, 1, false) | SHARED;
	}
	record(&changed, EVENT_RELEASED);
	env_range_end(page, 1, MMU_NOTIFY_CLEAR);
	return pfn ? 0 : -ENOMEM;
}

static int mremap_page(unsigned long page, unsigned long to)
{
	struct host_walk walk = host_walk_to(page);
	struct area *area = to < ENV_HOST_PAGES ? host_area_of(to) : NULL;
	u64 *target, entry;

	if (walk.level != 1 || !(*walk.entry & P) || !area || area->level != 1 || *host_walk_to(to).entry & P)
		return -EINVAL;
	env_range_start(page, 1, MMU_NOTIFY_UNMAP);
	target = host_place_at(to, 1);
	sched_point(POINT_RMW, walk.entry);
	entry = *walk.entry;
	*walk.entry = 0;
	sched_point(POINT_WRITE, target);
	*target = entry;
	sched_point(POINT_WRITE, history);
	record_event(EVENT_MOVED, 2, (entry & PFN_MASK) >> PAGE_SHIFT, (u64)to);
	env_range_end(page, 1, MMU_NOTIFY_UNMAP);
	return 0;
}

static int collapse(unsigned long page)
{
	unsigned long start = page & -512UL, pfn;
	struct area *area = host_area_of(page);
	struct changed changed = {};
	unsigned long i;

	if (!area || area->level == 3 || !area->writable || start < area->start ||
	    start + 512 > area->start + area->npages)
		return -EINVAL;
	env_range_start(start, 512, MMU_NOTIFY_CLEAR);
	change_range(start, 512, 0, &changed);
	pfn = host_allocate(2);
	if (pfn) {
		for (i = 0; i < changed.n; i++)
			frame_copy(changed.pfns[i], pfn + changed.pages[i] - start);
		*host_place_at(start, 2) = host_leaf(pfn, 2, true);
	}
	record(&changed, EVENT_RELEASED);
	env_range_end(start, 512, MMU_NOTIFY_CLEAR);
	return pfn ? 0 : -ENOMEM;
}

/*
 * A change_pte notification with the entry as it is, until f3b65bbaed7c ("KVM: delete .change_pte MMU notifier
 * callback") in v6.10.
 */
static int change_pte(unsigned long page)
{
#ifdef HAVE_CHANGE_PTE
	struct host_walk walk = host_walk_to(page);
	u64 entry = *walk.entry & ~HUGE;

	if (!(entry & P))
		return -EINVAL;
	entry += (page & (host_level_pages[walk.level] - 1)) << PAGE_SHIFT;
	env_range_start(page, 1, MMU_NOTIFY_CLEAR);
	env_change_pte(page, entry);
	env_range_end(page, 1, MMU_NOTIFY_CLEAR);
	return 0;
#else
	return -ENOSYS;
#endif
}

int env_host_step(enum env_host_step step, const unsigned long *args)
{
	unsigned long page = args[0], npages = args[1];

	switch (step) {
	case HOST_MMAP:
		return host_mmap(page, npages, args[2], args[3]);
	case HOST_TOUCH:
		return env_touch(page, args[1]);
	case HOST_DONTNEED:
		return change(page, npages, 0, MMU_NOTIFY_CLEAR);
	case HOST_WRPROTECT:
		return change(page, npages, ~W, MMU_NOTIFY_PROTECTION_PAGE);
	case HOST_KSM_MERGE:
		return ksm_merge(page);
	case HOST_MREMAP:
		return mremap_page(page, args[1]);
	case HOST_COLLAPSE:
		return collapse(page);
	case HOST_CHANGE_PTE:
		return change_pte(page);
	}
	return -ENOSYS;
}
