/* SPDX-License-Identifier: GPL-2.0-only */
/* Shadow pages: which guest frame, with which rights, an SPTE shadows. */

/*
 * A shadow page as kvm_mmu_alloc_shadow_page() makes it, its one entry under test holding slot.
 * in: level, direct, passthrough, role.access, sp->gfn, index, slot
 */
static struct kvm_mmu_page *shim_shadow_page(const u64 *in)
{
	static struct kvm_mmu_page sp;
	static u64 translations[512];

	sp.role.word = 0;
	/* Of a direct page at level 5 the kernel shifts an int by 36, of which C says nothing: not asked. */
	sp.role.level = in[0] == 5 && in[1] ? 4 : in[0];
	sp.role.direct = in[1];
#ifdef HAVE_ROLE_PASSTHROUGH
	sp.role.passthrough = in[2];
#endif
	sp.role.access = in[3];
	sp.gfn = in[4];
	translations[in[5]] = in[6];
#ifdef HAVE_SHADOWED_TRANSLATION
	sp.shadowed_translation = in[1] ? NULL : translations;
#else
	sp.gfns = in[1] ? NULL : translations;
#endif
	return &sp;
}

static u64 shim_slot(struct kvm_mmu_page *sp, const u64 *in)
{
#ifdef HAVE_SHADOWED_TRANSLATION
	return sp->shadowed_translation ? sp->shadowed_translation[in[5]] : in[6];
#else
	return sp->gfns ? sp->gfns[in[5]] : in[6];
#endif
}

#ifdef HAVE_kvm_mmu_page_get_gfn
SHIM(kvm_mmu_page_get_gfn, 7, 1) { out[0] = kvm_mmu_page_get_gfn(shim_shadow_page(in), in[5]); }
#endif

#ifdef HAVE_kvm_mmu_page_set_gfn
/* and: gfn */
SHIM(kvm_mmu_page_set_gfn, 8, 1)
{
	struct kvm_mmu_page *sp = shim_shadow_page(in);

	kvm_mmu_page_set_gfn(sp, in[5], in[7]);
	out[0] = shim_slot(sp, in);
}
#endif

#ifdef HAVE_kvm_mmu_page_get_access
SHIM(kvm_mmu_page_get_access, 7, 1)
{
	out[0] = kvm_mmu_page_get_access(shim_shadow_page(in), in[5]);
}
#endif

/* and: gfn, access */
#ifdef HAVE_kvm_mmu_page_set_translation
SHIM(kvm_mmu_page_set_translation, 9, 1)
{
	struct kvm_mmu_page *sp = shim_shadow_page(in);

	kvm_mmu_page_set_translation(sp, in[5], in[7], in[8]);
	out[0] = shim_slot(sp, in);
}
#endif

/* and: access */
#ifdef HAVE_kvm_mmu_page_set_access
SHIM(kvm_mmu_page_set_access, 8, 1)
{
	struct kvm_mmu_page *sp = shim_shadow_page(in);

	kvm_mmu_page_set_access(sp, in[5], in[7]);
	out[0] = shim_slot(sp, in);
}
#endif
