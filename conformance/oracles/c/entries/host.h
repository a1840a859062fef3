/* SPDX-License-Identifier: GPL-2.0-only */
/* Hosts: the masks as the vendor modules leave them, by the kernel's own setters in their order. */

/* The masks, in the order in which they are reported; 0 is what a kernel without one has there. */
#ifdef HAVE_shadow_xs_mask
#define shadow_x_mask shadow_xs_mask
#else
static u64 shadow_xu_mask;
#endif
#ifndef HAVE_shadow_host_writable_mask
static u64 shadow_host_writable_mask, shadow_mmu_writable_mask;
#endif
#ifndef HAVE_shadow_mmio_mask
static u64 shadow_mmio_mask;
#endif
#ifndef HAVE_shadow_memtype_mask
static u64 shadow_memtype_mask;
#endif
#ifndef HAVE_shadow_me_value
static u64 shadow_me_value;
#endif

static u64 *const shim_masks[] = {
	&shadow_host_writable_mask, &shadow_mmu_writable_mask, &shadow_nx_mask, &shadow_x_mask,
	&shadow_xu_mask, &shadow_user_mask, &shadow_accessed_mask, &shadow_dirty_mask,
	&shadow_mmio_value, &shadow_mmio_mask, &shadow_mmio_access_mask, &shadow_present_mask,
	&shadow_memtype_mask, &shadow_me_value, &shadow_me_mask, &shadow_acc_track_mask,
	&shadow_nonpresent_or_rsvd_mask, &shadow_nonpresent_or_rsvd_lower_gfn_mask,
};

static void shim_set_cpu(u64 phys_bits, u64 cache_bits, bool l1tf)
{
	/* No extended CPUID: MAXPHYADDR is what the case says, not what this machine has. */
	boot_cpu_data.extended_cpuid_level = 0;
	boot_cpu_data.x86_phys_bits = phys_bits;
	boot_cpu_data.x86_cache_bits = cache_bits;
	if (l1tf)
		boot_cpu_data.x86_capability[X86_BUG_L1TF / 32] |= 1U << X86_BUG_L1TF % 32;
	else
		boot_cpu_data.x86_capability[X86_BUG_L1TF / 32] &= ~(1U << X86_BUG_L1TF % 32);
}

static void shim_module_init(bool mmio_caching)
{
#ifdef HAVE_enable_mmio_caching
	enable_mmio_caching = mmio_caching;
#endif
#ifdef HAVE_kvm_mmu_spte_module_init
	kvm_mmu_spte_module_init();
#endif
}

#ifdef HAVE_kvm_mmu_set_mask_ptes
/* As x86.c and vmx.c called it, before e7b7bdea77f3 moved the values into the MMU in v5.13. */
static void shim_set_shadow_masks(u64 me_mask)
{
	kvm_mmu_set_mask_ptes(PT_USER_MASK, PT_ACCESSED_MASK, PT_DIRTY_MASK, PT64_NX_MASK, 0,
			      PT_PRESENT_MASK, 0, me_mask);
}

static void shim_set_ept_masks(bool has_ad_bits, bool has_exec_only)
{
	kvm_mmu_set_mask_ptes(VMX_EPT_READABLE_MASK, has_ad_bits ? VMX_EPT_ACCESS_BIT : 0,
			      has_ad_bits ? VMX_EPT_DIRTY_BIT : 0, 0, VMX_EPT_EXECUTABLE_MASK,
			      has_exec_only ? 0 : VMX_EPT_READABLE_MASK, VMX_EPT_RWX_MASK, 0);
	kvm_mmu_set_mmio_spte_mask(VMX_EPT_MISCONFIG_WX_VALUE, 0);
}
#else
static void shim_set_ept_masks(bool has_ad_bits, bool has_exec_only)
{
#ifdef HAVE_EPT_EXEC_ONLY_PARAMETER
	kvm_mmu_set_ept_masks(has_ad_bits, has_exec_only);
#else
	kvm_mmu_set_ept_masks(has_ad_bits);
#endif
}
#endif

/*
 * A VM may have an MMIO value of its own, as TDX gives it.  Where it does, run statement with another
 * value in the variable that is only the default, which nothing may read then.
 */
#ifdef HAVE_VM_MMIO_VALUE
#define SHIM_VM_MMIO_VALUE(statement)					\
do {									\
	shadow_mmio_value = ~shadow_mmio_value;				\
	statement;							\
	shadow_mmio_value = ~shadow_mmio_value;				\
} while (0)
#else
#define SHIM_VM_MMIO_VALUE(statement) statement
#endif

static u64 shim_host[NR_HOST];

/* As at boot, so that a mode is the same whichever came before, even where a setter forgets a mask. */
static void shim_clear_masks(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(shim_masks); i++)
		*shim_masks[i] = 0;
#ifndef HAVE_shadow_host_writable_mask
	/* Constants there. */
	shadow_host_writable_mask = SPTE_HOST_WRITEABLE;
	shadow_mmu_writable_mask = SPTE_MMU_WRITEABLE;
#endif
#ifdef HAVE_KVM_AD_ENABLED_VARIABLE
	kvm_ad_enabled = false;
#endif
}

void shim_set_host(const u64 host[NR_HOST])
{
	int i;

	for (i = 0; i < NR_HOST; i++)
		shim_host[i] = host[i];
	shim_set_cpu(host[HOST_PHYS_BITS], host[HOST_CACHE_BITS], host[HOST_L1TF]);
	shim_clear_masks();
	shim_module_init(host[HOST_MMIO_CACHING]);
	tdp_enabled = host[HOST_TDP];

	kvm_mmu_reset_all_pte_masks();
#ifdef HAVE_kvm_mmu_set_mask_ptes
	kvm_set_mmio_spte_mask();
	shim_set_shadow_masks(host[HOST_ME_MASK]);
#endif
	if (host[HOST_EPT])
		shim_set_ept_masks(host[HOST_AD_BITS], host[HOST_EXEC_ONLY]);
#ifdef HAVE_kvm_mmu_set_me_spte_mask
	kvm_mmu_set_me_spte_mask(host[HOST_ME_VALUE], host[HOST_ME_MASK]);
#endif

	/* Only VMX, and in v5.10 SVM as well, has a memory type to give. */
	kvm_x86_ops.get_mt_mask = NULL;
#ifndef HAVE_SVM_MT_MASK
	if (host[HOST_EPT])
#endif
		kvm_x86_ops.get_mt_mask = shim_get_mt_mask_op;
#ifdef HAVE_VM_MMIO_VALUE
	/* As kvm_mmu_init_vm() does for each new VM. */
	shim_kvm.arch.shadow_mmio_value = shadow_mmio_value;
#endif
	shim_vcpu.kvm = &shim_kvm;
	shim_vcpu.arch.mmu = &shim_vcpu.arch.root_mmu;
}
