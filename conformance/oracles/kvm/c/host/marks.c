// SPDX-License-Identifier: GPL-2.0-only
/* The marks of a page that is part of a huge page are those of the huge page. */
#include <linux/mm.h>
#include "host.h"
#include "marks.h"

/* KVM marks frames as accessed; kernels differ in whether they call a function for it. */
void mark_page_accessed(struct page *page)
{
	*flags_of(compound_head(page)) |= BIT(PG_referenced);
}

int host_take_marks(unsigned long page)
{
	struct host_walk walk = host_walk_to(page);
	unsigned long pfn, found, *flags;

	if (!(*walk.entry & P))
		return -EINVAL;
	pfn = (*walk.entry & PFN_MASK) >> PAGE_SHIFT;
	flags = flags_of(compound_head(pfn_to_page(pfn + (page & (host_level_pages[walk.level] - 1)))));
	found = *flags;
	*flags &= ~(BIT(PG_referenced) | BIT(PG_dirty));
	return !!(found & BIT(PG_dirty)) | !!(found & BIT(PG_referenced)) << 1;
}
