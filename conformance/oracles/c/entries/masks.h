/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mask setters, over hosts.  Each starts from the masks of the configured host, as when a vendor
 * module is loaded after another, so that what a setter forgets to reset shows; and ends with them.
 */

#define NR_MASKS (ARRAY_SIZE(shim_masks) + 2)

static void shim_masks_begin(const u64 *in)
{
	shim_set_cpu(in[0], in[1], in[2]);
	shim_module_init(in[3]);
}

static void shim_masks_end(u64 *out)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(shim_masks); i++)
		out[i] = *shim_masks[i];
#ifdef HAVE_enable_mmio_caching
	out[i] = enable_mmio_caching;
#endif
#ifdef HAVE_KVM_AD_ENABLED_VARIABLE
	out[i + 1] = kvm_ad_enabled;
#endif
	shim_events_muted = 1;
	shim_set_host(shim_host);
	shim_events_muted = 0;
}

/* phys_bits, cache_bits, L1TF, mmio_caching */
SHIM(kvm_mmu_reset_all_pte_masks, 4, NR_MASKS)
{
	shim_masks_begin(in);
	kvm_mmu_reset_all_pte_masks();
	shim_masks_end(out);
}

#ifdef HAVE_kvm_mmu_set_mask_ptes
/* user, accessed, dirty, nx, x, present, access-tracking and encryption mask */
SHIM(kvm_mmu_set_mask_ptes, 8, NR_MASKS)
{
	SHIM_MAY_BUG(kvm_mmu_set_mask_ptes(in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7]));
	shim_masks_end(out);
}
#else
/* and: has_ad_bits, has_exec_only */
SHIM(kvm_mmu_set_ept_masks, 6, NR_MASKS)
{
	shim_masks_begin(in);
	kvm_mmu_reset_all_pte_masks();
	shim_set_ept_masks(in[4], in[5]);
	shim_masks_end(out);
}
#endif

/* and: mmio_value, mmio_mask, access_mask */
SHIM(kvm_mmu_set_mmio_spte_mask, 7, NR_MASKS)
{
	shim_masks_begin(in);
	kvm_mmu_reset_all_pte_masks();
	shim_events = 0;
#ifdef HAVE_shadow_mmio_mask
	SHIM_MAY_BUG(kvm_mmu_set_mmio_spte_mask(in[4], in[5], in[6]));
#else
	SHIM_MAY_BUG(kvm_mmu_set_mmio_spte_mask(in[4], in[6]));
#endif
	shim_masks_end(out);
}

#ifdef HAVE_kvm_mmu_set_me_spte_mask
/* me_value, me_mask */
SHIM(kvm_mmu_set_me_spte_mask, 2, NR_MASKS)
{
	kvm_mmu_set_me_spte_mask(in[0], in[1]);
	shim_masks_end(out);
}
#endif
