// SPDX-License-Identifier: GPL-2.0-only
/*
 * What stands in for the rest of the kernel.  Everything that the shim links and that is not KVM's
 * own code is here or in answers.h, with the reason why it is faithful; a symbol that is not here fails the
 * link with its name.
 */
#include <linux/kvm_host.h>
#include <asm/e820/api.h>
#include "x86.h"
#include "shim.h"

#include "entries/answers.h"

struct kvm_x86_ops kvm_x86_ops;
#ifdef HAVE_kvm_host
struct kvm_host_values kvm_host;
#endif

#ifdef HAVE_BASE_ROLE_SMEP
/* The vendor module: whether it uses mode-based execute control, or guest mode execute trap, is the case's. */
bool shim_tdp_has_smep(struct kvm *kvm) __asm__("__SCT__kvm_x86_tdp_has_smep");
bool shim_tdp_has_smep(struct kvm *kvm)
{
	return shim_env.tdp_has_smep;
}
#endif

/* The vendor module: EFLAGS.AC and the privilege level are the case's. */
unsigned long shim_get_rflags(struct kvm_vcpu *vcpu) __asm__("__SCT__kvm_x86_get_rflags");
unsigned long shim_get_rflags(struct kvm_vcpu *vcpu)
{
	return shim_env.eflags_ac ? X86_EFLAGS_AC : 0;
}

/* The guest's CPUID: all features, or none, as the case wants. */
struct kvm_cpuid_entry2 *shim_find_cpuid_entry(struct kvm_vcpu *vcpu, u32 function, u32 index)
	__asm__("kvm_find_cpuid_entry_index");
struct kvm_cpuid_entry2 *shim_find_cpuid_entry(struct kvm_vcpu *vcpu, u32 function, u32 index)
{
	static struct kvm_cpuid_entry2 entry;

	entry.eax = entry.ebx = entry.ecx = entry.edx = shim_env.guest_has_all ? ~0U : 0;
	return &entry;
}

/* The kernel's parameter mitigations= is the case's; exports.c calls this. */
bool shim_cpu_mitigations_off(void);
bool shim_cpu_mitigations_off(void)
{
	return shim_env.mitigations_off;
}

/* There is no zero page either, and no preemption. */
#undef zero_pfn
unsigned long shim_zero_pfn __asm__("zero_pfn") = ~0UL;
unsigned long shim_zero_page_pfn __asm__("zero_page_pfn") = ~0UL;
unsigned long shim_preempt_count __asm__("__preempt_count");
void shim_preempt_schedule(void) __asm__("preempt_schedule_thunk");
void shim_preempt_schedule(void)
{
}
/* The current task and CPU are asked about only by checks of the context, which one thread always passes. */
u64 shim_pcpu_hot[8] __asm__("pcpu_hot");
int shim_cpu_number __asm__("cpu_number");
unsigned long shim_cpu_online_mask[NR_CPUS / BITS_PER_LONG + 1] __asm__("__cpu_online_mask") = { 1 };

/*
 * Locks and RCU: functions are called one at a time in one thread, as if every lock were held.  Whether
 * callers hold what they should is a question for the whole KVM, not for single functions.
 */
int shim_debug_locks __asm__("debug_locks");
unsigned int shim_lockdep_recursion __asm__("lockdep_recursion");
int shim_hardirqs_enabled __asm__("hardirqs_enabled");
unsigned long shim_tracepoint_srcu[512] __asm__("tracepoint_srcu");
struct lockdep_map rcu_lock_map;
struct lockdep_map rcu_sched_lock_map;
int debug_lockdep_rcu_enabled(void)
{
	return 0;
}
bool rcu_is_watching(void)
{
	return true;
}
int lock_is_held_type(const struct lockdep_map *lock, int read)
{
	return 1;
}
void lock_acquire(struct lockdep_map *lock, unsigned int subclass, int trylock, int read, int check,
		  struct lockdep_map *nest_lock, unsigned long ip)
{
}
void lock_release(struct lockdep_map *lock, unsigned long ip)
{
}
void shim_rcu_read_unlock_strict(void) __asm__("rcu_read_unlock_strict");
void shim_rcu_read_unlock_strict(void)
{
}

/* What the kernel prints beside a WARN; the WARN is the observation. */
int shim_printk(const char *format, ...) __asm__("printk");
int shim_printk(const char *format, ...)
{
	return 0;
}
int shim__printk(const char *format, ...) __asm__("_printk") __attribute__((alias("printk")));

int ___ratelimit(struct ratelimit_state *state, const char *function)
{
	return 1;
}

/*
 * Linked because a function that the shim calls mentions them on a path that no entry takes: the end
 * of the process, with the name, should one ever do.
 */
#define NOT_REACHED(symbol)							\
void shim_not_reached_##symbol(void) __asm__(#symbol);				\
void shim_not_reached_##symbol(void)						\
{										\
	shim_bug("not reached: " #symbol);					\
}

NOT_REACHED(free_pages)
NOT_REACHED(kmem_cache_free)
/* Of a present SPTE only; entries drop others. */
NOT_REACHED(kvm_is_reserved_pfn)
NOT_REACHED(kvm_pfn_to_refcounted_page)
u64 shim_hugetlb_optimize_vmemmap_key[4] __asm__("hugetlb_optimize_vmemmap_key");
NOT_REACHED(kvm_flush_remote_tlbs)
/* Only where the checks of RCU, or a tracepoint, are on. */
NOT_REACHED(__srcu_check_read_flavor)
NOT_REACHED(lockdep_rcu_suspicious)
NOT_REACHED(rcu_read_lock_held)
NOT_REACHED(rcu_read_lock_sched_held)
/* kvm_is_mmio_pfn() asks these about pages that have a struct page. */
NOT_REACHED(pat_enabled)
NOT_REACHED(pat_pfn_immune_to_uc_mtrr)
/* Every register is in the vCPU. */
NOT_REACHED(__SCT__kvm_x86_cache_reg)
/* Only in a TDX VM. */
NOT_REACHED(cpuid_query_maxguestphyaddr)
