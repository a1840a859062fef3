// SPDX-License-Identifier: GPL-2.0-only
/*
 * What stands in for the rest of the kernel.  Everything that the shim links and that is not KVM's
 * own code is on this page, with the reason why it is faithful; a symbol that is not here fails the
 * link with its name.
 */
#include <linux/kvm_host.h>
#include <asm/e820/api.h>
#include "x86.h"
#include "shim.h"

struct shim_environment shim_env;

/*
 * The host's physical memory.  Tables that kernel code walks lie here, so that __va() and __pa() work
 * as they do in the kernel: through page_offset_base.
 */
u8 shim_memory[SHIM_MEMORY_PAGES << 12] __attribute__((aligned(4096)));
unsigned long page_offset_base = (unsigned long)shim_memory;
unsigned long phys_base;
static struct page shim_pages[SHIM_MEMORY_PAGES];
unsigned long vmemmap_base = (unsigned long)shim_pages;

/* The processor: only what shim_set_host() writes into it is ever read. */
struct cpuinfo_x86 boot_cpu_data;

/*
 * A host whose pfns have no struct page: pfn_valid() finds no section, so kvm_is_mmio_pfn() asks the
 * e820 table.  By that the case's pfn is RAM or reserved as the case wants, and all else the contrary.
 */
struct mem_section **mem_section;
unsigned int __pgtable_l5_enabled;
unsigned int pgdir_shift = 39;
unsigned int ptrs_per_p4d = 1;

bool e820__mapped_raw_any(u64 start, u64 end, enum e820_type type)
{
	u64 page = shim_env.pfn << PAGE_SHIFT;
	bool inside = start < page + PAGE_SIZE && end > page;
	bool beyond = start < page || end > page + PAGE_SIZE;

	if (type == E820_TYPE_RAM)
		return shim_env.pfn_is_ram ? inside : beyond;
	if (type == E820_TYPE_RESERVED)
		return shim_env.pfn_is_ram ? beyond : inside;
	return !type;
}

/* The vendor module: its memory type is the case's. */
typedef typeof(((struct kvm_x86_ops *)0)->get_mt_mask((struct kvm_vcpu *)0, 0, 0)) mt_mask_t;

mt_mask_t shim_get_mt_mask(struct kvm_vcpu *vcpu, gfn_t gfn, bool is_mmio);
mt_mask_t shim_get_mt_mask(struct kvm_vcpu *vcpu, gfn_t gfn, bool is_mmio)
{
	SHIM_CALLED("get_mt_mask");
	shim_env.mt_mask_gfn = gfn;
	shim_env.mt_mask_is_mmio = is_mmio;
	return shim_env.mt_mask;
}
mt_mask_t shim_static_call_get_mt_mask(struct kvm_vcpu *vcpu, gfn_t gfn, bool is_mmio)
	__asm__("__SCT__kvm_x86_get_mt_mask") __attribute__((alias("shim_get_mt_mask")));

void *const shim_get_mt_mask_op = shim_get_mt_mask;
struct kvm_x86_ops kvm_x86_ops;

#ifdef HAVE_kvm_host
struct kvm_host_values kvm_host;
#endif

/* Shadow pages that a new writable SPTE would reach: none, or one that must stay write-protected. */
#ifdef HAVE_mmu_try_to_unsync_pages
int shim_try_to_unsync_pages(struct kvm *kvm, const struct kvm_memory_slot *slot, gfn_t gfn,
			     bool can_unsync, bool prefetch);
int shim_try_to_unsync_pages(struct kvm *kvm, const struct kvm_memory_slot *slot, gfn_t gfn,
			     bool can_unsync, bool prefetch)
{
	SHIM_CALLED("mmu_try_to_unsync_pages");
	shim_env.unsync_gfn = gfn;
	shim_env.unsync_how = can_unsync | prefetch << 1;
	return shim_env.unsync_fails ? -EPERM : 0;
}
#else
bool shim_need_write_protect(struct kvm_vcpu *vcpu, gfn_t gfn, bool can_unsync);
bool shim_need_write_protect(struct kvm_vcpu *vcpu, gfn_t gfn, bool can_unsync)
{
	SHIM_CALLED("mmu_need_write_protect");
	shim_env.unsync_gfn = gfn;
	shim_env.unsync_how = can_unsync;
	return shim_env.unsync_fails;
}
#endif

/* The dirty log and the host's page flags: told, not kept; what was told is the observation. */
#ifdef HAVE_mark_page_dirty_in_slot
#ifdef HAVE_MARK_PAGE_DIRTY_KVM
void mark_page_dirty_in_slot(struct kvm *kvm, const struct kvm_memory_slot *slot, gfn_t gfn)
#else
void mark_page_dirty_in_slot(struct kvm_memory_slot *slot, gfn_t gfn)
#endif
{
	SHIM_CALLED("mark_page_dirty_in_slot");
	shim_env.dirty_gfn = gfn;
}
#endif

#ifdef HAVE_kvm_set_pfn_dirty
void kvm_set_pfn_accessed(kvm_pfn_t pfn)
{
	SHIM_CALLED("kvm_set_pfn_accessed");
	shim_env.pfn_accessed = pfn;
}

void kvm_set_pfn_dirty(kvm_pfn_t pfn)
{
	SHIM_CALLED("kvm_set_pfn_dirty");
	shim_env.pfn_dirty = pfn;
}
#endif

/* KVM_BUG_ON() kicks all vCPUs of the VM; there are none running.  That it did is the observation. */
bool kvm_make_all_cpus_request(struct kvm *kvm, unsigned int req)
{
	SHIM_CALLED("kvm_make_all_cpus_request");
	return false;
}

/* There is no zero page either, and nobody to preempt. */
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
NOT_REACHED(kvm_flush_remote_tlbs)
/* Only where the checks of RCU, or a tracepoint, are on. */
NOT_REACHED(__srcu_check_read_flavor)
NOT_REACHED(lockdep_rcu_suspicious)
NOT_REACHED(rcu_read_lock_held)
NOT_REACHED(rcu_read_lock_sched_held)
/* kvm_is_mmio_pfn() asks these about pages that have a struct page. */
NOT_REACHED(pat_enabled)
NOT_REACHED(pat_pfn_immune_to_uc_mtrr)
