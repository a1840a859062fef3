/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entries of the guest's page tables, in the three formats that paging_tmpl.h is compiled for.  Only for code that is
 * compiled here: a module has these functions inlined into others.
 */

/* in[0] is the format, as PTTYPE says it. */
#define SHIM_BY_FORMAT(_name, ...)						\
	(in[0] == 64 ? paging64_##_name(__VA_ARGS__) :				\
	 in[0] == 32 ? paging32_##_name(__VA_ARGS__) : ept_##_name(__VA_ARGS__))
/* An entry of 32 bits has no more. */
#define SHIM_GPTE	(in[0] == 32 ? (u32)in[1] : in[1])

/* The nested host's EPT: without Accessed and Dirty bits, with mode-based execute control. */
static void shim_set_guest_ept(bool ad_disabled, bool mbec)
{
#ifdef HAVE_kvm_cpu_role
	shim_walk.cpu_role.as_u64 = 0;
	shim_walk.cpu_role.base.ad_disabled = ad_disabled;
#else
	shim_walk.ept_ad = !ad_disabled;
#endif
#ifdef HAVE_PRESENT_GPTE_MBEC
#ifdef HAVE_kvm_pagewalk
	shim_walk.cpu_role.base.cr4_smep = mbec;
#else
	shim_walk.root_role.cr4_smep = mbec;
#endif
#endif
}

/* in: format, gpte */
#ifdef HAVE_gpte_access
SHIM(gpte_access, 2, 1) { out[0] = SHIM_BY_FORMAT(gpte_access, SHIM_GPTE); }
#endif

/* and: mode-based execute control */
#ifdef HAVE_is_present_gpte
SHIM(is_present_gpte, 3, 1)
{
#ifdef HAVE_PRESENT_GPTE_MBEC
	shim_set_guest_ept(false, in[2]);
	out[0] = !!SHIM_BY_FORMAT(is_present_gpte, &shim_walk, SHIM_GPTE);
#else
	out[0] = !!SHIM_BY_FORMAT(is_present_gpte, SHIM_GPTE);
#endif
}
#endif

/* in: format, gpte, level */
#ifdef HAVE_gpte_to_gfn_lvl
SHIM(gpte_to_gfn_lvl, 3, 1) { out[0] = SHIM_BY_FORMAT(gpte_to_gfn_lvl, SHIM_GPTE, in[2]); }
#endif

/* in: gpte */
#ifdef HAVE_pse36_gfn_delta
SHIM(pse36_gfn_delta, 1, 1) { out[0] = pse36_gfn_delta(in[0]); }
#endif

/* in: format, gpte */
#ifdef HAVE_gpte_pkeys
SHIM(gpte_pkeys, 2, 1) { out[0] = SHIM_BY_FORMAT(gpte_pkeys, &shim_vcpu, SHIM_GPTE); }
#endif

/* in: format, gpte, level, level of the root, cr4.pse */
#ifdef HAVE_is_last_gpte
SHIM(is_last_gpte, 5, 1)
{
#ifdef HAVE_update_last_nonleaf_level
	/* Until 7cd138db5cae in v5.14 the highest level of pages was computed for each role. */
	shim_set_registers(0, in[4] ? X86_CR4_PSE : 0, 0);
	shim_walk.root_level = in[3];
	update_last_nonleaf_level(&shim_vcpu, &shim_walk);
	out[0] = is_last_gpte(&shim_walk, in[2], SHIM_GPTE);
#else
	shim_walk.cpu_role.as_u64 = 0;
	shim_walk.cpu_role.ext.cr4_pse = in[4];
	out[0] = SHIM_BY_FORMAT(is_last_gpte, &shim_walk, in[2], SHIM_GPTE);
#endif
}
#endif

/* in: format, gpte, access, no A/D bits */
#ifdef HAVE_protect_clean_gpte
SHIM(protect_clean_gpte, 4, 1)
{
	unsigned int access = in[2];

	shim_set_guest_ept(in[3], false);
	SHIM_BY_FORMAT(protect_clean_gpte, &shim_walk, &access, SHIM_GPTE);
	out[0] = access;
}
#endif

static void shim_set_guest_rsvd(u64 level, u64 low, u64 high, u64 bad_mt_xwr)
{
	memset(&shim_guest_rsvd, 0, sizeof(shim_guest_rsvd));
	shim_guest_rsvd.rsvd_bits_mask[0][level - 1] = low;
	shim_guest_rsvd.rsvd_bits_mask[1][level - 1] = high;
	shim_guest_rsvd.bad_mt_xwr = bad_mt_xwr;
}

/* in: format, gpte, level, reserved bits for bit 7 clear and set, bad combinations of memory type and XWR */
#ifdef HAVE_is_rsvd_bits_set
SHIM(is_rsvd_bits_set, 6, 1)
{
	shim_set_guest_rsvd(in[2], in[3], in[4], in[5]);
#ifdef HAVE_kvm_page_format
	out[0] = SHIM_BY_FORMAT(is_rsvd_bits_set, &shim_guest_rsvd, SHIM_GPTE, in[2]);
#else
	out[0] = SHIM_BY_FORMAT(is_rsvd_bits_set, &shim_walk, SHIM_GPTE, in[2]);
#endif
}
#endif

/*
 * in: format, gpte, no A/D bits, mode-based execute control, reserved bits as above.
 * out: whether it is invalid; what was an MMIO SPTE afterwards
 */
#ifdef HAVE_prefetch_invalid_gpte
SHIM(prefetch_invalid_gpte, 7, 2)
{
	static struct kvm_mmu_page sp;
	u64 *sptep = (u64 *)&shim_memory[PAGE_SIZE];

	sp.spt = sptep;
	sp.role.level = PG_LEVEL_4K;
	set_page_private(virt_to_page(sptep), (unsigned long)&sp);
	*sptep = shadow_mmio_value;

	shim_set_guest_ept(in[2], in[3]);
	shim_set_guest_rsvd(PG_LEVEL_4K, in[4], in[5], in[6]);
#ifdef HAVE_kvm_pagewalk
	shim_vcpu.arch.mmu->w = &shim_walk;
	out[0] = SHIM_BY_FORMAT(prefetch_invalid_gpte, &shim_vcpu, &sp, sptep, SHIM_GPTE);
#else
	shim_vcpu.arch.mmu = &shim_walk;
	out[0] = SHIM_BY_FORMAT(prefetch_invalid_gpte, &shim_vcpu, &sp, sptep, SHIM_GPTE);
	shim_vcpu.arch.mmu = &shim_vcpu.arch.root_mmu;
#endif
	out[1] = *sptep;
}
#endif
