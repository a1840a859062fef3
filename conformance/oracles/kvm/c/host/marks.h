/* SPDX-License-Identifier: GPL-2.0-only */
/* The marks on the host's pages by which KVM reports that the guest wrote or used them. */
#ifndef CONFORMANCE_KVM_MARKS_H
#define CONFORMANCE_KVM_MARKS_H

struct page;

/* Its type differs by version. */
static inline unsigned long *flags_of(struct page *page)
{
	return (unsigned long *)&page->flags;
}

/* Clear the marks of a page that the host maps: 1 if it was marked dirty, plus 2 if accessed; or -EINVAL. */
int host_take_marks(unsigned long page);

#endif
