# SPDX-License-Identifier: GPL-2.0-only
"""The roots that an MMU used last: if a guest switches back to one, its tables need not be read again."""

from __future__ import annotations

from conformance.model.changes import CACHE_OF_ALL_ROOTS, NEW_PGD_FLUSHES_NOTHING
from conformance.model.shadow_mmu.free_roots import KVM_MMU_ROOT_CURRENT, kvm_mmu_free_roots
from conformance.model.vm.kvm_mmu import KVM_MMU_NUM_PREV_ROOTS, KvmMmu, RootInfo
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.role import KvmMmuPageRole
from conformance.model.vm.shadow_page import RootTable, ShadowPage
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = ["has_cache", "kvm_mmu_new_pgd"]

PT64_ROOT_4LEVEL = 4


def kvm_mmu_new_pgd(
    vm: Vm,
    vcpu: KvmVcpu,
    new_pgd: int,
    role: KvmMmuPageRole,
    *,
    skip_flush: bool,
    cached: bool | None = None,
) -> None:
    """The guest's root is another now: use a cached root for it, or leave the MMU without one.

    The guest's tables may have changed since that root was used. The caller has it synced, and TLBs flushed,
    where the guest may rely on that; before NEW_PGD_FLUSHES_NOTHING it only said by ``skip_flush`` where the
    guest does not. ``role`` is that of the root that is looked for. ``cached``: whether roots could be cached
    as the MMU was before its role changed.
    """
    mmu = vcpu.mmu
    if not fast_pgd_switch(vm, mmu, new_pgd, role, has_cache(vm, mmu) if cached is None else cached):
        return
    vcpu.make_request(Request.LOAD_MMU_PGD)
    if not skip_flush and not vm.k.has(NEW_PGD_FLUSHES_NOTHING):
        vcpu.make_request(Request.MMU_SYNC)
        vcpu.make_request(Request.TLB_FLUSH_CURRENT)
    vcpu.clear_mmio_info()
    if isinstance(mmu.root, ShadowPage) and not mmu.root_role.direct:
        mmu.root.write_flooding_count = 0


def has_cache(vm: Vm, mmu: KvmMmu) -> bool:
    """Whether roots may be cached: before CACHE_OF_ALL_ROOTS where guest and processor have 4 levels."""
    levels = min(mmu.root_role.level, int(mmu.w.cpu_role.level))
    return levels >= PT64_ROOT_4LEVEL or vm.k.has(CACHE_OF_ALL_ROOTS)


def fast_pgd_switch(vm: Vm, mmu: KvmMmu, new_pgd: int, role: KvmMmuPageRole, cached: bool) -> bool:
    """Whether the current root, or a cached one, is for ``new_pgd`` and has the role; it is current then.

    Roots that are no shadow pages are not cached.
    """
    if isinstance(mmu.root, RootTable) or not cached:
        kvm_mmu_free_roots(vm, mmu, KVM_MMU_ROOT_CURRENT)
    if not cached:
        return False
    if mmu.root is not None or not vm.k.has(CACHE_OF_ALL_ROOTS):
        return _find_and_keep_current(vm, mmu, new_pgd, role)
    return _find_without_current(mmu, new_pgd, role)


def is_root_usable(root: RootInfo, pgd: int, role: KvmMmuPageRole) -> bool:
    """Whether a root is for ``pgd``, which does not matter for a direct one, and has this role."""
    if root.root is None or not (role.direct or pgd == root.pgd):
        return False
    return _role_of(root.root, role) == role


def _role_of(root: KvmMmuPage, like: KvmMmuPageRole) -> KvmMmuPageRole | None:
    """The role of a root; roots of the TDP MMU differ in the address space only. None if it is invalid."""
    if root.invalid:
        return None
    return root.role if isinstance(root, ShadowPage) else like._replace(smm=root.as_id)


def _swap(mmu: KvmMmu, number: int) -> None:
    """Exchange the current root with a cached one."""
    cached = mmu.prev_roots[number]
    mmu.prev_roots[number] = RootInfo(mmu.root, mmu.pgd)
    mmu.root, mmu.pgd = cached


def _find_and_keep_current(vm: Vm, mmu: KvmMmu, pgd: int, role: KvmMmuPageRole) -> bool:
    """Search the cache, and put the current root in front. Without a match the oldest root is dropped."""
    if is_root_usable(RootInfo(mmu.root, mmu.pgd), pgd, role):
        return True
    for number in range(KVM_MMU_NUM_PREV_ROOTS):
        _swap(mmu, number)
        if is_root_usable(RootInfo(mmu.root, mmu.pgd), pgd, role):
            return True
    kvm_mmu_free_roots(vm, mmu, KVM_MMU_ROOT_CURRENT)
    return False


def _find_without_current(mmu: KvmMmu, pgd: int, role: KvmMmuPageRole) -> bool:
    """Search the cache, and take the root out of it that matches."""
    for number, root in enumerate(mmu.prev_roots):
        if is_root_usable(root, pgd, role):
            _swap(mmu, number)
            left = RootInfo(None, mmu.prev_roots[-1].pgd)
            mmu.prev_roots[number:] = [*mmu.prev_roots[number + 1 :], left]
            return True
    return False
