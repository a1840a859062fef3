// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's memory as KVM gets to see it: areas, page tables that the kernel's own code can walk, and what
 * changes them, each with the notifier calls that mm/ makes around it.  Anonymous memory and 1G huge pages
 * only; a physical page is never used again.
 */
#include <linux/mm.h>
#include "kernel.h"

/* Bits of an entry, as the hardware has them; one of its ignored bits says that others share the page. */
#define P		(1UL << 0)
#define W		(1UL << 1)
#define HUGE		(1UL << 7)
#define SHARED		(1UL << 52)
#define PRESENT		(P | 1UL << 2 | 1UL << 5)
#define PFN_MASK	0x000ffffffffff000UL

#define ZERO_PFN	0x100000UL

static const unsigned long level_pages[] = { 0, 1, 512, 512 * 512, 512UL * 512 * 512 };

static unsigned long next_pfn = ENV_RAM_START_PFN + 0x200;

struct env_walk { u64 *entry; int level; };
struct area { unsigned long start, npages; int writable, level; };
#define MAX_AREAS	256
static struct area areas[MAX_AREAS];
static struct vm_area_struct vmas[MAX_AREAS];
static int nr_areas;

unsigned long env_zero_pfn STANDS_IN(zero_pfn) = ZERO_PFN;
unsigned long env_zero_page_pfn STANDS_IN(zero_page_pfn) = ZERO_PFN;

/* Never freed, hence reserved; mapped wherever memory was read before it was written. */
void env_host_init(void)
{
	struct page *zero = pfn_to_page(ZERO_PFN);

	atomic_set(&zero->_refcount, 1);
	__SetPageReserved(zero);
}

static struct area *area_of(unsigned long page)
{
	int i;

	for (i = 0; i < nr_areas; i++)
		if (page >= areas[i].start && page < areas[i].start + areas[i].npages)
			return &areas[i];
	return NULL;
}

/* The area of an address as the kernel knows it: anonymous memory without any peculiarity. */
struct vm_area_struct *env_vma(unsigned long address)
{
	struct area *area = address < ENV_HOST_BASE ? NULL : area_of((address - ENV_HOST_BASE) >> PAGE_SHIFT);

	return area ? &vmas[area - areas] : NULL;
}

static int map_area(unsigned long start, unsigned long npages, int writable, int level)
{
	struct vm_area_struct *vma = &vmas[nr_areas];
	int i;

	if (!npages || start + npages > ENV_HOST_PAGES || level < 1 || level > 3)
		return -EINVAL;
	if (level == 3 && (start | npages) % level_pages[3])
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

/* The entry that maps a page, or the absent one at which a walk for it ends. */
static struct env_walk walk_to(unsigned long page)
{
	unsigned long address = ENV_HOST_BASE + (page << PAGE_SHIFT);
	u64 *table = (u64 *)current->mm->pgd;
	struct env_walk walk;

	for (walk.level = 4;; walk.level--) {
		walk.entry = &table[(address >> (3 + 9 * walk.level)) & 511];
		if (walk.level == 1 || !(*walk.entry & P) || *walk.entry & HUGE)
			return walk;
		table = __va(*walk.entry & PFN_MASK);
	}
}

/* The place for an entry of a level, whatever is there, under tables made where there were none. */
static u64 *place_at(unsigned long page, int level)
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

static u64 leaf(unsigned long pfn, int level, bool writable)
{
	return pfn << PAGE_SHIFT | PRESENT | (writable ? W : 0) | (level > 1 ? HUGE : 0);
}

/* A run of physical pages of a level; 0 if there are none left. */
static unsigned long allocate(int level)
{
	unsigned long pfn = ALIGN(next_pfn, level_pages[level]);

	if (pfn + level_pages[level] > ENV_RAM_END_PFN)
		return 0;
	next_pfn = pfn + level_pages[level];
	return pfn;
}

/* Whether a 2M page may be mapped around this one: all of it in the area, and nothing of it mapped. */
static bool may_be_huge(const struct area *area, unsigned long page)
{
	unsigned long start = page & -512UL;
	struct env_walk walk = walk_to(page);
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
		*place_at(page, 1) = leaf(ZERO_PFN, 1, false);
		return 0;
	}
	pfn = allocate(level);
	if (!pfn)
		return -ENOMEM;
	*place_at(page, level) = leaf(pfn, level, area->writable);
	return 0;
}

static int copy_on_write(unsigned long page, u64 *entry)
{
	unsigned long pfn;

	env_range_start(page, 1, MMU_NOTIFY_CLEAR);
	*entry = 0;
	pfn = allocate(1);
	if (pfn) {
		env_change_pte(page, leaf(pfn, 1, true));
		*entry = leaf(pfn, 1, true);
	}
	env_range_end(page, 1, MMU_NOTIFY_CLEAR);
	return pfn ? 0 : -ENOMEM;
}

int env_touch(unsigned long page, bool write)
{
	struct area *area = page < ENV_HOST_PAGES ? area_of(page) : NULL;
	struct env_walk walk;
	u64 entry;

	if (!area || (write && !area->writable))
		return -EFAULT;
	walk = walk_to(page);
	entry = *walk.entry;
	if (!(entry & P))
		return map_absent(area, page, write);
	if (!write || entry & W)
		return 0;
	if (entry & SHARED || (entry & PFN_MASK) >> PAGE_SHIFT == ZERO_PFN)
		return copy_on_write(page, walk.entry);
	*walk.entry |= W;
	return 0;
}

/* Replace a huge entry by 512 that map the same, as __split_huge_pmd() does. */
static void split(unsigned long page)
{
	struct env_walk walk = walk_to(page);
	unsigned long start = page & -512UL;
	u64 huge = *walk.entry, *table;
	int i;

	env_range_start(start, 512, MMU_NOTIFY_CLEAR);
	table = env_table_page();
	for (i = 0; i < 512; i++)
		table[i] = (huge & ~HUGE) + ((u64)i << PAGE_SHIFT);
	*walk.entry = __pa(table) | PRESENT | W;
	env_range_end(start, 512, MMU_NOTIFY_CLEAR);
}

/* Make entries end where a range does: -EINVAL, and nothing done, if a 1G entry would have to be split. */
static int split_at_ends(unsigned long page, unsigned long npages)
{
	unsigned long ends[] = { page, page + npages };
	int i, level;

	for (level = 3; level >= 2; level--) {
		for (i = 0; i < ARRAY_SIZE(ends); i++) {
			struct env_walk walk = walk_to(ends[i]);

			if (walk.level != level || !(*walk.entry & P) || !(ends[i] % level_pages[level]))
				continue;
			if (level == 3)
				return -EINVAL;
			split(ends[i]);
		}
	}
	return 0;
}

/* Each present entry in the range, in order. */
static void change_range(unsigned long page, unsigned long npages, u64 keep)
{
	unsigned long end = page + npages;

	while (page < end) {
		struct env_walk walk = walk_to(page);
		unsigned long size = level_pages[walk.level];

		if (*walk.entry & P)
			*walk.entry &= keep;
		page = (page & -size) + size;
	}
}

static int change(unsigned long page, unsigned long npages, u64 keep, int event)
{
	int r;

	if (!npages || page + npages > ENV_HOST_PAGES)
		return -EINVAL;
	r = split_at_ends(page, npages);
	if (r)
		return r;
	env_range_start(page, npages, event);
	change_range(page, npages, keep);
	env_range_end(page, npages, event);
	return 0;
}

static int ksm_merge(unsigned long page)
{
	struct env_walk walk = walk_to(page);
	unsigned long pfn;

	if (walk.level != 1 || !(*walk.entry & P))
		return -EINVAL;
	env_range_start(page, 1, MMU_NOTIFY_CLEAR);
	*walk.entry = 0;
	pfn = allocate(1);
	if (pfn) {
		env_change_pte(page, leaf(pfn, 1, false));
		*walk.entry = leaf(pfn, 1, false) | SHARED;
	}
	env_range_end(page, 1, MMU_NOTIFY_CLEAR);
	return pfn ? 0 : -ENOMEM;
}

static int collapse(unsigned long page)
{
	unsigned long start = page & -512UL, pfn;
	struct area *area = area_of(page);

	if (!area || area->level == 3 || !area->writable || start < area->start ||
	    start + 512 > area->start + area->npages)
		return -EINVAL;
	env_range_start(start, 512, MMU_NOTIFY_CLEAR);
	change_range(start, 512, 0);
	pfn = allocate(2);
	if (pfn)
		*place_at(start, 2) = leaf(pfn, 2, true);
	env_range_end(start, 512, MMU_NOTIFY_CLEAR);
	return pfn ? 0 : -ENOMEM;
}

/* The sequence of the third seed, with the entry as it is; gone since f3b65bbaed7c in v6.10. */
static int change_pte(unsigned long page)
{
#ifdef HAVE_CHANGE_PTE
	struct env_walk walk = walk_to(page);
	u64 entry = *walk.entry & ~HUGE;

	if (!(entry & P))
		return -EINVAL;
	entry += (page & (level_pages[walk.level] - 1)) << PAGE_SHIFT;
	env_range_start(page, 1, MMU_NOTIFY_CLEAR);
	env_change_pte(page, entry);
	env_range_end(page, 1, MMU_NOTIFY_CLEAR);
	return 0;
#else
	return -ENOSYS;
#endif
}

/*
 * get_user_pages() without a fault: the page at an address with a reference for the caller, if it is
 * mapped as it has to be.
 */
bool env_gup_fast(unsigned long address, bool write, struct page **page)
{
	unsigned long nr = (address - ENV_HOST_BASE) >> PAGE_SHIFT;
	struct env_walk walk;

	if (address < ENV_HOST_BASE || nr >= ENV_HOST_PAGES)
		return false;
	walk = walk_to(nr);
	if (!(*walk.entry & P) || (write && !(*walk.entry & W)))
		return false;
	*page = pfn_to_page(((*walk.entry & PFN_MASK) >> PAGE_SHIFT) + (nr & (level_pages[walk.level] - 1)));
	/* The host's own reference is taken late, since a run of pages is long. */
	if (!page_ref_count(*page))
		set_page_count(*page, 1);
	page_ref_inc(*page);
	return true;
}

/* References to the host's pages that KVM has not given back. */
long env_pages_kept(void)
{
	unsigned long pfn;
	long kept = 0;

	for (pfn = ENV_RAM_START_PFN; pfn < next_pfn; pfn++)
		if (page_ref_count(pfn_to_page(pfn)))
			kept += page_ref_count(pfn_to_page(pfn)) - 1;
	return kept;
}

int env_host_step(enum env_host_step step, const unsigned long *args)
{
	unsigned long page = args[0], npages = args[1];

	switch (step) {
	case HOST_MMAP:
		return map_area(page, npages, args[2], args[3]);
	case HOST_TOUCH:
		return env_touch(page, args[1]);
	case HOST_DONTNEED:
		return change(page, npages, 0, MMU_NOTIFY_CLEAR);
	case HOST_WRPROTECT:
		return change(page, npages, ~W, MMU_NOTIFY_PROTECTION_PAGE);
	case HOST_KSM_MERGE:
		return ksm_merge(page);
	case HOST_COLLAPSE:
		return collapse(page);
	case HOST_CHANGE_PTE:
		return change_pte(page);
	}
	return -ENOSYS;
}
