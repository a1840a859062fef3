# SPDX-License-Identifier: GPL-2.0-only
"""Which shadow pages of a gfn may be used, and which of them shadow a table of the guest."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import Vm

__all__ = ["for_each_gfn_valid_sp_with_gptes", "for_each_valid_sp", "is_obsolete_sp", "sp_has_gptes"]


def is_obsolete_sp(vm: Vm, sp: ShadowPage) -> bool:
    """Whether the page was zapped, or will be since all pages of its generation are."""
    return sp.invalid or sp.mmu_valid_gen != vm.shadow.mmu_valid_gen


def sp_has_gptes(sp: ShadowPage) -> bool:
    """Whether the page's entries shadow entries of a table of the guest.

    A direct page maps a range of gfns. A passthrough page adds a level that the guest's tables do not have.
    """
    return not sp.role.direct and not sp.role.passthrough


def for_each_valid_sp(vm: Vm, gfn: int) -> Iterator[ShadowPage]:
    """The usable pages of a gfn, newest first; the caller may zap the page that it was given."""
    for sp in list(vm.shadow.mmu_page_hash.get(gfn, ())):
        if not is_obsolete_sp(vm, sp):
            yield sp


def for_each_gfn_valid_sp_with_gptes(vm: Vm, gfn: int) -> Iterator[ShadowPage]:
    """The usable pages that shadow ``gfn`` as a table, newest first."""
    return (sp for sp in for_each_valid_sp(vm, gfn) if sp_has_gptes(sp))
