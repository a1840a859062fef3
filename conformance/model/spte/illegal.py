# SPDX-License-Identifier: GPL-2.0-only
"""Which SPTEs KVM never makes, and why: a table of rules for each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.model.changes import (
    CHANGED_PTE_CLEARS_MMU_WRITABLE,
    EPT_AD_MASKS_ALWAYS,
    NO_ACCESS_WARNS,
    SOFTWARE_ACCESSED,
)
from conformance.model.layout import (
    PAGE_SHIFT,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    PT_PAGE_SIZE_MASK,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
    VMX_EPT_MT_MASK,
    VMX_EPT_READABLE_MASK,
    VMX_EPT_RWX_MASK,
    VMX_EPT_SUPPRESS_VE_BIT,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.access import is_access_track_spte, spte_ad_enabled
from conformance.model.spte.decode.fields import fields
from conformance.model.spte.decode.hardware import (
    MEMORY_TYPES,
    address_bits,
    ept_bits,
    required_me,
    saved_bits,
    unlike_table,
)
from conformance.model.spte.decode.kinds import is_leaf, kind_of
from conformance.model.spte.decode.named_bits import not_mmio
from conformance.model.spte.predicates import is_mmio_spte
from conformance.model.spte.states import state_of
from conformance.model.words import bits

__all__ = ["complaints", "writability"]


@dataclass(frozen=True)
class _Rule:
    """A rule. An SPTE breaks it if ``wrong`` returns bits or True; ``{0:#x}`` in the sentence shows them."""

    sentence: str
    wrong: Callable[[Semantics, int], int]


def complaints(k: Semantics, spte: int, level: int | None = None) -> list[str]:
    """Why KVM never makes this SPTE, in sentences; empty if KVM may make it.

    ``level`` is that of its table (1 is 4 KiB). Without it an SPTE that could point to a table is taken for
    one that does, and a large SPTE for a page of 2 MiB.
    """
    kind = kind_of(k, spte)
    rules = [*_RULES.get(kind, ())]
    if kind == "present":
        rules += _LEAF_RULES if is_leaf(k, spte, level) else _TABLE_RULES
        rules += _LEVEL_RULES.get(level or PG_LEVEL_2M, _TOO_HIGH_RULES)
    found = ((rule, rule.wrong(k, spte)) for rule in rules)
    return [rule.sentence.format(wrong) for rule, wrong in found if wrong]


def writability(k: Semantics, spte: int, level: int | None = None) -> tuple[str, str]:
    """The SPTE's state of writability from the table in ``states``: its name, and the reason for the state.

    Only present leaf SPTEs have one; for others the name is "none", with an explanation.
    """
    if kind_of(k, spte) != "present":
        return "none", "the SPTE maps nothing"
    if not is_leaf(k, spte, level):
        looks = "looks like that of" if level is None else "points to"
        return "none", f"the SPTE {looks} a table, which always grants write access"
    state = state_of(k, spte)
    if state is not None:
        return state.name, state.why
    if any(rule.wrong(k, spte) for rule in _WRITABILITY_RULES):
        return "illegal", "none of the legal states combines Host-writable, MMU-writable and W like this"
    return "none", f"left by the change_pte notifier, until {CHANGED_PTE_CLEARS_MMU_WRITABLE}"


def _tracked(k: Semantics, spte: int) -> bool:
    return bool(is_access_track_spte(k, spte)) and k.shadow_acc_track_mask != 0


def _missing(k: Semantics, spte: int) -> int:
    """The bits of shadow_present_mask that are clear, without those that access tracking removed."""
    taken = k.shadow_acc_track_mask if _tracked(k, spte) else 0
    return k.shadow_present_mask & ~spte & ~taken


def _hardware_ad(k: Semantics) -> bool:
    """Whether the mode's processor sets Accessed and Dirty."""
    return bool(k.kvm_ad_enabled if k.has(EPT_AD_MASKS_ALWAYS) else k.shadow_accessed_mask)


def _is_type(k: Semantics, spte: int, type_: int) -> bool:
    return spte & k.layout.spte_tdp_ad_mask == type_


def _grants_nothing(k: Semantics, spte: int) -> bool:
    """Whether an EPT SPTE that is not access-tracked allows no access; KVM WARNs about it since v6.0."""
    access = VMX_EPT_RWX_MASK | k.shadow_xu_mask
    return bool(k.has(NO_ACCESS_WARNS) and k.shadow_x_mask and not spte & access and not _tracked(k, spte))


_PRESENT_RULES = (
    _Rule(
        "It is shadow-present, yet also matches the MMIO value {0:#x}.",
        lambda k, spte: k.shadow_mmio_value if bool(is_mmio_spte(k, spte)) else 0,
    ),
    _Rule("Bits {0:#x}, which every present SPTE of this mode has, are clear.", _missing),
    _Rule(
        "Address bits {0:#x} are reserved: the mode's host has no such physical address bits.",
        lambda k, spte: spte & SPTE_BASE_ADDR_MASK & ~address_bits(k),
    ),
    _Rule(
        "Memory encryption bits {0:#x} are in shadow_me_mask but not in shadow_me_value.",
        lambda k, spte: spte & k.shadow_me_mask & ~required_me(k),
    ),
    _Rule(
        "Its A/D type has no meaning: both bits, {0:#x}, are set.",
        lambda k, spte: k.layout.spte_tdp_ad_mask if _is_type(k, spte, k.layout.spte_tdp_ad_mask) else 0,
    ),
    _Rule(
        "It is A/D-disabled, but this mode has no access tracking to replace Accessed.",
        lambda k, spte: not k.shadow_acc_track_mask and not bool(spte_ad_enabled(k, spte)),
    ),
    _Rule(
        "It is not A/D-disabled, but the processor of this mode sets neither Accessed nor Dirty.",
        lambda k, spte: not _hardware_ad(k) and bool(spte_ad_enabled(k, spte)),
    ),
    _Rule(
        "It is write-protect-only, which is for nested TDP, but this mode has no TDP.",
        lambda k, spte: not k.tdp_enabled and _is_type(k, spte, k.layout.spte_tdp_ad_wrprot_only),
    ),
    _Rule(
        "Bits {0:#x} belong to nothing that KVM knows.",
        lambda k, spte: sum(field.value << field.low for field in fields(k, spte) if not field.name),
    ),
)  # fmt: skip

_WRITABILITY_RULES = (
    _Rule(
        "W is set without MMU-writable: a leaf SPTE is writable only if it may be made writable again.",
        lambda k, spte: spte & PT_WRITABLE_MASK and not spte & k.shadow_mmu_writable_mask,
    ),
    _Rule(
        "MMU-writable is set without Host-writable: KVM may not grant what the host does not.",
        lambda k, spte: spte & k.shadow_mmu_writable_mask and not spte & k.shadow_host_writable_mask
        # The change_pte notifier left it so, without W.
        and bool(k.has(CHANGED_PTE_CLEARS_MMU_WRITABLE) or spte & PT_WRITABLE_MASK),
    ),
)  # fmt: skip

_LEAF_RULES = (
    *_WRITABILITY_RULES,
    _Rule(
        "Saved bits {0:#x} are set although it is not access-tracked.",
        lambda k, spte: 0 if _tracked(k, spte) else spte & saved_bits(k),
    ),
    _Rule(
        "It is access-tracked, yet counts as Accessed.",
        lambda k, spte: k.has(SOFTWARE_ACCESSED) and _tracked(k, spte) and spte & k.shadow_accessed_mask,
    ),
    _Rule(
        "Accessed or Dirty is set although it is A/D-disabled.",
        lambda k, spte: not k.has(SOFTWARE_ACCESSED) and not bool(spte_ad_enabled(k, spte))
        and spte & (k.shadow_accessed_mask | k.shadow_dirty_mask),
    ),
    _Rule("It grants no access at all, yet is not access-tracked.", _grants_nothing),
    _Rule(
        "EPT is misconfigured: W is set without R.",
        lambda k, spte: ept_bits(k, spte & PT_WRITABLE_MASK) and not spte & VMX_EPT_READABLE_MASK,
    ),
    _Rule(
        "EPT is misconfigured: the memory type is reserved.",
        lambda k, spte: bool(k.shadow_x_mask) and (spte & VMX_EPT_MT_MASK) >> 3 not in MEMORY_TYPES,
    ),
)  # fmt: skip


def _if_large(mask: int) -> Callable[[Semantics, int], int]:
    """The bits of ``mask`` that are set in an SPTE, if bit 7 says that it maps a huge page."""
    return lambda k, spte: spte & mask if spte & PT_PAGE_SIZE_MASK else 0


_HUGE_RULES = (
    _Rule(
        "It is large, but its address is not that of a huge page: bits {0:#x} are reserved.",
        _if_large(bits(20, PAGE_SHIFT)),
    ),
)
_LEVEL_RULES = {
    PG_LEVEL_4K: (
        _Rule("Bit 7 (large) is set, which KVM never does at level 1.", _if_large(PT_PAGE_SIZE_MASK)),
    ),
    PG_LEVEL_2M: _HUGE_RULES,
    PG_LEVEL_1G: (
        *_HUGE_RULES,
        _Rule("At 1 GiB, its address bits {0:#x} are reserved.", _if_large(bits(29, 21))),
    ),
}
"""Rules for each level of the SPTE's table ..."""
_TOO_HIGH_RULES = (
    _Rule(
        "Bit 7 (large) is reserved above level 3: no page is larger than 1 GiB.", _if_large(PT_PAGE_SIZE_MASK)
    ),
)
"""... and for all levels above."""

_TABLE_RULES = (_Rule("It differs from the SPTE of a table in bits {0:#x}.", unlike_table),)

_MMIO_RULES = (
    _Rule(
        "Bits {0:#x} of the MMIO value are clear.",
        lambda k, spte: k.shadow_mmio_value & ~spte,
    ),
    _Rule(
        "Bits {0:#x} are clear, which are set against L1TF.",
        lambda k, spte: k.shadow_nonpresent_or_rsvd_mask & ~spte,
    ),
    _Rule("Bits {0:#x} are set, which hold nothing in an MMIO SPTE.", not_mmio),
)

_ZERO_RULES = (
    _Rule(
        "Suppress #VE is clear: an EPT violation may reach the guest as #VE. What maps nothing is {0:#x}.",
        lambda k, spte: k.layout.nonpresent_value if k.shadow_present_mask & VMX_EPT_SUPPRESS_VE_BIT else 0,
    ),
)

_OTHER_FROZEN = {0x5A0, 0x1A0, 1 << 63 | 0x5A0, 1 << 63 | 0x1A0}
"""The frozen SPTEs of all kernels."""

_STRAY_RULES = (
    _Rule(
        "It is what other kernels freeze SPTEs with; here that is {0:#x}.",
        lambda k, spte: k.layout.frozen_spte if spte in _OTHER_FROZEN else 0,
    ),
    _Rule(
        "It is neither present, MMIO, frozen nor the non-present value, so bits {0:#x} should not be set.",
        lambda k, spte: 0 if spte in _OTHER_FROZEN else spte & ~k.layout.nonpresent_value,
    ),
)

_RULES = {"present": _PRESENT_RULES, "mmio": _MMIO_RULES, "zero": _ZERO_RULES, "stray": _STRAY_RULES}
"""Rules by kind of SPTE."""
