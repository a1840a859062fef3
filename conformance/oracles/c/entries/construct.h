/* SPDX-License-Identifier: GPL-2.0-only */
/* Making SPTEs: for a fault, for a table, for a piece of a huge page, for a changed host page. */

static void shim_set_nx_huge_pages(u64 enabled, u64 disabled_for_vm)
{
	nx_huge_pages = enabled;
#ifdef HAVE_disable_nx_huge_pages
	shim_kvm.arch.disable_nx_huge_pages = disabled_for_vm;
#endif
}

/* The reserved bits of SPTEs that map a page at level; those of all others have every bit reserved. */
static void shim_set_rsvd_bits(int level, u64 rsvd, u64 bad_mt_xwr)
{
#ifdef HAVE_kvm_page_format
	struct kvm_page_format *check = &shim_vcpu.arch.mmu->fmt;
#else
	struct rsvd_bits_validate *check = &shim_vcpu.arch.mmu->shadow_zero_check;
#endif
	int other;

	for (other = 1; other <= PT64_ROOT_MAX_LEVEL; other++)
		check->rsvd_bits_mask[0][other - 1] = check->rsvd_bits_mask[1][other - 1] = ~0ULL;
	check->rsvd_bits_mask[level > PG_LEVEL_4K][level - 1] = rsvd;
	check->bad_mt_xwr = bad_mt_xwr;
}

enum {
	ACCESS, GFN, PFN, OLD_SPTE, LEVEL, PREFETCH, CAN_UNSYNC, HOST_WRITABLE, AD_DISABLED,
	GUEST_MODE, PML, PFN_IS_RAM, UNSYNC_FAILS, DIRTY_LOG, NX_HUGE_PAGES, NX_DISABLED, MT_MASK, RSVD,
	BAD_MT_XWR,
	NR_MAKE_SPTE
};

/* out: return value, SPTE, arguments of get_mt_mask, of mmu_try_to_unsync_pages, the gfn marked dirty */
#ifdef HAVE_make_spte
SHIM(make_spte, NR_MAKE_SPTE, 7)
{
#ifdef HAVE_MAKE_SPTE_SP
	static struct kvm_memory_slot slot;
	static struct kvm_mmu_page sp;

	sp.role.word = 0;
	sp.role.level = in[LEVEL];
	sp.role.ad_disabled = in[AD_DISABLED];
	sp.role.guest_mode = in[GUEST_MODE];
	/* With a dirty ring a slot that is logged has no bitmap. */
	slot.flags = in[DIRTY_LOG] ? KVM_MEM_LOG_DIRTY_PAGES : 0;
#ifdef HAVE_VM_DIRTY_LOG_SIZE
	shim_kvm.arch.cpu_dirty_log_size = in[PML] ? 512 : 0;
#else
	kvm_x86_ops.cpu_dirty_log_size = in[PML] ? 512 : 0;
#endif
#else
	shim_vcpu.arch.mmu = in[GUEST_MODE] ? &shim_vcpu.arch.guest_mmu : &shim_vcpu.arch.root_mmu;
#endif
	shim_set_nx_huge_pages(in[NX_HUGE_PAGES], in[NX_DISABLED]);
	shim_set_rsvd_bits(in[LEVEL], in[RSVD], in[BAD_MT_XWR]);
	shim_env = (struct shim_environment) {
		.mt_mask = in[MT_MASK],
		.pfn = in[PFN],
		.pfn_is_ram = in[PFN_IS_RAM],
		.unsync_fails = in[UNSYNC_FAILS],
	};

#ifdef HAVE_MAKE_SPTE_SP
	out[0] = make_spte(&shim_vcpu, &sp, &slot, in[ACCESS], in[GFN], in[PFN], in[OLD_SPTE],
			   in[PREFETCH], in[CAN_UNSYNC], in[HOST_WRITABLE], &out[1]);
#else
	out[0] = make_spte(&shim_vcpu, in[ACCESS], in[LEVEL], in[GFN], in[PFN], in[OLD_SPTE],
			   in[PREFETCH], in[CAN_UNSYNC], in[HOST_WRITABLE], in[AD_DISABLED], &out[1]);
#endif
	shim_vcpu.arch.mmu = &shim_vcpu.arch.root_mmu;
	out[2] = shim_env.mt_mask_gfn;
	out[3] = shim_env.mt_mask_is_mmio;
	out[4] = shim_env.unsync_gfn;
	out[5] = shim_env.unsync_how;
	out[6] = shim_env.dirty_gfn;
}
#endif

/* physical address of the child table, ad_disabled */
#ifdef HAVE_make_nonleaf_spte
SHIM(make_nonleaf_spte, 2, 1) { out[0] = make_nonleaf_spte(__va(in[0]), in[1]); }
#endif

/* Renamed by 430e264b7653 ("KVM: x86/mmu: Rename make_huge_page_split_spte() to...") in v6.13. */
#ifdef HAVE_make_small_spte
#define split_spte make_small_spte
#elif defined(HAVE_make_huge_page_split_spte)
#define split_spte make_huge_page_split_spte
#endif
#ifdef split_spte
/* huge spte, level and access of the new table, index in it, nx_huge_pages, disabled for the VM */
SHIM(make_huge_page_split_spte, 6, 1)
{
	union kvm_mmu_page_role role = { .level = in[1], .access = in[2] };

	shim_set_nx_huge_pages(in[4], in[5]);
	shim_kvm.vm_bugged = false;
	out[0] = split_spte(&shim_kvm, in[0], role, in[3]);
}
#endif

#ifdef HAVE_make_huge_spte
/* small spte, level, nx_huge_pages, disabled for the VM */
SHIM(make_huge_spte, 4, 1)
{
	shim_set_nx_huge_pages(in[2], in[3]);
	shim_kvm.vm_bugged = false;
	out[0] = make_huge_spte(&shim_kvm, in[0], in[1]);
}
#endif

#ifdef HAVE_kvm_mmu_changed_pte_notifier_make_spte
SHIM(kvm_mmu_changed_pte_notifier_make_spte, 2, 1)
{
	out[0] = kvm_mmu_changed_pte_notifier_make_spte(in[0], in[1]);
}
#endif
