/* SPDX-License-Identifier: GPL-2.0-only */
/* The roles of shadow pages.  Only for code that is compiled here. */

#ifdef HAVE_kvm_cpu_role
/* in: level, Accessed and Dirty bits, mode-based execute control, smm */
#ifdef HAVE_kvm_calc_shadow_ept_root_page_role
SHIM(kvm_calc_shadow_ept_root_page_role, 4, NR_ROLE + 2)
{
	union kvm_cpu_role role;

	shim_set_hflags(in[3], false);
#ifdef HAVE_BASE_ROLE_SMEP
	role = kvm_calc_shadow_ept_root_page_role(&shim_vcpu, in[1], true, in[0], in[2]);
#else
	role = kvm_calc_shadow_ept_root_page_role(&shim_vcpu, in[1], true, in[0]);
#endif
	shim_set_hflags(false, false);
	shim_page_role_out(role.base, out);
	out[14] = role.ext.execonly;
	out[15] = role.ext.valid;
}
#endif

/* in: the page's role; the field in which the root's differs.  out: whether the page can be synchronised */
#ifdef HAVE_kvm_sync_page_check
static int shim_sync_spte(struct kvm_vcpu *vcpu, struct kvm_mmu_page *sp, int i)
{
	return 0;
}

SHIM(kvm_sync_page_check, NR_ROLE + 1, 1)
{
	struct kvm_mmu *mmu = &shim_vcpu.arch.root_mmu;
	u64 root[NR_ROLE];
	int i;

	for (i = 0; i < NR_ROLE; i++)
		root[i] = in[i] ^ (i == in[NR_ROLE]);
	mmu->root_role = shim_page_role(root);
	mmu->sync_spte = shim_sync_spte;
	out[0] = kvm_sync_page_check(&shim_vcpu, shim_page_of_role(in));
}
#endif

/* in: direct, passthrough */
#ifdef HAVE_sp_has_gptes
SHIM(sp_has_gptes, 2, 1)
{
	const u64 role[NR_ROLE] = { [3] = in[0], [12] = in[1] };

	out[0] = sp_has_gptes(shim_page_of_role(role));
}
#endif

/* in: entries of 4 bytes, offset in the page, bytes */
#ifdef HAVE_detect_write_misaligned
SHIM(detect_write_misaligned, 3, 1)
{
	const u64 role[NR_ROLE] = { [1] = in[0] };

	out[0] = detect_write_misaligned(shim_page_of_role(role), in[1], in[2]);
}
#endif

/* in: level, entries of 4 bytes, quadrant, offset in the page.  out: how many entries, the first */
#ifdef HAVE_get_written_sptes
SHIM(get_written_sptes, 4, 2)
{
	const u64 role[NR_ROLE] = { in[0], in[1], in[2] };
	struct kvm_mmu_page *sp = shim_page_of_role(role);
	int count = 0;
	u64 *first = get_written_sptes(sp, in[3], &count);

	out[0] = first ? count : 0;
	out[1] = first ? first - sp->spt : 0;
}
#endif

/* in: level, how often it was written since a walk.  out: whether it is flooded, the count */
#ifdef HAVE_detect_write_flooding
SHIM(detect_write_flooding, 2, 2)
{
	const u64 role[NR_ROLE] = { in[0] };
	struct kvm_mmu_page *sp = shim_page_of_role(role);

	atomic_set(&sp->write_flooding_count, in[1]);
	out[0] = detect_write_flooding(sp);
	out[1] = atomic_read(&sp->write_flooding_count);
}
#endif
#endif

/*
 * Until e5ed0fb01004 in v5.19 the roles of roots were computed from the vCPU's registers, as they are.
 * in: cr0, cr4, efer, smm, guest mode.  out: the root's role, as above but for the fields that it lacks
 */
#if !defined(HAVE_kvm_cpu_role) && defined(HAVE_kvm_calc_shadow_mmu_root_page_role)
SHIM(kvm_calc_shadow_mmu_root_page_role, 5, 14)
{
	union kvm_mmu_page_role role;

	shim_set_registers(in[0], in[1], in[2]);
	shim_vcpu.arch.hflags = (in[3] ? HF_SMM_MASK : 0) | (in[4] ? HF_GUEST_MASK : 0);
	role = kvm_calc_shadow_mmu_root_page_role(&shim_vcpu, false).base;
	shim_vcpu.arch.hflags = 0;
	out[0] = role.level;
	out[1] = !role.gpte_is_8_bytes;
	out[2] = role.quadrant;
	out[3] = role.direct;
	out[4] = role.access;
	out[5] = role.invalid;
	out[6] = role.nxe;
	out[7] = role.cr0_wp;
	out[8] = role.smep_andnot_wp;
	out[9] = role.smap_andnot_wp;
	out[10] = role.ad_disabled;
	out[11] = role.guest_mode;
	out[13] = role.smm;
}
#endif

/* in: gfn, the tables' gfns from level 1 to 5, level, highest level, ACC_* bits, cr0.wp, whether a user faulted */
#ifdef HAVE_is_self_change_mapping
SHIM(is_self_change_mapping, 11, 2)
{
	struct guest_walker64 walker = { .gfn = in[0], .level = in[6], .max_level = in[7], .pte_access = in[8] };
	bool written = false;
	int i;

	for (i = 0; i < ARRAY_SIZE(walker.table_gfn); i++)
		walker.table_gfn[i] = in[1 + i];
#ifdef HAVE_kvm_cpu_role
	shim_vcpu.arch.mmu->cpu_role.base.cr0_wp = in[9];
#else
	shim_set_registers(in[9] ? X86_CR0_WP : 0, 0, 0);
#endif
	out[0] = paging64_is_self_change_mapping(&shim_vcpu, &walker, in[10], &written);
	out[1] = written;
}
#endif

/* in: format, gfn, quadrant, level */
#ifdef HAVE_get_level1_sp_gpa
SHIM(get_level1_sp_gpa, 4, 1)
{
	static struct kvm_mmu_page sp;

	sp.gfn = in[1];
	sp.role.quadrant = in[2];
	sp.role.level = in[3];
	out[0] = SHIM_BY_FORMAT(get_level1_sp_gpa, &sp);
}
#endif
