// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's memory as KVM sees it: areas, page tables that the kernel's own code can walk, and page faults.
 * Anonymous memory and 1G huge pages only; a physical page is never used again.
 */
#include <linux/mm.h>
#include "kernel/memory.h"
#include "process/scheduler.h"
#include "frames.h"
#include "host.h"
#include "notifiers.h"

const unsigned long host_level_pages[] = { 0, 1, 512, 512 * 512, 512UL * 512 * 512 };

static unsigned long next_pfn = ENV_RAM_START_PFN + 0x200;

#define MAX_AREAS	256
static struct area areas[MAX_AREAS];
static struct vm_area_struct vmas[MAX_AREAS];
static int nr_areas;

unsigned long env_zero_pfn STANDS_IN(zero_pfn) = ZERO_PFN;
unsigned long env_zero_page_pfn STANDS_IN(zero_page_pfn) = ZERO_PFN;

/* The zero page: reserved, since it is never freed. */
void env_host_init(void)
{
	struct page *zero = pfn_to_page(ZERO_PFN);

	atomic_set(&zero->_refcount, 1);
	__SetPageReserved(zero);
}

struct area *host_area_of(unsigned long page)
{
	int i;

	for (i = 0; i < nr_areas; i++)
		if (page >= areas[i].start && page < areas[i].start + areas[i].npages)
			return &areas[i];
	return NULL;
}

struct area *host_area(unsigned long nr)
{
	return nr < nr_areas ? &areas[nr] : NULL;
}

/* Anonymous memory without special flags. */
struct vm_area_struct *env_vma(unsigned long address)
{
	struct area *area = address < ENV_HOST_BASE ? NULL : host_area_of((address - ENV_HOST_BASE) >> PAGE_SHIFT);

	return area ? &vmas[area - areas] : NULL;
}

int host_mmap(unsigned long start, unsigned long npages, int writable, int level)
{
	struct vm_area_struct *vma = &vmas[nr_areas];
	int i;

	if (!npages || start + npages > ENV_HOST_PAGES || level < 1 || level > 3)
		return -EINVAL;
	if (level == 3 && (start | npages) % host_level_pages[3])
		return -EINVAL;
	for (i = 0; i < nr_areas; i++)
		if (start < areas[i].start + areas[i].npages && areas[i].start < start + npages)
			return -EINVAL;
	if (nr_areas == MAX_AREAS)
		return -ENOMEM;
	vma->vm_start = ENV_HOST_BASE + (start << PAGE_SHIFT);
	vma->vm_end = vma->vm_start + (npages << PAGE_SHIFT);
	vma->vm_mm = current->mm;
	*(vm_flags_t *)&vma->vm_flags = VM_READ | (writable ? VM_WRITE : 0);
	areas[nr_areas++] = (struct area){ start, npages, writable, level };
	return 0;
}

struct host_walk host_walk_to(unsigned long page)
{
	unsigned long address = ENV_HOST_BASE + (page << PAGE_SHIFT);
	u64 *table = (u64 *)current->mm->pgd;
	struct host_walk walk;

	for (walk.level = 4;; walk.level--) {
		walk.entry = &table[(address >> (3 + 9 * walk.level)) & 511];
		if (walk.level == 1 || !(*walk.entry & P) || *walk.entry & HUGE)
			return walk;
		table = __va(*walk.entry & PFN_MASK);
	}
}

u64 *host_place_at(unsigned long page, int level)
{
	unsigned long address = ENV_HOST_BASE + (page << PAGE_SHIFT);
	u64 *table = (u64 *)current->mm->pgd;
	int above;

	for (above = 4; above > level; above--) {
		u64 *entry = &table[(address >> (3 + 9 * above)) & 511];

		if (!(*entry & P))
			*entry = __pa(env_table_page()) | PRESENT | W;
		table = __va(*entry & PFN_MASK);
	}
	return &table[(address >> (3 + 9 * level)) & 511];
}

u64 host_leaf(unsigned long pfn, int level, bool writable)
{
	return pfn << PAGE_SHIFT | PRESENT | (writable ? W : 0) | (level > 1 ? HUGE : 0);
}

/* The pages of a huge page are one compound page, which is counted as a whole, and stays one when it is split. */
static void make_compound(unsigned long pfn, int level)
{
	struct page *head = pfn_to_page(pfn);
	unsigned long i;

	__SetPageHead(head);
	for (i = 1; i < host_level_pages[level]; i++)
#ifdef HAVE_COMPOUND_ORDER
		set_compound_head(head + i, head, 9 * (level - 1));
#else
		set_compound_head(head + i, head);
#endif
}

unsigned long host_allocate(int level)
{
	unsigned long pfn = ALIGN(next_pfn, host_level_pages[level]);

	if (pfn + host_level_pages[level] > ENV_RAM_END_PFN)
		return 0;
	next_pfn = pfn + host_level_pages[level];
	if (level > 1)
		make_compound(pfn, level);
	return pfn;
}

/* Whether a 2M page may map this one: the area contains all of it, and nothing of it is mapped. */
static bool may_be_huge(const struct area *area, unsigned long page)
{
	unsigned long start = page & -512UL;
	struct host_walk walk = host_walk_to(page);
	u64 *table;
	int i;

	if (area->level != 2 || start < area->start || start + 512 > area->start + area->npages)
		return false;
	if (walk.level > 1)
		return true;
	table = (u64 *)((unsigned long)walk.entry & PAGE_MASK);
	for (i = 0; i < 512; i++)
		if (table[i])
			return false;
	return true;
}

static int map_absent(const struct area *area, unsigned long page, bool write)
{
	int level = area->level == 3 ? 3 : may_be_huge(area, page) ? 2 : 1;
	unsigned long pfn;

	if (level == 1 && !write) {
		*host_place_at(page, 1) = host_leaf(ZERO_PFN, 1, false);
		return 0;
	}
	pfn = host_allocate(level);
	if (!pfn)
		return -ENOMEM;
	*host_place_at(page, level) = host_leaf(pfn, level, area->writable);
	return 0;
}

static __always_inline void record(enum history_event event, u64 entry)
{
	sched_point(POINT_WRITE, history);
	record_event(event, 1, (entry & PFN_MASK) >> PAGE_SHIFT);
}

static int copy_on_write(unsigned long page, u64 *entry)
{
	unsigned long pfn;
	u64 seen = *entry;

	env_range_start(page, 1, MMU_NOTIFY_CLEAR);
	sched_point(POINT_RMW, entry);
	/* Changed meanwhile: look again at what has to be done. */
	if (*entry != seen) {
		env_range_end(page, 1, MMU_NOTIFY_CLEAR);
		return env_touch(page, true);
	}
	*entry = 0;
	pfn = host_allocate(1);
	if (pfn) {
		frame_copy((seen & PFN_MASK) >> PAGE_SHIFT, pfn);
		env_change_pte(page, host_leaf(pfn, 1, true));
		*entry = host_leaf(pfn, 1, true);
	}
	if ((seen & PFN_MASK) >> PAGE_SHIFT != ZERO_PFN)
		record(EVENT_RELEASED, seen);
	env_range_end(page, 1, MMU_NOTIFY_CLEAR);
	return pfn ? 0 : -ENOMEM;
}

int env_touch(unsigned long page, bool write)
{
	struct area *area = page < ENV_HOST_PAGES ? host_area_of(page) : NULL;
	struct host_walk walk;
	u64 entry;

	if (!area || (write && !area->writable))
		return -EFAULT;
	sched_point(POINT_RMW, host_walk_to(page).entry);
	walk = host_walk_to(page);
	entry = *walk.entry;
	if (!(entry & P))
		return map_absent(area, page, write);
	if (!write || entry & W)
		return 0;
	if (entry & SHARED || (entry & PFN_MASK) >> PAGE_SHIFT == ZERO_PFN)
		return copy_on_write(page, walk.entry);
	*walk.entry |= W;
	record(EVENT_WRITABLE, *walk.entry);
	return 0;
}

bool env_gup_fast(unsigned long address, bool write, struct page **page)
{
	unsigned long nr = (address - ENV_HOST_BASE) >> PAGE_SHIFT;
	struct host_walk walk;
	struct page *head;

	if (address < ENV_HOST_BASE || nr >= ENV_HOST_PAGES)
		return false;
	sched_point(POINT_READ, host_walk_to(nr).entry);
	walk = host_walk_to(nr);
	if (!(*walk.entry & P) || (write && !(*walk.entry & W)))
		return false;
	*page = pfn_to_page(((*walk.entry & PFN_MASK) >> PAGE_SHIFT) + (nr & (host_level_pages[walk.level] - 1)));
	head = compound_head(*page);
	/* The host's own reference is taken here: most pages are never asked for. */
	if (!page_ref_count(head))
		set_page_count(head, 1);
	page_ref_inc(head);
	return true;
}

unsigned long env_next_pfn(void)
{
	return next_pfn;
}

long env_pages_kept(void)
{
	unsigned long pfn;
	long kept = 0;

	for (pfn = ENV_RAM_START_PFN; pfn < next_pfn; pfn++)
		if (page_ref_count(pfn_to_page(pfn)))
			kept += page_ref_count(pfn_to_page(pfn)) - 1;
	return kept;
}
