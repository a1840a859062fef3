# SPDX-License-Identifier: GPL-2.0-only
"""Properties: changing an SPTE in memory, and whether that needs a TLB flush."""

from conformance.differential.columns import FlagColumn, SpteColumn
from conformance.differential.legality.nearest import nearest_leaf
from conformance.differential.legality.needs import Callers, becomes, leaf, need, same_page
from conformance.differential.outputs import Flag
from conformance.differential.properties.changed_memory import UPDATED, updated
from conformance.differential.property import declare
from conformance.kernels.substitutions import MMU_C, SPTE_H, Substitution
from conformance.model.changes import LEAF_FLUSH_RULE, NO_PFN_DIRTY
from conformance.model.spte import spte_update
from conformance.model.spte.access import spte_ad_enabled
from conformance.model.words import clear

GROUP = "writability"
MEMORY = SpteColumn("memory")
RACED = SpteColumn("raced", near="memory")
UPDATES = Callers(
    "spte_write_protect(), spte_clear_dirty(), aging and FNAME(sync_spte)() pass an entry with a leaf SPTE,"
    " which fast page faults and the processor may change meanwhile, and one for the same page.",
    (
        leaf("memory"),
        becomes("memory", "raced"),
        leaf("new_spte"),
        same_page("memory", "new_spte"),
    ),
)
PROTECTS = Callers(
    "Write protection and the dirty log pass an entry of the reverse map, with a shadow-present leaf SPTE.",
    (leaf("memory"), becomes("memory", "raced")),
)
ENABLED = need(
    "the A/D bits of memory are disabled",
    lambda k, case: spte_ad_enabled(k, case["memory"]),
    lambda k, case: {"memory": nearest_leaf(k, clear(case["memory"], k.layout.spte_tdp_ad_disabled))},
)
UPDATE_EVENTS = (
    "WARN mmu_spte_update",
    "WARN mmu_spte_update_no_track",
    "WARN mmu_spte_set",
    "WARN check_spte_writable_invariants",
    "call kvm_set_pfn_accessed",
    "call kvm_set_pfn_dirty",
)

declare(
    spte_update.leaf_spte_change_needs_tlb_flush,
    GROUP,
    [SpteColumn("old_spte"), SpteColumn("new_spte", near="old_spte")],
    gives=(Flag("value"),),
    since=LEAF_FLUSH_RULE,
    callers=Callers(
        "mmu_spte_update() and the TDP MMU pass shadow-present leaf SPTEs of one page.",
        (leaf("old_spte"), leaf("new_spte"), same_page("old_spte", "new_spte")),
    ),
    mutants=[
        Substitution(
            SPTE_H,
            "is_mmu_writable_spte(old_spte) && !is_mmu_writable_spte(new_spte)",
            "is_mmu_writable_spte(old_spte) && !is_writable_pte(new_spte)",
            "7.3",
        )
    ],
)
declare(
    spte_update.mmu_spte_update,
    GROUP,
    [MEMORY, RACED, SpteColumn("new_spte", near="memory")],
    gives=UPDATED,
    answer=updated(spte_update.mmu_spte_update),
    events=UPDATE_EVENTS,
    callers=UPDATES,
    mutants=[
        Substitution(
            MMU_C,
            "if (is_mmu_writable_spte(old_spte) &&\n\t      !is_writable_pte(new_spte))",
            "if (is_writable_pte(old_spte) &&\n\t      !is_writable_pte(new_spte))",
        ),
        Substitution(
            MMU_C,
            "if (is_accessed_spte(old_spte) && !is_accessed_spte(new_spte)) {",
            "if (is_accessed_spte(old_spte) && is_accessed_spte(new_spte)) {",
        ),
    ],
)
declare(
    spte_update.spte_write_protect,
    GROUP,
    [MEMORY, RACED, FlagColumn("pt_protect")],
    gives=UPDATED,
    answer=updated(
        lambda k, memory, raced, pt_protect: spte_update.spte_write_protect(k, memory, raced, pt_protect == 1)
    ),
    events=UPDATE_EVENTS,
    callers=PROTECTS,
    mutants=[
        Substitution(
            MMU_C, "!(pt_protect && is_mmu_writable_spte(spte)))", "!(pt_protect && is_writable_pte(spte)))"
        )
    ],
)
declare(
    spte_update.spte_clear_dirty,
    GROUP,
    [MEMORY, RACED],
    gives=UPDATED,
    answer=updated(spte_update.spte_clear_dirty),
    events=UPDATE_EVENTS,
    callers=Callers(
        "__rmap_clear_dirty() passes an entry with a shadow-present leaf SPTE whose A/D bits are enabled.",
        (
            leaf("memory"),
            ENABLED,
            becomes("memory", "raced"),
        ),
    ),
    mutants=[Substitution(MMU_C, "spte &= ~shadow_dirty_mask;", "spte &= ~shadow_accessed_mask;")],
)
declare(
    spte_update.spte_wrprot_for_clear_dirty,
    GROUP,
    [MEMORY, RACED],
    gives=UPDATED,
    answer=updated(lambda k, memory, raced: spte_update.spte_wrprot_for_clear_dirty(k, raced)),
    events=("call kvm_set_pfn_dirty",),
    until=NO_PFN_DIRTY,
    callers=PROTECTS,
    mutants=[Substitution(MMU_C, "if (was_writable && !spte_ad_enabled(*sptep))", "if (was_writable)")],
)
