// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TDP write path of kernels from before ba3a6120a4e7 ("KVM: x86/mmu: Use atomic XCHG to write TDP
 * MMU SPTEs with volatile bits") in v5.18: there is no helper to call, so the function that contained
 * the write is run until it has written.
 */
#include "mmu/tdp_mmu.c"
#include "shim.h"

#ifndef HAVE_kvm_tdp_mmu_write_spte
/* The write looks up the shadow page of the walk's root, through the struct page of its table. */
static void shim_root_page(struct kvm_mmu_page *sp, struct tdp_iter *iter)
{
	u64 *root = (u64 *)&shim_memory[PAGE_SIZE];

	set_page_private(virt_to_page(root), (unsigned long)sp);
	iter->pt_path[iter->root_level - 1] = root;
}

/* memory, old, new, level */
SHIM(kvm_tdp_mmu_write_spte, 4, 3)
{
	static struct kvm kvm;
	static struct kvm_mmu_page sp;
	struct tdp_iter iter = {
		.sptep = shim_watch(in[0], in[0]), .old_spte = in[1], .level = in[3], .root_level = PT64_ROOT_4LEVEL,
	};

	shim_root_page(&sp, &iter);
	SHIM_UNTIL_WRITTEN(__tdp_mmu_set_spte(&kvm, &iter, in[2], false, false));
	out[2] = shim_watched(&out[1]);
	/* It goes on with the old value that it read before, whatever memory held. */
	out[0] = iter.old_spte;
}
#endif
