/* SPDX-License-Identifier: GPL-2.0-only */
/* The processor's part of the MMU: page walks, the TLB and page modification logging. */
#ifndef CONFORMANCE_KVM_PROCESSOR_H
#define CONFORMANCE_KVM_PROCESSOR_H

#include <linux/types.h>
#include "hosts.h"
#include "interface.h"
#include "kernel/cpu.h"

/* The host's description, by enum conformance_host. */
extern u64 env_host[NR_HOST];

static inline bool env_has_tdp_mmu(void)
{
	return env_host[HOST_TDP] && env_host[HOST_TDP_MMU];
}

#define PML_ENTRIES	512
#define TLB_ENTRIES	8192
#define RIGHTS		(ACCESS_READ | ACCESS_WRITE | ACCESS_FETCH)
/* One more right, of linear addresses: users may use them. */
#define RIGHT_USER	8
#define MAX_LEVEL	5

/*
 * `serial` is the root table's serial number, and `tdp_mmu` says that it is a root of the TDP MMU; level, pfn and
 * rights are those of the walk.  With shadow paging, translations of linear addresses are tagged by `pcid` instead.
 */
struct translation { u64 serial, gfn, pfn; int pcid, level, rights; bool dirty, tdp_mmu; };

/* One per vCPU. */
struct processor {
	u64 root, flushes;
	int root_level;
	bool tdp_mmu;
	/* L1's EPT has no A/D bits; see processor_enter_l2(). */
	bool no_ad, in_l2;
	int nr_tlb, nr_pml;
	bool pml_enabled;
	u64 pml[PML_ENTRIES];
	struct translation tlb[TLB_ENTRIES];
};
extern struct processor processors[MAX_VCPUS];

/* A table below the root, and the rights of the entries above it. */
struct cached_table { u64 serial, gfn, table; int level, rights; };

/* A race adds paging-structure caches, which skip upper levels of a walk. */
struct processor_hooks {
	/* The cached table nearest to the leaf; `found` is unchanged if none is cached. */
	void (*find_table)(struct processor *cpu, u64 gfn, struct cached_table *found);
	void (*cache_table)(struct processor *cpu, u64 gfn, int level, u64 table, int rights);
	void (*drop_tables)(struct processor *cpu);
};

/* NULL in an ordinary machine. */
extern const struct processor_hooks *processor_hooks;

/*
 * A reference to memory: the page of a guest physical address with two-dimensional paging, of a linear one with shadow
 * paging, to which alone what follows `kind` applies.
 */
struct reference { u64 page; int kind; bool user, smep, smap; int pcid; };

struct exit { bool misconfigured; u64 error_code; };

/* One access at the current root: its translation if it completes, else NULL and the exit. */
const struct translation *processor_access(struct processor *cpu, const struct reference *ref, struct exit *exit);
/* Whether rights allow a reference. */
bool processor_allows(int rights, const struct reference *ref);
/* Drop all translations. */
void processor_flush(struct processor *cpu);
/* Drop those of a linear address, of whatever PCID. */
void processor_flush_address(struct processor *cpu, u64 address);

/* While a vCPU is in L2, there is no page modification log, and A/D bits are as in L1's EPT. */
void processor_enter_l2(struct processor *cpu, bool ad);
void processor_leave_l2(struct processor *cpu);

/* The entries by level down to the leaf, and their values when read; NULL for levels that were skipped. */
struct table_walk { u64 *entries[MAX_LEVEL + 1], seen[MAX_LEVEL + 1]; int level, rights; };

/*
 * The table at a physical address: of the kernel's memory, or the zero page, which is KVM's dummy root for a guest whose
 * root is in no memslot.
 */
u64 *processor_table(u64 address);

/* linear_walk.c: walk for a linear address: true if the entries allow the access, else false and the exit. */
bool linear_walk(struct processor *cpu, const struct reference *ref, struct table_walk *path, struct exit *exit);

#endif
