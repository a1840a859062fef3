// SPDX-License-Identifier: GPL-2.0-only
/* get_user_pages() and its variants on the host's memory, with a host page fault where the page is not mapped. */
#include <linux/mm.h>
#include "process/stand_in.h"
#include "host.h"

int env_get_user_pages_fast_only(unsigned long start, int n, unsigned int flags, struct page **pages)
	STANDS_IN(get_user_pages_fast_only);
int env_get_user_pages_fast_only(unsigned long start, int n, unsigned int flags, struct page **pages)
{
	int i;

	for (i = 0; i < n; i++)
		if (!env_gup_fast(start + i * PAGE_SIZE, flags & FOLL_WRITE, &pages[i]))
			break;
	return i;
}

/* FOLL_NOWAIT and FOLL_HWPOISON change nothing: anonymous memory needs no I/O, and no page is poisoned. */
long env_get_user_pages_unlocked(unsigned long start, unsigned long n, struct page **pages, unsigned int flags)
	STANDS_IN(get_user_pages_unlocked);
long env_get_user_pages_unlocked(unsigned long start, unsigned long n, struct page **pages, unsigned int flags)
{
	bool write = flags & FOLL_WRITE;
	int r;

	if (n != 1 || start < ENV_HOST_BASE)
		return -EFAULT;
	do {
		r = env_touch((start - ENV_HOST_BASE) >> PAGE_SHIFT, write);
		if (r)
			return r;
		/* In a race the mapping may have been removed again. */
	} while (!env_gup_fast(start, write, pages));
	return 1;
}

/* KVM calls this without `pages`, to learn whether the page is poisoned. */
long env_get_user_pages(unsigned long start, unsigned long n, unsigned int flags, struct page **pages)
	STANDS_IN(get_user_pages);
long env_get_user_pages(unsigned long start, unsigned long n, unsigned int flags, struct page **pages)
{
	return env_touch((start - ENV_HOST_BASE) >> PAGE_SHIFT, flags & FOLL_WRITE) ? -EFAULT : 1;
}

/* The host's entry that maps an address, and its level; NULL if a table is missing. */
u64 *env_lookup_address(struct mm_struct *mm, unsigned long address, unsigned int *level)
	STANDS_IN(lookup_address_in_mm);
u64 *env_lookup_address(struct mm_struct *mm, unsigned long address, unsigned int *level)
{
	struct host_walk walk = host_walk_to((address - ENV_HOST_BASE) >> PAGE_SHIFT);

	*level = walk.level;
	return walk.level == 1 || *walk.entry & P ? walk.entry : NULL;
}

struct vm_area_struct *env_find_vma(struct mm_struct *mm, unsigned long address) STANDS_IN(find_vma);
struct vm_area_struct *env_find_vma(struct mm_struct *mm, unsigned long address)
{
	return env_vma(address);
}

/* The only maple tree that KVM looks into is the one of areas. */
void *env_mtree_load(void *tree, unsigned long address) STANDS_IN(mtree_load);
void *env_mtree_load(void *tree, unsigned long address)
{
	return env_vma(address);
}
