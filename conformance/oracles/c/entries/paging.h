/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's paging: roles, permissions and reserved bits.  Only for code that is compiled here: a module has most
 * of these functions inlined into others.
 */

/* ac889bdd23df ("KVM: x86/mmu: introduce struct kvm_pagewalk") in v7.3 took the walk out of struct kvm_mmu. */
#ifdef HAVE_kvm_pagewalk
static struct kvm_pagewalk shim_walk;
#define shim_permissions	shim_walk.fmt.permissions
#define shim_pkru_mask		shim_walk.fmt.pkru_mask
#define shim_guest_rsvd		shim_walk.fmt
#else
static struct kvm_mmu shim_walk;
#define shim_permissions	shim_walk.permissions
#define shim_pkru_mask		shim_walk.pkru_mask
#define shim_guest_rsvd		shim_walk.guest_rsvd_check
#endif

/* The registers of the vCPU, all of them up to date. */
static void shim_set_registers(u64 cr0, u64 cr4, u64 efer)
{
	memset(&shim_vcpu.arch.regs_avail, 0xff, sizeof(shim_vcpu.arch.regs_avail));
	shim_vcpu.arch.cr0 = cr0;
	shim_vcpu.arch.cr4 = cr4;
	shim_vcpu.arch.efer = efer;
}

#ifdef HAVE_kvm_cpu_role
#ifdef HAVE_BASE_ROLE_SMEP
#define role_smep(role)		((role).base.cr4_smep)
#else
#define role_smep(role)		((role).ext.cr4_smep)
#endif
#endif

/* in: error code, ACC_* bits, tdp, ept, cr4.smep, cr4.smap, cr0.wp, efer.nx.  out: whether it is a fault */
#ifdef HAVE_update_permission_bitmask
SHIM(update_permission_bitmask, 8, 1)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(shim_permissions); i++)
		shim_permissions[i] = 0;
#ifdef HAVE_kvm_cpu_role
	shim_walk.cpu_role.as_u64 = 0;
	role_smep(shim_walk.cpu_role) = in[4];
	shim_walk.cpu_role.ext.cr4_smap = in[5];
	shim_walk.cpu_role.base.cr0_wp = in[6];
	shim_walk.cpu_role.base.efer_nx = in[7];
#ifdef HAVE_PERMISSION_TDP_PARAMETER
	update_permission_bitmask(&shim_walk, in[2], in[3]);
#else
	update_permission_bitmask(&shim_walk, in[3]);
#endif
#else
	shim_set_registers(in[6] ? X86_CR0_WP : 0,
			   (in[4] ? X86_CR4_SMEP : 0) | (in[5] ? X86_CR4_SMAP : 0), 0);
	shim_walk.nx = in[7];
	update_permission_bitmask(&shim_vcpu, &shim_walk, in[3]);
#endif
	out[0] = shim_permissions[in[0] >> 1] >> in[1] & 1;
}
#endif

/*
 * in: error code, cr4.pke, cr0.wp, whether it is a user page, the rights in the bitmap of another role before.
 * out: the rights that the access needs of its key
 */
#ifdef HAVE_update_pkru_bitmask
SHIM(update_pkru_bitmask, 5, 1)
{
	shim_pkru_mask = in[4] * 0x55555555U;
#ifdef HAVE_kvm_cpu_role
	shim_walk.cpu_role.as_u64 = 0;
	shim_walk.cpu_role.ext.cr4_pke = in[1];
	shim_walk.cpu_role.base.cr0_wp = in[2];
	update_pkru_bitmask(&shim_walk);
#else
	shim_set_registers(in[2] ? X86_CR0_WP : 0, in[1] ? X86_CR4_PKE : 0, EFER_LMA);
	update_pkru_bitmask(&shim_vcpu, &shim_walk, false);
#endif
	out[0] = shim_pkru_mask >> (in[0] | in[3] << 3) & 3;
}
#endif

#ifdef HAVE_kvm_cpu_role
/* in: cr0, cr4, efer */
#ifdef HAVE_vcpu_to_role_regs
SHIM(vcpu_to_role_regs, 3, 3)
{
	shim_set_registers(in[0], in[1], in[2]);
	{
		const struct kvm_mmu_role_regs regs = vcpu_to_role_regs(&shim_vcpu);

		out[0] = regs.cr0;
		out[1] = regs.cr4;
		out[2] = regs.efer;
	}
}
#endif

static void shim_set_hflags(bool smm, bool guest_mode)
{
	shim_vcpu.arch.hflags = (smm ? HF_SMM_MASK : 0) | (guest_mode ? HF_GUEST_MASK : 0);
}

/* in: cr0, cr4, efer, smm, guest mode */
#ifdef HAVE_kvm_calc_cpu_role
SHIM(kvm_calc_cpu_role, 5, 18)
{
	/* Long mode without PAE is no state of a processor: not asked. */
	const u64 cr4 = in[1] | (in[2] & EFER_LMA ? X86_CR4_PAE : 0);
	const struct kvm_mmu_role_regs regs = { .cr0 = in[0], .cr4 = cr4, .efer = in[2] };
	union kvm_cpu_role role;

	shim_set_hflags(in[3], in[4]);
	role = kvm_calc_cpu_role(&shim_vcpu, &regs);
	shim_set_hflags(false, false);
	out[0] = role.base.level;
	out[1] = role.base.access;
	out[2] = role.base.direct;
	out[3] = role.base.has_4_byte_gpte;
	out[4] = role.base.efer_nx;
	out[5] = role.base.cr0_wp;
	out[6] = role_smep(role);
#ifndef HAVE_BASE_ROLE_SMEP
	out[7] = role.base.smep_andnot_wp;
#endif
	out[8] = role.base.smap_andnot_wp;
	out[9] = role.base.smm;
	out[10] = role.base.guest_mode;
	out[11] = role.ext.valid;
	out[12] = role.ext.cr4_pse;
	out[13] = role.ext.cr4_pke;
	out[14] = role.ext.cr4_smap;
	out[15] = role.ext.cr4_la57;
	out[16] = role.ext.efer_lma;
#ifdef HAVE_ROLE_PFERR_FETCH
	out[17] = role.ext.has_pferr_fetch;
#endif
}
#endif

static void shim_set_levels(u64 forced, u64 max, u64 maxphyaddr)
{
	tdp_root_level = forced;
	max_tdp_level = max;
	shim_vcpu.arch.maxphyaddr = maxphyaddr;
}

/* in: forced level, highest level, the guest's MAXPHYADDR */
#ifdef HAVE_kvm_mmu_get_tdp_level
SHIM(kvm_mmu_get_tdp_level, 3, 1)
{
	shim_set_levels(in[0], in[1], in[2]);
	out[0] = kvm_mmu_get_tdp_level(&shim_vcpu);
}
#endif

/* in: level, smm, guest mode, whether the vendor module has SMEP there */
#ifdef HAVE_kvm_calc_tdp_mmu_root_page_role
SHIM(kvm_calc_tdp_mmu_root_page_role, 4, 10)
{
	union kvm_cpu_role cpu_role = { .base = { .smm = in[1], .guest_mode = in[2] } };
	union kvm_mmu_page_role role;

	shim_set_levels(in[0], 0, 0);
	shim_env.tdp_has_smep = in[3];
	role = kvm_calc_tdp_mmu_root_page_role(&shim_vcpu, cpu_role);
	out[0] = role.level;
	out[1] = role.access;
	out[2] = role.direct;
	out[3] = role.has_4_byte_gpte;
	out[4] = role.efer_nx;
	out[5] = role.cr0_wp;
#ifdef HAVE_BASE_ROLE_SMEP
	out[6] = role.cr4_smep;
#endif
	out[7] = role.ad_disabled;
	out[8] = role.smm;
	out[9] = role.guest_mode;
}
#endif

/* in: tdp, forced level, highest level, level of huge pages, 1 GiB pages of the host */
#ifdef HAVE_kvm_configure_mmu
static void shim_set_gbpages(bool on)
{
	u32 *words = (u32 *)boot_cpu_data.x86_capability;

	words[X86_FEATURE_GBPAGES / 32] &= ~(1U << X86_FEATURE_GBPAGES % 32);
	words[X86_FEATURE_GBPAGES / 32] |= (u32)on << X86_FEATURE_GBPAGES % 32;
}

SHIM(kvm_configure_mmu, 5, 4)
{
	shim_set_gbpages(in[4]);
	kvm_configure_mmu(in[0], in[1], in[2], in[3]);
	out[0] = tdp_enabled;
	out[1] = tdp_root_level;
	out[2] = max_tdp_level;
	out[3] = max_huge_page_level;
	tdp_enabled = shim_host[HOST_TDP];
}
#endif

/* in: level of the entry, its bit 7, level of the root, level of huge pages, 1 GiB pages of the host */
#ifdef HAVE_reset_tdp_shadow_zero_bits_mask
SHIM(reset_tdp_shadow_zero_bits_mask, 5, 2)
{
	struct kvm_mmu *mmu = &shim_vcpu.arch.root_mmu;

	memset(&shim_spte_rsvd(mmu), 0, sizeof(shim_spte_rsvd(mmu)));
	mmu->root_role.level = in[2];
	max_huge_page_level = in[3];
	shim_set_gbpages(in[4]);
	reset_tdp_shadow_zero_bits_mask(mmu);
	shim_rsvd_out(&shim_spte_rsvd(mmu), in[0], in[1], out);
}
#endif

/* Until guest_cpu_cap_has(): what the processor walks has the host's pages, whatever the guest's CPUID says. */
static void shim_set_guest_gbpages(bool on)
{
	shim_set_gbpages(on);
	shim_env.guest_has_all = on;
#ifdef HAVE_guest_cpu_cap_has
	guest_cpu_cap_change(&shim_vcpu, X86_FEATURE_GBPAGES, on);
#elif defined(HAVE_guest_can_use)
	__assign_bit(kvm_governed_feature_index(X86_FEATURE_GBPAGES),
		     shim_vcpu.arch.governed_features.enabled, on);
#endif
}

/* in: level of the entry, its bit 7, level of the root, efer.nx, 1 GiB pages: of the host, and in the guest's CPUID */
#ifdef HAVE_reset_shadow_zero_bits_mask
SHIM(reset_shadow_zero_bits_mask, 5, 2)
{
	struct kvm_mmu *mmu = &shim_vcpu.arch.root_mmu;

	memset(&shim_spte_rsvd(mmu), 0, sizeof(shim_spte_rsvd(mmu)));
	mmu->root_role.level = in[2];
	mmu->root_role.efer_nx = in[3];
	shim_set_guest_gbpages(in[4]);
	reset_shadow_zero_bits_mask(&shim_vcpu, mmu);
	shim_rsvd_out(&shim_spte_rsvd(mmu), in[0], in[1], out);
}
#endif

/* in: level of the entry, its bit 7, exec-only, level of huge pages */
#ifdef HAVE_reset_ept_shadow_zero_bits_mask
SHIM(reset_ept_shadow_zero_bits_mask, 4, 2)
{
	struct kvm_mmu *mmu = &shim_vcpu.arch.guest_mmu;

	memset(&shim_spte_rsvd(mmu), 0, sizeof(shim_spte_rsvd(mmu)));
	max_huge_page_level = in[3];
	reset_ept_shadow_zero_bits_mask(mmu, in[2]);
	shim_rsvd_out(&shim_spte_rsvd(mmu), in[0], in[1], out);
}
#endif

/* in: level of the entry, its bit 7, reserved gpa bits, exec-only, level of huge pages */
#ifdef HAVE_reset_rsvds_bits_mask_ept
SHIM(reset_rsvds_bits_mask_ept, 5, 2)
{
	shim_vcpu.arch.reserved_gpa_bits = in[2];
#ifdef HAVE_kvm_pagewalk
	memset(&shim_vcpu.arch.ngpa_walk.fmt, 0, sizeof(shim_vcpu.arch.ngpa_walk.fmt));
	reset_rsvds_bits_mask_ept(&shim_vcpu, in[3], in[4]);
	shim_rsvd_out(&shim_vcpu.arch.ngpa_walk.fmt, in[0], in[1], out);
#else
	memset(&shim_guest_rsvd, 0, sizeof(shim_guest_rsvd));
	reset_rsvds_bits_mask_ept(&shim_vcpu, &shim_walk, in[3], in[4]);
	shim_rsvd_out(&shim_guest_rsvd, in[0], in[1], out);
#endif
}
#endif

/* in: error code, ACC_* bits, tdp, ept, cr4.smep of the root.  out: whether it is a fault */
#ifdef HAVE_update_spte_permission_bitmask
SHIM(update_spte_permission_bitmask, 5, 1)
{
	struct kvm_mmu *mmu = &shim_vcpu.arch.root_mmu;

	memset(mmu->fmt.permissions, 0, sizeof(mmu->fmt.permissions));
	mmu->root_role.word = 0;
	mmu->root_role.cr4_smep = in[4];
	update_spte_permission_bitmask(mmu, in[2], in[3]);
	out[0] = mmu->fmt.permissions[in[0] >> 1] >> in[1] & 1;
}
#endif

/* in: level of the entry, its bit 7, level of the root, reserved gpa bits, nx, pse, CPUID: gbpages, amd */
#ifdef HAVE_reset_guest_rsvds_bits_mask
SHIM(reset_guest_rsvds_bits_mask, 8, 2)
{
	memset(&shim_guest_rsvd, 0, sizeof(shim_guest_rsvd));
	shim_walk.cpu_role.as_u64 = 0;
	shim_walk.cpu_role.base.level = in[2];
	shim_walk.cpu_role.base.efer_nx = in[4];
	shim_walk.cpu_role.ext.cr4_pse = in[5];
	shim_vcpu.arch.reserved_gpa_bits = in[3];
	shim_vcpu.arch.is_amd_compatible = in[7];
	shim_set_guest_gbpages(in[6]);
	reset_guest_rsvds_bits_mask(&shim_vcpu, &shim_walk);
	shim_rsvd_out(&shim_guest_rsvd, in[0], in[1], out);
}
#endif

/* in: error code, ACC_* bits, level of the root (0: no paging), cr4.smap, cr4.pke.  out: fault, rights of the key, mask */
#ifdef HAVE_reset_guest_paging_metadata
SHIM(reset_guest_paging_metadata, 5, 3)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(shim_permissions); i++)
		shim_permissions[i] = 0;
	shim_pkru_mask = 0;
	memset(&shim_guest_rsvd, 0, sizeof(shim_guest_rsvd));
	shim_walk.cpu_role.as_u64 = 0;
	shim_walk.cpu_role.base.level = in[2];
	shim_walk.cpu_role.ext.cr4_smap = in[3];
	shim_walk.cpu_role.ext.cr4_pke = in[4];
	shim_vcpu.arch.reserved_gpa_bits = GENMASK_ULL(63, 48);
	reset_guest_paging_metadata(&shim_vcpu, &shim_walk);
	out[0] = shim_permissions[in[0] >> 1] >> in[1] & 1;
	out[1] = shim_pkru_mask >> (in[0] | 1 << 3) & 3;
	out[2] = shim_guest_rsvd.rsvd_bits_mask[0][0];
}
#endif

/* in: whether entries have 4 bytes */
#ifdef HAVE_is_cr4_pae
SHIM(is_cr4_pae, 1, 1)
{
	shim_walk.cpu_role.as_u64 = 0;
	shim_walk.cpu_role.base.has_4_byte_gpte = in[0];
	out[0] = is_cr4_pae(&shim_walk);
}
#endif
#endif
