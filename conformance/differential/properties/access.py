# SPDX-License-Identifier: GPL-2.0-only
"""Properties: volatile bits, Accessed and Dirty, access tracking."""

from conformance.differential.columns import SpteColumn
from conformance.differential.legality.needs import Callers, leaf, present, tracked
from conformance.differential.outputs import Flag, Number, Spte
from conformance.differential.property import ANY_MODE, declare
from conformance.kernels.substitutions import SPTE_C, SPTE_H, Substitution
from conformance.model.changes import SOFTWARE_ACCESSED
from conformance.model.spte import access

GROUP = "access"
SPTE = SpteColumn("spte")
LEAF = Callers(
    "mmu_spte_update(), the TDP MMU's writes, aging and the dirty log pass a shadow-present leaf SPTE.",
    (leaf("spte"),),
)
PRESENT = Callers(
    "Callers have checked is_shadow_present_pte(); tables have A/D types, too.",
    (present("spte"),),
)
MARK_EVENTS = ("WARN mark_spte_for_access_track", "WARN check_spte_writable_invariants")

declare(
    access.spte_has_volatile_bits,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    callers=LEAF,
    mutants=[
        Substitution(
            SPTE_C,
            "if (!is_writable_pte(spte) && is_mmu_writable_spte(spte))",
            "if (is_mmu_writable_spte(spte))",
        ),
        Substitution(
            SPTE_C, "(is_writable_pte(spte) && !(spte & shadow_dirty_mask))", "!(spte & shadow_dirty_mask)"
        ),
        Substitution(
            SPTE_C, "\tif (is_access_track_spte(spte))\n\t\treturn true;", "\tif (0)\n\t\treturn true;"
        ),
        Substitution(
            SPTE_C,
            "if (!spte_ad_enabled(spte))\n\t\treturn true;",
            "if (is_access_track_spte(spte))\n\t\treturn true;",
            "7.3",
        ),
    ],
)
declare(
    access.spte_ad_enabled,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    modes=ANY_MODE,
    callers=PRESENT,
    mutants=[
        Substitution(SPTE_H, "SPTE_TDP_AD_MASK) != SPTE_TDP_AD_DISABLED_MASK;", "SPTE_TDP_AD_MASK) == 0;"),
        Substitution(
            SPTE_H, "!= SPTE_TDP_AD_DISABLED_MASK;", "!= SPTE_TDP_AD_DISABLED_MASK && shadow_accessed_mask;"
        ),
    ],
)
declare(
    access.spte_ad_need_write_protect,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    modes=ANY_MODE,
    callers=PRESENT,
    mutants=[
        Substitution(
            SPTE_H,
            "SPTE_TDP_AD_MASK) != SPTE_TDP_AD_ENABLED_MASK;",
            "SPTE_TDP_AD_MASK) == SPTE_TDP_AD_DISABLED_MASK;",
        )
    ],
)
declare(
    access.is_access_track_spte,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    callers=PRESENT,
    mutants=[Substitution(SPTE_H, "(spte & shadow_acc_track_mask) == 0;", "(spte & PT_PRESENT_MASK) == 0;")],
)
declare(
    access.is_accessed_spte,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    callers=LEAF,
    mutants=[
        Substitution(SPTE_H, ": !is_access_track_spte(spte);", ": true;"),
        Substitution(
            SPTE_H, "return spte & shadow_accessed_mask;", "return spte & shadow_dirty_mask;", "7.3"
        ),
    ],
)
declare(
    access.is_dirty_spte,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    until=SOFTWARE_ACCESSED,
    callers=LEAF,
    mutants=[
        Substitution(
            SPTE_H, "dirty_mask ? spte & dirty_mask : spte & PT_WRITABLE_MASK", "spte & PT_WRITABLE_MASK"
        )
    ],
)
declare(
    access.mark_spte_for_access_track,
    GROUP,
    [SPTE],
    gives=(Spte("value"),),
    events=MARK_EVENTS,
    callers=LEAF,
    mutants=[
        Substitution(SPTE_C, "return spte & ~shadow_accessed_mask;", "return spte & ~shadow_dirty_mask;"),
        Substitution(SPTE_C, "\tcheck_spte_writable_invariants(spte);\n\n\tWARN_ONCE", "\tWARN_ONCE"),
        Substitution(
            SPTE_C, "~(shadow_acc_track_mask | shadow_accessed_mask);", "~shadow_acc_track_mask;", "7.3"
        ),
    ],
)
declare(
    access.restore_acc_track_spte,
    GROUP,
    [SPTE],
    gives=(Spte("value"),),
    events=("WARN restore_acc_track_spte",),
    callers=Callers(
        "fast_page_fault() and the splitting of huge pages restore what is access-tracked.",
        (tracked("spte"), leaf("spte")),
    ),
    mutants=[Substitution(SPTE_H, "\tspte |= saved_bits;", "\tspte |= saved_bits | PT_WRITABLE_MASK;")],
)
declare(
    access.spte_shadow_accessed_mask,
    GROUP,
    [SPTE],
    gives=(Number("value"),),
    until=SOFTWARE_ACCESSED,
    callers=PRESENT,
    mutants=[
        Substitution(
            SPTE_H,
            "return spte_ad_enabled(spte) ? shadow_accessed_mask : 0;",
            "return shadow_accessed_mask;",
            function="spte_shadow_accessed_mask",
        ),
        Substitution(
            SPTE_H,
            "? shadow_accessed_mask : 0",
            "? shadow_dirty_mask : 0",
            function="spte_shadow_accessed_mask",
        ),
    ],
)
