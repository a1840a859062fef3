/* SPDX-License-Identifier: GPL-2.0-only */
/* What an SPTE is: present, large, last, executable, MMIO, frozen; what it points to. */

#ifdef HAVE_is_shadow_present_pte
SHIM(is_shadow_present_pte, 1, 1) { out[0] = !!is_shadow_present_pte(in[0]); }
#endif
#ifdef HAVE_is_large_pte
SHIM(is_large_pte, 1, 1) { out[0] = !!is_large_pte(in[0]); }
#endif
#ifdef HAVE_is_last_spte
SHIM(is_last_spte, 2, 1) { out[0] = !!is_last_spte(in[0], in[1]); }
#endif
#ifdef HAVE_spte_to_pfn
SHIM(spte_to_pfn, 1, 1) { out[0] = spte_to_pfn(in[0]); }
#endif
#ifdef HAVE_is_executable_pte
SHIM(is_executable_pte, 1, 1) { out[0] = is_executable_pte(in[0]); }
#endif
#ifdef HAVE_spte_index
SHIM(spte_index, 1, 1) { out[0] = spte_index((u64 *)in[0]); }
#endif
/* Renamed by 964cea817196 ("KVM: x86/tdp_mmu: Rename REMOVED_SPTE to FROZEN_SPTE") in v6.11. */
#ifdef HAVE_is_frozen_spte
SHIM(is_frozen_spte, 1, 1) { out[0] = is_frozen_spte(in[0]); }
#elif defined(HAVE_is_removed_spte)
SHIM(is_frozen_spte, 1, 1) { out[0] = is_removed_spte(in[0]); }
#endif
#ifdef HAVE_is_mmio_spte
#ifdef HAVE_VM_MMIO_VALUE
SHIM(is_mmio_spte, 1, 1) { SHIM_VM_MMIO_VALUE(out[0] = is_mmio_spte(&shim_kvm, in[0])); }
#else
SHIM(is_mmio_spte, 1, 1) { out[0] = is_mmio_spte(in[0]); }
#endif
#endif
#ifdef HAVE_is_ept_ve_possible
SHIM(is_ept_ve_possible, 1, 1) { out[0] = is_ept_ve_possible(in[0]); }
#endif

#ifdef HAVE_is_rsvd_spte
/* spte, level, reserved bits for bit 7 clear and set, bad combinations of memory type and XWR */
SHIM(is_rsvd_spte, 5, 1)
{
#ifdef HAVE_kvm_page_format
	struct kvm_page_format check = {};
#else
	struct rsvd_bits_validate check = {};
#endif

	check.rsvd_bits_mask[0][in[1] - 1] = in[2];
	check.rsvd_bits_mask[1][in[1] - 1] = in[3];
	check.bad_mt_xwr = in[4];
	out[0] = is_rsvd_spte(&check, in[0], in[1]);
}
#elif defined(HAVE_RSVD_ASKED_APART) && defined(HAVE___is_rsvd_bits_set)
/* Before 961f84457cd4 in v5.14 the walk asked both questions itself. */
SHIM(is_rsvd_spte, 5, 1)
{
	struct rsvd_bits_validate check = {};

	check.rsvd_bits_mask[0][in[1] - 1] = in[2];
	check.rsvd_bits_mask[1][in[1] - 1] = in[3];
	check.bad_mt_xwr = in[4];
	out[0] = __is_bad_mt_xwr(&check, in[0]) || __is_rsvd_bits_set(&check, in[0], in[1]);
}
#endif
