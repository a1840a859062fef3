/* SPDX-License-Identifier: GPL-2.0-only */
/* The reserved bits of page table entries, by the format of the tables. */

#ifdef HAVE_kvm_page_format
#define shim_rsvd_bits	kvm_page_format
#define shim_spte_rsvd(mmu)	((mmu)->fmt)
#else
#define shim_rsvd_bits	rsvd_bits_validate
#define shim_spte_rsvd(mmu)	((mmu)->shadow_zero_check)
#endif

#ifdef HAVE_kvm_cpu_role
static void shim_rsvd_out(const struct shim_rsvd_bits *found, u64 level, u64 large, u64 *out)
{
	out[0] = found->rsvd_bits_mask[large][level - 1];
	out[1] = found->bad_mt_xwr;
}

/* in: level of the entry, its bit 7, level of the root, reserved address bits, nx, gbpages, pse, amd */
#ifdef HAVE___reset_rsvds_bits_mask
SHIM(__reset_rsvds_bits_mask, 8, 2)
{
	struct shim_rsvd_bits found = {};

	__reset_rsvds_bits_mask(&found, in[3], in[2], in[4], in[5], in[6], in[7]);
	shim_rsvd_out(&found, in[0], in[1], out);
}
#endif

/* in: level of the entry, its bit 7, reserved address bits, exec-only, level of huge pages */
#ifdef HAVE___reset_rsvds_bits_mask_ept
SHIM(__reset_rsvds_bits_mask_ept, 5, 2)
{
	struct shim_rsvd_bits found = {};

	__reset_rsvds_bits_mask_ept(&found, in[2], in[3], in[4]);
	shim_rsvd_out(&found, in[0], in[1], out);
}
#endif
#endif
