# SPDX-License-Identifier: GPL-2.0-only
"""The gfn and the guest's rights that an entry of a shadow page was made for.

``translation`` has the same functions on words, and how the two are packed.
"""

from __future__ import annotations

from conformance.model.changes import SHADOWED_ACCESS
from conformance.model.layout import PAGE_SHIFT
from conformance.model.shadow_mmu import translation
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import Vm

__all__ = [
    "kvm_mmu_page_get_access",
    "kvm_mmu_page_get_gfn",
    "kvm_mmu_page_set_access",
    "kvm_mmu_page_set_translation",
]


def kvm_mmu_page_get_gfn(vm: Vm, sp: ShadowPage, index: int) -> int:
    """The gfn that entry ``index`` maps."""
    return int(translation.kvm_mmu_page_get_gfn(vm.k, _words(vm, sp, index), index))


def kvm_mmu_page_get_access(vm: Vm, sp: ShadowPage, index: int) -> int:
    """The guest's rights (ACC_* bits) that entry ``index`` shadows."""
    return int(translation.kvm_mmu_page_get_access(vm.k, _words(vm, sp, index), index))


def kvm_mmu_page_set_translation(vm: Vm, sp: ShadowPage, index: int, gfn: int, access: int) -> None:
    """Store ``gfn`` and ``access`` for entry ``index``. A direct page stores nothing; WARN if they differ."""
    words = _words(vm, sp, index)
    if vm.k.has(SHADOWED_ACCESS):
        translation.kvm_mmu_page_set_translation(vm.k, words, index, gfn, access)
    else:
        translation.kvm_mmu_page_set_gfn(vm.k, words, index, gfn)
    if sp.shadowed_translation is not None:
        sp.shadowed_translation[index] = gfn, access if vm.k.has(SHADOWED_ACCESS) else 0


def kvm_mmu_page_set_access(vm: Vm, sp: ShadowPage, index: int, access: int) -> None:
    """Store ``access`` for entry ``index`` and keep its gfn."""
    if vm.k.has(SHADOWED_ACCESS):
        kvm_mmu_page_set_translation(vm, sp, index, kvm_mmu_page_get_gfn(vm, sp, index), access)


def _words(vm: Vm, sp: ShadowPage, index: int) -> translation.ShadowPage:
    """The entry as ``translation`` takes it."""
    gfn, access = (sp.shadowed_translation or {}).get(index, (0, 0))
    slot = gfn << PAGE_SHIFT | access if vm.k.has(SHADOWED_ACCESS) else gfn
    role = sp.role
    return translation.ShadowPage(
        sp.level, bool(role.direct), bool(role.passthrough), role.access, sp.gfn, slot
    )
