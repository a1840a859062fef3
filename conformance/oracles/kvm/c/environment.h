/* SPDX-License-Identifier: GPL-2.0-only */
/* What the units of the environment that are compiled as kernel code offer each other. */
#ifndef CONFORMANCE_KVM_ENVIRONMENT_H
#define CONFORMANCE_KVM_ENVIRONMENT_H

#include <linux/types.h>
#include <linux/kvm_host.h>
#include <linux/mmu_notifier.h>
#include "env.h"
#include "hosts.h"
#include "interface.h"

/* Give a function of ours the kernel's name without the kernel's prototype, which differs by version. */
#define STANDS_IN(symbol)	__asm__(#symbol)

/* cpu.c */
void env_cpu_init(void);
void env_set_need_resched(bool on);
/* Another task with the same memory; and to be a task on a CPU. */
struct task_struct *env_fellow_task(void);
void env_become(struct task_struct *task, int cpu);
void env_bring_up(int cpus);

/* memory.c */
/* What is freed is filled with this, as by include/linux/poison.h. */
#define ENV_FREED	0x6b
struct env_ledger { long objects, pages; };
extern struct env_ledger env_ledger;
void env_memory_init(void);
struct page *env_get_run(gfp_t gfp, unsigned int order);
void env_put_run(void *run, unsigned int order);
void *env_object(size_t size, bool zero);
void env_put_object(void *object);
void *env_table_page(void);
void env_kfree(const void *object) STANDS_IN(kfree);
u64 env_serial(const void *page);
unsigned long env_unused(void);

/* held.c: what a task holds; each lock taken has a ticket, in the order in which they were taken. */
#define MAX_HELD	64
struct env_held { const struct lockdep_map *map; int read; u64 ticket; };
struct env_holder { struct env_held held[MAX_HELD]; int nr; };
extern struct env_holder *env_holder;
u64 env_ticket(void);
bool env_holds(const struct lockdep_map *map, int read);
void env_take(const struct lockdep_map *map, int read);
void env_give(const struct lockdep_map *map);
/* How many readers are parked that a lock's grace period waits for. */
int env_parked_readers(const struct lockdep_map *map);
bool env_is_reader(void);
int env_readers(void);
void env_park_reader(void);
void env_resume_reader(void);
void env_locks_at_end_of_step(void);

/* locks.c */
struct rw_semaphore;
void env_init_rwsem(struct rw_semaphore *lock, const char *name, struct lock_class_key *key)
	STANDS_IN(__init_rwsem);
/* What others do when the kernel next gives way, once. */
extern void (*env_while_away)(void);

/* rcu.c */
long env_grace_period(void);
struct rcu_head *env_rcu_pending(void);
const void *env_rcu_callbacks(void);
void env_run_srcu(void);

/* work.c */
void env_run_works(void);

/* files.c */
struct file *env_device(void);
struct file *env_file(int fd);
int env_close(int fd);
int env_set_parameter(const char *name, const char *value);

/* host.c: the host's memory, in pages from ENV_HOST_BASE. */
void env_host_init(void);
int env_touch(unsigned long page, bool write);
bool env_gup_fast(unsigned long address, bool write, struct page **page);
struct vm_area_struct *env_vma(unsigned long address);
long env_pages_kept(void);
unsigned long env_next_pfn(void);

/* changes.c */
enum env_host_step {
	HOST_MMAP, HOST_TOUCH, HOST_DONTNEED, HOST_WRPROTECT, HOST_KSM_MERGE, HOST_COLLAPSE, HOST_CHANGE_PTE,
};
int env_host_step(enum env_host_step step, const unsigned long *args);

/* notifiers.c */
extern struct mmu_notifier *env_notifier;
void env_range_start(unsigned long page, unsigned long npages, int event);
void env_range_end(unsigned long page, unsigned long npages, int event);
void env_change_pte(unsigned long page, u64 entry);

/* kept.c: what KVM keeps, for a review that asks; and the ranges whose translations it had flushed. */
void env_flushed_range(u64 gfn, u64 npages);
void kept_nothing_yet(void);
void keep(void);

/* vendor.c */
extern u64 env_host[NR_HOST];
int vendor_init(void);
void vendor_set_pml(bool on);

/* processor.c */
#define MAX_VCPUS	8
#define PML_ENTRIES	512
#define TLB_ENTRIES	8192
/* A root is known by its table's serial number; levels, frames and rights are those of the walk. */
struct translation { u64 serial, gfn, pfn; int level, rights; bool dirty; };
struct processor {
	u64 root, flushes;
	int nr_tlb, nr_pml;
	bool pml_enabled;
	u64 pml[PML_ENTRIES];
	struct translation tlb[TLB_ENTRIES];
};
extern struct processor processors[MAX_VCPUS];
#define RIGHTS		(ACCESS_READ | ACCESS_WRITE | ACCESS_FETCH)
/* A table that a processor knows of, and what the entries on the way to it allow. */
struct cached_table { u64 serial, gfn, table; int level, rights; };
struct exit { bool misconfigured; u64 error_code; };
bool processor_access(struct processor *cpu, u64 gfn, int kind, struct exit *exit);
void processor_flush(struct processor *cpu);

/* machine.c */
extern struct kvm *machine_kvm;
extern int machine_nr_vcpus;
struct kvm_vcpu *machine_vcpu(unsigned long index);
long machine_ioctl(unsigned int request, const void *argument);
void machine_destroy(long leaked[3]);

/* guest.c */
int guest_enter(struct kvm_vcpu *vcpu);
void guest_access(struct kvm_vcpu *vcpu, u64 gfn, int kind);
long guest_faults(struct kvm_vcpu *vcpu, u64 gfn, u64 npages, long n);
void guest_smm(struct kvm_vcpu *vcpu, bool on);

/* walker.c */
void walker_begin(struct kvm_vcpu *vcpu, u64 gfn);
void walker_next(void);
void walker_end(void);

/* steps.c: a step without what is told of it. */
void machine_do(unsigned long step, const unsigned long *args);

/* say.c: what is told of a step, and where the task that does it puts it. */
struct env_said { unsigned long *words, at, room; };
extern struct env_said *env_said;
void say_nothing_yet(void);
void say(long number);
void say_bits(u64 bits);
void observe(void);

#endif
