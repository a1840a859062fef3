/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What answers kernel code in the rest of the kernel's stead as the case wants, with the reason why it is
 * faithful.  Each oracle that calls single functions includes this in its environment.c.
 */

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

/* The dirty log and the host's page flags: the calls are observed, their effect is not kept. */
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
