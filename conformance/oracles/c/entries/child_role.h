/* SPDX-License-Identifier: GPL-2.0-only */
/* The roles of shadow pages as words, and the role of the page below another. */

#ifdef HAVE_kvm_cpu_role
#ifdef HAVE_BASE_ROLE_SMEP
#define page_role_smep	cr4_smep
#else
#define page_role_smep	smep_andnot_wp
#endif
#define NR_ROLE		14

static union kvm_mmu_page_role shim_page_role(const u64 *in)
{
	return (union kvm_mmu_page_role) {
		.level = in[0], .has_4_byte_gpte = in[1], .quadrant = in[2], .direct = in[3], .access = in[4],
		.invalid = in[5], .efer_nx = in[6], .cr0_wp = in[7], .page_role_smep = in[8],
		.smap_andnot_wp = in[9], .ad_disabled = in[10], .guest_mode = in[11], .passthrough = in[12],
		.smm = in[13],
	};
}

static void shim_page_role_out(union kvm_mmu_page_role role, u64 *out)
{
	out[0] = role.level;
	out[1] = role.has_4_byte_gpte;
	out[2] = role.quadrant;
	out[3] = role.direct;
	out[4] = role.access;
	out[5] = role.invalid;
	out[6] = role.efer_nx;
	out[7] = role.cr0_wp;
	out[8] = role.page_role_smep;
	out[9] = role.smap_andnot_wp;
	out[10] = role.ad_disabled;
	out[11] = role.guest_mode;
	out[12] = role.passthrough;
	out[13] = role.smm;
}

/* A shadow page with the role that in[] begins with, and a table for its entries. */
static struct kvm_mmu_page *shim_page_of_role(const u64 *in)
{
	static struct kvm_mmu_page sp;
	const int page = 1;

	sp.role = shim_page_role(in);
	sp.spt = (u64 *)&shim_memory[page << PAGE_SHIFT];
	((struct page *)vmemmap_base)[page].private = (unsigned long)&sp;
	return &sp;
}

/* in: the parent's role, index of the entry, direct, access */
#ifdef HAVE_kvm_mmu_child_role
SHIM(kvm_mmu_child_role, NR_ROLE + 3, NR_ROLE)
{
	struct kvm_mmu_page *parent = shim_page_of_role(in);

	shim_page_role_out(kvm_mmu_child_role(&parent->spt[in[14]], in[15], in[16]), out);
}
#endif
#endif
