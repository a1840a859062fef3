/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's memory: pages and objects out of the direct map. */
#ifndef CONFORMANCE_KVM_MEMORY_H
#define CONFORMANCE_KVM_MEMORY_H

#include <linux/gfp.h>
#include <linux/types.h>
#include "process/address_space.h"
#include "process/stand_in.h"

/* Freed memory is filled with this, as by include/linux/poison.h. */
#define ENV_FREED	0x6b

/* What KVM has allocated and not freed. */
struct env_ledger { long objects, pages; };
extern struct env_ledger env_ledger;

/* Called for memory that comes and goes, so that a race knows which of it threads share. */
struct memory_hooks {
	void (*allocated)(void *object, size_t size);
	void (*freed)(void *object, size_t size);
	/* The environment's own memory, which no thread's access to stops at. */
	void (*hide)(void *object, size_t size);
};

/* NULL in an ordinary machine. */
extern const struct memory_hooks *memory_hooks;

void env_memory_init(void);

/* Pages, with a struct page that has one reference. */
struct page *env_get_run(gfp_t gfp, unsigned int order);
void env_put_run(void *run, unsigned int order);
/* A page of the host's page tables, which is not in the ledger. */
void *env_table_page(void);
/* The serial number of an allocated page: the same memory allocated again has another. 0 for the host's frames. */
u64 env_serial(const void *page);
/* The end of the memory that was ever allocated. */
unsigned long env_unused(void);

void *env_object(size_t size, bool zero);
void env_put_object(void *object);

/* allocators.c */
void env_kfree(const void *object) STANDS_IN(kfree);

#endif
