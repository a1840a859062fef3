# SPDX-License-Identifier: GPL-2.0-only
"""The page tables that KVM builds with two-dimensional paging: their levels, and the role of their root."""

from __future__ import annotations

from typing import NamedTuple

from conformance.model.changes import EPT_AD_MASKS_ALWAYS, GMET_ROOT_ACCESS, TDP_HAS_SMEP
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_2M
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, clear, either, no, when, word

__all__ = [
    "Configuration",
    "RootRole",
    "kvm_calc_tdp_mmu_root_page_role",
    "kvm_configure_mmu",
    "kvm_mmu_get_tdp_level",
]


class Configuration(NamedTuple):
    """What the vendor module's kvm_configure_mmu() leaves in variables of the MMU."""

    tdp_enabled: Word
    tdp_root_level: Word
    """The level that the architecture forces; 0 if KVM chooses."""
    max_tdp_level: Word
    max_huge_page_level: Word


class RootRole(NamedTuple):
    """The role of a root of two-dimensional paging (union kvm_mmu_page_role): levels, access, and flags."""

    level: Word
    access: Word
    direct: Word
    has_4_byte_gpte: Word
    efer_nx: Word
    cr0_wp: Word
    cr4_smep: Word
    ad_disabled: Word
    smm: Word
    guest_mode: Word


def kvm_configure_mmu(
    k: Semantics,
    *,
    enable_tdp: Truth | bool,
    forced_level: Word,
    max_level: Word,
    huge_level: Word,
    gbpages: Truth | bool,
) -> Configuration:
    """Note what the vendor module supports. ``gbpages``: the host's own page tables can map 1 GiB.

    Shadow paging uses the format of the host's tables, and so the sizes that those have.
    """
    return Configuration(
        word(enable_tdp),
        forced_level,
        max_level,
        either(enable_tdp, huge_level, either(gbpages, PG_LEVEL_1G, PG_LEVEL_2M)),
    )


def kvm_mmu_get_tdp_level(k: Semantics, forced_level: Word, max_level: Word, maxphyaddr: Word) -> Word:
    """How many levels the tables have: forced, or as many as a guest's physical address requires.

    Four levels translate 48 bits. ``max_level`` is what the processor can walk, ``maxphyaddr`` the guest's.
    """
    enough = either(maxphyaddr <= 48, 4, 5)
    chosen = either(max_level == 5, enough, max_level)
    return either(forced_level != 0, forced_level, chosen)


def kvm_calc_tdp_mmu_root_page_role(
    k: Semantics, level: Word, *, smm: Truth | bool, guest_mode: Truth | bool, has_smep: Truth | bool
) -> RootRole:
    """The role of a root with ``level`` levels. The guest's registers do not matter, but for SMM.

    ``has_smep``: the vendor module uses mode-based execute control or guest mode execute trap. With the
    latter, the supervisor may not execute user pages, so that all of KVM's are the supervisor's.
    """
    smep = has_smep if k.has(TDP_HAS_SMEP) else False
    trap = smep & (k.shadow_user_mask != 0) if k.has(GMET_ROOT_ACCESS) else False
    enabled = k.kvm_ad_enabled != 0 if k.has(EPT_AD_MASKS_ALWAYS) else k.shadow_accessed_mask != 0
    return RootRole(
        level=level,
        access=clear(k.layout.acc_all, when(trap, k.layout.acc_user_mask)),
        direct=1,
        has_4_byte_gpte=0,
        efer_nx=1,
        cr0_wp=1,
        cr4_smep=word(smep),
        ad_disabled=word(no(enabled)),
        smm=word(smm),
        guest_mode=word(guest_mode),
    )
