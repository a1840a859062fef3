/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the units of a race offer each other.  A thread stops at a point, before each access to shared memory, and
 * runs on when it is advanced.  No layer below includes this: race_hooks.c registers what they call.
 */
#ifndef CONFORMANCE_KVM_RACING_H
#define CONFORMANCE_KVM_RACING_H

#include <linux/types.h>
#include "kernel/cpu.h"
#include "kernel/lockdep.h"
#include "machine/processor.h"
#include "process/address_space.h"
#include "process/exchange.h"
#include "process/scheduler.h"
#include "race.h"

struct kvm_mmu_page;
struct kvm_vcpu;

/* race_threads.c: the hooks of the scheduler. */
void race_point(enum point_kind kind, const volatile void *object, const void *caller);
void race_wait(enum point_kind kind, const void *object, sched_condition over, u64 since, const void *caller);
/* How often a thread has moved, and the object of the running thread's last point. */
u64 race_moves(void);
const void *race_last_object(void);
/* For conditions: whether all other threads have ended; whether one of them holds a lock, taken before a ticket. */
bool race_alone(void);
bool race_others_hold(const struct lockdep_map *map, bool exclusively, u64 before);

/* race_locks.c */
void race_lock(const struct lockdep_map *map, int read, const void *caller);
void race_wait_for_readers(const struct lockdep_map *map);
void race_enter_guest(int cpu);
void race_leave_guest(int cpu);
/* The CPU whose guest mode an object stands for, or -1. */
int race_cpu_of_guest(unsigned long object);

/* race_events.c: the history that invariants are checked against. */
void race_event(enum history_event event, int n, ...);
void race_event_more(u64 number);
void race_event_bits(enum history_event event, u64 number, u64 first, const u64 *bitmap, unsigned long nbits);
void race_forget_frames(void);
void race_note_frames(void);

/* race_vcpus.c */
void race_wait_for_walk(int cpu, const void *caller);
void race_prepare_vcpus(void);
void race_serve_other_requests(struct kvm_vcpu *vcpu);

/* race_tables.c: paging-structure caches. */
void race_find_table(struct processor *cpu, u64 gfn, struct cached_table *found);
void race_cache_table(struct processor *cpu, u64 gfn, int level, u64 table, int rights);
void race_drop_tables(struct processor *cpu);

/* race_names.c */
void race_name_object(unsigned long object, struct race_named *named);

/* race_shared.c: which memory threads share. */
static inline bool race_is_kernel_memory(unsigned long address)
{
	return address - ENV_DIRECT_MAP - ENV_KERNEL_START < ENV_KERNEL_END - ENV_KERNEL_START;
}
bool race_is_shared(unsigned long address);
/* Whether guests access any gfn of a range. */
bool race_accesses(u64 first, u64 npages);
/* The shadow page whose table contains an address, or NULL. */
struct kvm_mmu_page *race_table_of(unsigned long address);
void race_share_root(struct kvm_mmu_page *root);
void race_hide(void *object, size_t size);
void race_allocated(void *object, size_t size);
void race_freed(void *object, size_t size);

#endif
