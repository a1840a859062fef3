/* SPDX-License-Identifier: GPL-2.0-only */
/* Who may write: the W, Host-writable and MMU-writable bits, and the flush that losing them needs. */

#ifdef HAVE_is_writable_pte
SHIM(is_writable_pte, 1, 1) { out[0] = !!is_writable_pte(in[0]); }
#endif

#ifdef HAVE_is_mmu_writable_spte
SHIM(is_mmu_writable_spte, 1, 1) { out[0] = is_mmu_writable_spte(in[0]); }
#elif defined(HAVE_spte_can_locklessly_be_made_writable)
SHIM(is_mmu_writable_spte, 1, 1) { out[0] = spte_can_locklessly_be_made_writable(in[0]); }
#endif

#ifdef HAVE_check_spte_writable_invariants
SHIM(check_spte_writable_invariants, 1, 1) { check_spte_writable_invariants(in[0]); }
#endif

#ifdef HAVE_is_access_allowed
/* spte, exec, write, user, present */
SHIM(is_access_allowed, 5, 1)
{
#ifdef HAVE_kvm_page_fault
	struct kvm_page_fault fault = {
		.exec = in[1], .write = in[2], .user = in[3], .present = in[4],
	};

	out[0] = is_access_allowed(&fault, in[0]);
#else
	out[0] = is_access_allowed((in[1] ? PFERR_FETCH_MASK : 0) |
				   (in[2] ? PFERR_WRITE_MASK : 0) |
				   (in[3] ? PFERR_USER_MASK : 0) |
				   (in[4] ? PFERR_PRESENT_MASK : 0), in[0]);
#endif
}
#endif

#ifdef HAVE_spte_permission_fault
/* spte, error code, the sixteen 16-bit rows of the permission bitmap, four to a word */
SHIM(spte_permission_fault, 6, 1)
{
	static struct kvm_mmu mmu;
	struct kvm_page_fault fault = { .error_code = in[1] };
	int i;

	for (i = 0; i < 16; i++)
		mmu.fmt.permissions[i] = in[2 + i / 4] >> (16 * (i % 4));
	out[0] = spte_permission_fault(&mmu, in[0], &fault);
}
#endif

#ifdef HAVE_leaf_spte_change_needs_tlb_flush
SHIM(leaf_spte_change_needs_tlb_flush, 2, 1)
{
	out[0] = leaf_spte_change_needs_tlb_flush(in[0], in[1]);
}
#endif

/*
 * Functions that change an SPTE in memory.  in[0] is the SPTE as the function reads it, in[1] what
 * it has become when the function writes.  Out: return value, memory, accesses, and the pfns that
 * were reported accessed and dirty.
 */
#define UPDATES(expression)							\
do {										\
	u64 *word = shim_watch(in[0], in[1]);					\
										\
	shim_env.pfn_accessed = shim_env.pfn_dirty = 0;				\
	out[0] = expression;							\
	out[2] = shim_watched(&out[1]);						\
	out[3] = shim_env.pfn_accessed;						\
	out[4] = shim_env.pfn_dirty;						\
} while (0)

#ifdef HAVE_mmu_spte_update
SHIM(mmu_spte_update, 3, 5) { UPDATES(mmu_spte_update(word, in[2])); }
#endif
#ifdef HAVE_spte_write_protect
SHIM(spte_write_protect, 3, 5) { UPDATES(spte_write_protect(word, in[2])); }
#endif
#ifdef HAVE_spte_clear_dirty
SHIM(spte_clear_dirty, 2, 5) { UPDATES(spte_clear_dirty(word)); }
#endif
#ifdef HAVE_spte_wrprot_for_clear_dirty
SHIM(spte_wrprot_for_clear_dirty, 2, 5) { UPDATES(spte_wrprot_for_clear_dirty(word)); }
#endif
