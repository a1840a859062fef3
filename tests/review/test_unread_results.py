# SPDX-License-Identifier: GPL-2.0-only
"""Functions that every VM executes and whose results no story reads: a patch that breaks one is reported."""

from __future__ import annotations

import pytest
from planting import patch_for

from conformance.kernels import open_kernel
from conformance.kernels.substitutions import MMU_C, MMU_H, Substitution
from conformance.review import ReviewPlan, Standing, compare

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


def mmu_c(function, old, new):
    return Substitution(MMU_C, old, new, function=function)


BROKEN = {
    # The walk of the guest's page tables.
    "update_permission_bitmask": mmu_c(
        "update_permission_bitmask", "= ff | uf | wf | smepf | smapf;", "= 0;"
    ),
    "update_pkru_bitmask": mmu_c("update_pkru_bitmask", "|= (pkey_bits & 3) << pfec;", "|= 0;"),
    "reset_guest_paging_metadata": mmu_c(
        "reset_guest_paging_metadata", "update_permission_bitmask(mmu, false);", ""
    ),
    "kvm_calc_cpu_role": mmu_c("kvm_calc_cpu_role", "role.ext.cr4_smap = ____is_cr4_smap(regs);", ""),
    "vcpu_to_role_regs": mmu_c("vcpu_to_role_regs", ".efer = vcpu->arch.efer,", ".efer = 0,"),
    "is_cr0_pg": mmu_c("is_cr0_pg", "level > 0;", "level > 4;"),
    "is_cr4_pae": mmu_c("is_cr4_pae", "return !mmu", "return !!mmu"),
    # Reserved bits.
    "__reset_rsvds_bits_mask": mmu_c(
        "__reset_rsvds_bits_mask", "high_bits_rsvd = pa_bits_rsvd & rsvd_bits(0, 51);", "high_bits_rsvd = 0;"
    ),
    "__reset_rsvds_bits_mask_ept": mmu_c("__reset_rsvds_bits_mask_ept", "if (!execonly) {", "if (0) {"),
    "reset_guest_rsvds_bits_mask": mmu_c("reset_guest_rsvds_bits_mask", "is_efer_nx(context),", "true,"),
    "reset_tdp_shadow_zero_bits_mask": mmu_c(
        "reset_tdp_shadow_zero_bits_mask", "if (!shadow_me_mask)", "if (1)"
    ),
    "guest_can_use_gbpages": mmu_c("guest_can_use_gbpages", "boot_cpu_has(X86_FEATURE_GBPAGES) :", "true :"),
    "boot_cpu_is_amd": mmu_c("boot_cpu_is_amd", "shadow_x_mask == 0;", "shadow_x_mask != 0;"),
    # The root of KVM's own tables.
    "kvm_mmu_get_tdp_level": mmu_c("kvm_mmu_get_tdp_level", "<= 48", "<= 47"),
    "kvm_calc_tdp_mmu_root_page_role": mmu_c(
        "kvm_calc_tdp_mmu_root_page_role", "role.cr0_wp = true;", "role.cr0_wp = false;"
    ),
    "kvm_configure_mmu": mmu_c("kvm_configure_mmu", "= PG_LEVEL_2M;", "= PG_LEVEL_4K;"),
    # What the module and a VM are set up with.
    "get_nx_auto_mode": mmu_c("get_nx_auto_mode", "&& !cpu", "&& cpu"),
    "calc_nx_huge_pages_recovery_period": mmu_c("calc_nx_huge_pages_recovery_period", "3600u", "60u"),
    "kvm_mmu_max_gfn": Substitution(MMU_H, "likely(tdp_enabled) ? shadow_phys_bits : 52;", "52;"),
    "kvm_memslots_have_rmaps": Substitution(MMU_H, "|| kvm_shadow_root_allocated(kvm);", ";"),
    "kvm_shadow_root_allocated": Substitution(
        MMU_H, "return smp_load_acquire(&kvm->arch.shadow_root_allocated);", "return false;"
    ),
}
"""A defect in each."""


@pytest.mark.parametrize("function", BROKEN)
def test_a_patch_that_breaks_it_is_reported(function, tmp_path):
    base = open_kernel("6.1")
    broken = open_kernel("6.1", [patch_for(BROKEN[function], tmp_path)])
    reviews = {one.name: one for one in compare(base, broken, ReviewPlan()).changed}
    assert reviews[function].standing is Standing.DIFFERS
    assert reviews[function].difference is not None
