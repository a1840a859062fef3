/* SPDX-License-Identifier: GPL-2.0-only */
/* The host's memory, in pages from ENV_HOST_BASE: areas, page tables, page faults. */
#ifndef CONFORMANCE_KVM_HOST_H
#define CONFORMANCE_KVM_HOST_H

#include <linux/types.h>
#include "process/address_space.h"

/* Bits of an entry, as the hardware has them; SHARED is an ignored bit that marks a page merged by KSM. */
#define P		(1UL << 0)
#define W		(1UL << 1)
#define HUGE		(1UL << 7)
#define SHARED		(1UL << 52)
#define PRESENT		(P | 1UL << 2 | 1UL << 5)
#define PFN_MASK	0x000ffffffffff000UL
/* The zero page: mapped where memory is read before it is written, and never freed. */
#define ZERO_PFN	0x100000UL

struct page;
struct vm_area_struct;

/* How many pages an entry of a level maps. */
extern const unsigned long host_level_pages[];

/* Mapped by entries of at most `level`. */
struct area { unsigned long start, npages; int writable, level; };
/* By number, or the one that contains a page; NULL if it does not exist. */
struct area *host_area(unsigned long nr);
struct area *host_area_of(unsigned long page);
int host_mmap(unsigned long start, unsigned long npages, int writable, int level);

/* The entry that maps a page, or the absent one at which the walk for it ends. */
struct host_walk { u64 *entry; int level; };
struct host_walk host_walk_to(unsigned long page);
/* The entry of a level, whatever its content; tables above it are allocated. */
u64 *host_place_at(unsigned long page, int level);
u64 host_leaf(unsigned long pfn, int level, bool writable);
/* A run of physical pages of a level, never used before; 0 if all are used. */
unsigned long host_allocate(int level);

void env_host_init(void);
/* A page fault: 0, or a negative error. */
int env_touch(unsigned long page, bool write);
/*
 * get_user_pages() without a fault: false if the page is not mapped as it has to be, else the page with a reference
 * for the caller.
 */
bool env_gup_fast(unsigned long address, bool write, struct page **page);
struct vm_area_struct *env_vma(unsigned long address);
/* References to the host's pages that KVM has not dropped. */
long env_pages_kept(void);
/* No frame from here on was ever used. */
unsigned long env_next_pfn(void);

#endif
