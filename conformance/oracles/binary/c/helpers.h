/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For setting up a case, what the kernel has as inline functions, which are nowhere in a module: nothing
 * that is observed comes from here.
 */

/* Since v6.11 what is not present has a value, and caches of pages are filled with it. */
#ifdef HAVE_FIELD_kvm_mmu_memory_cache__init_value
#define SHADOW_NONPRESENT_VALUE	BIT_ULL(63)
#endif

#ifndef HAVE_is_shadow_present_pte
#ifdef HAVE_shadow_host_writable_mask
/* The bit that says it, since v5.13. */
static bool is_shadow_present_pte(u64 spte)
{
	return spte & BIT_ULL(11);
}
#else
static bool is_shadow_present_pte(u64 spte)
{
	return spte && (spte & GENMASK_ULL(53, 52)) != GENMASK_ULL(53, 52);
}
#endif
#endif

#ifndef HAVE_is_last_spte
static bool is_last_spte(u64 spte, int level)
{
	return level == PG_LEVEL_4K || (spte & PT_PAGE_SIZE_MASK);
}
#endif

#ifndef HAVE_shadow_host_writable_mask
#define SPTE_HOST_WRITEABLE	BIT_ULL(9)
#define SPTE_MMU_WRITEABLE	BIT_ULL(10)
#endif

#ifdef HAVE_kvm_mmu_set_mask_ptes
/* As the module's function of this name, which kvm_mmu_module_init() contains. */
static void kvm_set_mmio_spte_mask(void)
{
	u64 mask = shadow_phys_bits < 52 ? BIT_ULL(51) | PT_PRESENT_MASK : 0;

	kvm_mmu_set_mmio_spte_mask(mask, PT_WRITABLE_MASK | PT_USER_MASK);
}
#endif
