/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Races: what the units of the environment do differently in the library whose threads can be stopped.  A
 * thread stops at a point, before each access to what others may see, and goes on when it is advanced.  In the
 * ordinary library there is no thread and no point, and all of this is nothing.
 */
#ifndef CONFORMANCE_KVM_RACING_H
#define CONFORMANCE_KVM_RACING_H

#include "race.h"
#include "environment.h"

#ifdef CONFORMANCE_RACING

/* The thread that runs; NULL outside of a race: while it is set up, and when all threads have ended. */
struct race_thread;
extern struct race_thread *race_current;

static inline bool racing(void)
{
	return race_current;
}

/* CPUs on which threads are: those of the vCPUs, then those of others. */
#define RACE_CPUS	(MAX_VCPUS + RACE_THREADS)
#define NR_TASKS	RACE_CPUS

/* race_threads.c: stop before an access; whoever advances the thread lets it return from here. */
void race_point(enum race_kind kind, const volatile void *object);
void race_point_of(enum race_kind kind, const volatile void *object, const void *caller);
/* Stop until a condition holds, which others bring about; it is asked for whenever one of them has moved. */
typedef bool (*race_condition)(const void *object, u64 since);
void race_wait(const void *object, race_condition over, u64 since);
void race_wait_of(enum race_kind kind, const void *object, race_condition over, u64 since, const void *caller);
u64 race_moves(void);
const void *race_last_object(void);
/* Asked in a condition: whether all other threads have ended; whether one of them holds a lock. */
bool race_alone(void);
bool race_others_hold(const struct lockdep_map *map, bool exclusively, u64 before);

/* race_locks.c */
void race_lock(const struct lockdep_map *map, int read, const void *caller);
void race_unlock(const struct lockdep_map *map, const void *caller);
void race_wait_for_readers(const struct lockdep_map *map);
void race_enter_guest(int cpu);
void race_leave_guest(int cpu);
int race_cpu_of_guest(unsigned long object);

/* race_events.c: what promises are judged by. */
void race_event(enum race_event event, int n, ...);
void race_event_more(u64 number);
void race_event_bits(enum race_event event, u64 number, u64 first, const u64 *bitmap, unsigned long nbits);
extern u64 race_history[1];
void race_forget_frames(void);
void race_note_frames(void);

/* race_vcpus.c: what a vCPU that races needs besides. */
void race_prepare_vcpus(void);
void race_serve_other_requests(struct kvm_vcpu *vcpu);

/* race_tables.c: upper levels of the tables that a processor remembers. */
void race_find_table(struct processor *cpu, u64 gfn, struct cached_table *found);
void race_keep_table(struct processor *cpu, u64 gfn, int level, u64 table, int rights);
void race_forget_tables(struct processor *cpu);

/* race_names.c */
void race_name_object(unsigned long object, struct race_named *named);

/* race_shared.c: which memory others may see. */
static inline bool race_is_kernel_memory(unsigned long address)
{
	return address - ENV_DIRECT_MAP - ENV_KERNEL_START < ENV_KERNEL_END - ENV_KERNEL_START;
}
bool race_is_shared(unsigned long address);
bool race_reaches(u64 first, u64 npages);
struct kvm_mmu_page *race_table_of(unsigned long address);
void race_share_root(struct kvm_mmu_page *root);
void race_hide(void *object, size_t size);
void race_allocated(void *object, size_t size);
void race_freed(void *object, size_t size);

#else

static inline bool racing(void) { return false; }
#define NR_TASKS	1
static inline void race_point(enum race_kind kind, const volatile void *object) { }
static inline void race_point_of(enum race_kind kind, const volatile void *object, const void *caller) { }
typedef bool (*race_condition)(const void *object, u64 since);
static inline void race_wait(const void *object, race_condition over, u64 since) { }
static inline bool race_alone(void) { return true; }
static inline void race_lock(const struct lockdep_map *map, int read, const void *caller) { }
static inline void race_unlock(const struct lockdep_map *map, const void *caller) { }
static inline void race_wait_for_readers(const struct lockdep_map *map) { }
static inline void race_enter_guest(int cpu) { }
static inline void race_leave_guest(int cpu) { }
#define race_event(event, n, ...)			do { } while (0)
#define race_event_bits(event, number, first, bitmap, nbits)	do { } while (0)
#define race_history	NULL
static inline void race_serve_other_requests(struct kvm_vcpu *vcpu) { }
static inline void race_find_table(struct processor *cpu, u64 gfn, struct cached_table *found) { }
static inline void race_keep_table(struct processor *cpu, u64 gfn, int level, u64 table, int rights) { }
static inline void race_forget_tables(struct processor *cpu) { }
static inline bool race_reaches(u64 first, u64 npages) { return false; }
static inline void race_hide(void *object, size_t size) { }
static inline void race_allocated(void *object, size_t size) { }
static inline void race_freed(void *object, size_t size) { }

#endif

#endif
