# SPDX-License-Identifier: GPL-2.0-only
"""Changes in shadow pages: what their entries translate, and how they are found and zapped."""

from __future__ import annotations

from conformance.model.changes.registry import Change

PASSTHROUGH_PAGES = Change(
    commit="84e5ffd045f3",
    title="KVM: X86/MMU: Fix shadowing 5-level NPT for 4-level NPT L1 guest",
    since="5.19",
    effect="A passthrough page translates every index to its own gfn.",
)

SHADOWED_ACCESS = Change(
    commit="6a97575d5cff",
    title="KVM: x86/mmu: Cache the access bits of shadowed translations",
    since="6.0",
    effect=(
        "A shadow page remembers gfn and access of each entry, packed in shadowed_translation; "
        "before, only the gfn."
    ),
)

SPTE_INDEX = Change(
    commit="79e48cec6cba",
    title="KVM: x86/mmu: Add optimized helper to retrieve an SPTE's index",
    since="6.0",
    effect="spte_index() exists.",
)

TRANSLATION_BY_POINTER = Change(
    commit="9ecc1c119b28",
    title=(
        "KVM: x86/mmu: Only allocate shadowed translation cache for sp->role.level <= KVM_MAX_HUGEPAGE_LEVEL"
    ),
    since="6.11",
    effect=(
        "A shadow page that has an array of translations uses it; before, the role decided, and "
        "passthrough pages did not."
    ),
)

PTE_LIST_GROWS_AT_HEAD = Change(
    commit="141705b78381",
    title="KVM: x86/mmu: Track tail count in pte_list_desc to optimize guest fork()",
    since="6.4",
    effect=(
        "A list of SPTEs grows at its head, and only the head descriptor has free entries; before, at its "
        "tail. So walks have another order."
    ),
)
