# SPDX-License-Identifier: GPL-2.0-only
"""The role of a shadow page: what, besides its gfn, decides whether it can be used (kvm_mmu_page_role)."""

from __future__ import annotations

from typing import NamedTuple

from conformance.model.guest_paging.page_role import PageRole

__all__ = ["KvmMmuPageRole", "kvm_mmu_role_as_id"]


class KvmMmuPageRole(NamedTuple):
    """Two shadow pages for one gfn are the same page if their roles are equal (union kvm_mmu_page_role).

    A field that a kernel does not have is 0. ``smep`` is called ``smep_andnot_wp`` until v7.1, ``cr4_smep``
    since v7.2.
    """

    level: int
    has_4_byte_gpte: int = 0
    quadrant: int = 0
    """Which part of a guest's 32-bit table the page shadows, since it holds half as many entries."""
    direct: int = 1
    access: int = 0
    """What all entries above the page in the guest's tables allow: ACC_* bits."""
    invalid: int = 0
    """Always 0: ``ShadowPage.invalid`` says it."""
    efer_nx: int = 0
    cr0_wp: int = 0
    smep: int = 0
    smap_andnot_wp: int = 0
    ad_disabled: int = 0
    guest_mode: int = 0
    passthrough: int = 0
    """A page of a host's level that the guest's tables do not have: all entries are for the same gfn."""
    smm: int = 0

    @classmethod
    def of(cls, role: PageRole) -> KvmMmuPageRole:
        """A role that was computed."""
        return cls(*map(int, role))


def kvm_mmu_role_as_id(role: KvmMmuPageRole) -> int:
    """The address space of the memslots that pages of the role map."""
    return role.smm
