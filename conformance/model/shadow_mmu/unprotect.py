# SPDX-License-Identifier: GPL-2.0-only
"""Unprotecting a gfn: the pages that shadow it as a table are zapped, so that the guest may write it.

An instruction that is not one to write page tables with (XADD, say) has probably hit a page that was a table
once. Then KVM unprotects its gfn and lets the guest execute the instruction again, instead of emulating it.
If the same instruction faults on the same address again, it is emulated, or it could never complete.
"""

from __future__ import annotations

from conformance.model.shadow_mmu.lookup import for_each_gfn_valid_sp_with_gptes
from conformance.model.shadow_mmu.zap import InvalidList, kvm_mmu_commit_zap_page, kvm_mmu_prepare_zap_page
from conformance.model.vm.vm import Vm

__all__ = ["kvm_mmu_unprotect_page"]


def kvm_mmu_unprotect_page(vm: Vm, gfn: int) -> bool:
    """Zap the pages that shadow ``gfn`` as a table; return whether any page is freed.

    A root is invalid afterwards, but is freed by its last user only.
    """
    invalid_list: InvalidList = []
    with vm.mmu_lock.for_write:
        for sp in for_each_gfn_valid_sp_with_gptes(vm, gfn):
            kvm_mmu_prepare_zap_page(vm, sp, invalid_list)
        freed = bool(invalid_list)
        kvm_mmu_commit_zap_page(vm, invalid_list)
    return freed
