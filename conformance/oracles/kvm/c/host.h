/* SPDX-License-Identifier: GPL-2.0-only */
/* The host's page tables, for those who map (host.c) and those who change what is mapped (changes.c). */
#ifndef CONFORMANCE_KVM_HOST_H
#define CONFORMANCE_KVM_HOST_H

#include <linux/types.h>

/* Bits of an entry, as the hardware has them; one of its ignored bits says that others share the page. */
#define P		(1UL << 0)
#define W		(1UL << 1)
#define HUGE		(1UL << 7)
#define SHARED		(1UL << 52)
#define PRESENT		(P | 1UL << 2 | 1UL << 5)
#define PFN_MASK	0x000ffffffffff000UL

/* How many pages an entry of a level maps. */
extern const unsigned long host_level_pages[];

struct area { unsigned long start, npages; int writable, level; };
struct area *host_area(unsigned long nr);
struct area *host_area_of(unsigned long page);
int host_mmap(unsigned long start, unsigned long npages, int writable, int level);

struct host_walk { u64 *entry; int level; };
struct host_walk host_walk_to(unsigned long page);
u64 *host_place_at(unsigned long page, int level);
u64 host_leaf(unsigned long pfn, int level, bool writable);
unsigned long host_allocate(int level);

#endif
