/* SPDX-License-Identifier: GPL-2.0-only */
/* What the module, or a VM, is set up with: parameters, limits, sizes of arrays.  Only for code that is compiled here. */

/* in: the processor has the bug, mitigations are off */
#ifdef HAVE_get_nx_auto_mode
SHIM(get_nx_auto_mode, 2, 1)
{
	u32 *words = (u32 *)boot_cpu_data.x86_capability;

	words[X86_BUG_ITLB_MULTIHIT / 32] &= ~(1U << X86_BUG_ITLB_MULTIHIT % 32);
	words[X86_BUG_ITLB_MULTIHIT / 32] |= (u32)in[0] << X86_BUG_ITLB_MULTIHIT % 32;
	shim_env.mitigations_off = in[1];
	out[0] = get_nx_auto_mode();
}
#endif

/* in: nx_huge_pages, the parameters ratio and period.  out: whether the worker runs, and after how long */
#ifdef HAVE_calc_nx_huge_pages_recovery_period
SHIM(calc_nx_huge_pages_recovery_period, 3, 2)
{
	uint period = 0;

	nx_huge_pages = in[0];
	nx_huge_pages_recovery_ratio = in[1];
	nx_huge_pages_recovery_period_ms = in[2];
	out[0] = calc_nx_huge_pages_recovery_period(&period);
	out[1] = out[0] ? period : 0;
}
#endif

/* in: the host's MAXPHYADDR */
#ifdef HAVE_kvm_mmu_max_gfn
SHIM(kvm_mmu_max_gfn, 1, 1)
{
	shim_set_cpu(in[0], in[0], false);
	shim_module_init(true);
	kvm_mmu_reset_all_pte_masks();
	out[0] = kvm_mmu_max_gfn();
	shim_events_muted = 1;
	shim_set_host(shim_host);
	shim_events_muted = 0;
}
#endif

/* in: first gfn, number of pages, level */
#ifdef HAVE___kvm_mmu_slot_lpages
SHIM(__kvm_mmu_slot_lpages, 3, 1)
{
	struct kvm_memory_slot slot = { .base_gfn = in[0] };

	out[0] = __kvm_mmu_slot_lpages(&slot, in[1], in[2]);
}
#endif

/* in: the TDP MMU is enabled, the VM has had a shadow root */
#ifdef HAVE_kvm_memslots_have_rmaps
SHIM(kvm_memslots_have_rmaps, 2, 1)
{
#ifdef HAVE_is_tdp_mmu_enabled
	shim_kvm.arch.tdp_mmu_enabled = in[0];
#else
	tdp_mmu_enabled = in[0];
#endif
	shim_kvm.arch.shadow_root_allocated = in[1];
	out[0] = kvm_memslots_have_rmaps(&shim_kvm);
}
#endif
