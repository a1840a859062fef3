# SPDX-License-Identifier: GPL-2.0-only
"""Properties: what an SPTE is."""

from conformance.differential.columns import Bits, Choice, SpteColumn
from conformance.differential.legality.needs import Callers, entry, leaf, present
from conformance.differential.legality.values import within
from conformance.differential.outputs import Flag, Number
from conformance.differential.property import ANY_MODE, declare
from conformance.kernels.substitutions import SPTE_H, Substitution
from conformance.model.changes import EPT_VE_CHECK, PERMISSION_BITMAP, SPTE_INDEX, TDP_REMOVED_SPTE
from conformance.model.spte import predicates
from conformance.model.words import ALL

GROUP = "shape"
SPTE = SpteColumn("spte")
LEVEL = Choice("level", 3, (1, 2, 3, 4, 5))
ENTRY = Callers("Callers pass what an entry of a page table holds.", (entry("spte"),))
PRESENT = Callers("Callers have checked is_shadow_present_pte().", (present("spte"),))
AT_LEVEL = Callers(
    "Callers pass a shadow-present SPTE and the level of its table.",
    (present("spte", lambda k, case: case["level"]),),
)

declare(
    predicates.is_shadow_present_pte,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    callers=ENTRY,
    mutants=[Substitution(SPTE_H, "!!(pte & SPTE_MMU_PRESENT_MASK)", "!!(pte & PT_PRESENT_MASK)")],
)
declare(
    predicates.is_mmio_spte,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    callers=ENTRY,
    mutants=[
        Substitution(
            SPTE_H, "(spte & shadow_mmio_mask) == shadow_mmio_value", "(spte & shadow_mmio_mask) != 0"
        ),
        Substitution(SPTE_H, "== kvm->arch.shadow_mmio_value &&", "== shadow_mmio_value &&", "7.3"),
    ],
)
declare(
    predicates.is_large_pte,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    modes=ANY_MODE,
    callers=PRESENT,
    mutants=[Substitution(SPTE_H, "return pte & PT_PAGE_SIZE_MASK;", "return pte & PT_DIRTY_MASK;")],
)
declare(
    predicates.is_last_spte,
    GROUP,
    [SPTE, LEVEL],
    gives=(Flag("value"),),
    modes=ANY_MODE,
    callers=AT_LEVEL,
    mutants=[Substitution(SPTE_H, "(level == PG_LEVEL_4K) ||", "(level <= PG_LEVEL_2M) ||")],
)
declare(
    predicates.is_executable_pte,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    until=PERMISSION_BITMAP,
    callers=Callers("fast_page_fault() passes a shadow-present leaf SPTE.", (leaf("spte"),)),
    mutants=[
        Substitution(
            SPTE_H, "(shadow_x_mask | shadow_nx_mask)) == shadow_x_mask", "shadow_x_mask) == shadow_x_mask"
        )
    ],
)
declare(
    predicates.is_frozen_spte,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    modes=ANY_MODE,
    since=TDP_REMOVED_SPTE,
    callers=ENTRY,
    mutants=[Substitution(SPTE_H, "#define REMOVED_SPTE\t0x5a0ULL", "#define REMOVED_SPTE\t0x5a1ULL")],
)
declare(
    predicates.is_ept_ve_possible,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    since=EPT_VE_CHECK,
    callers=ENTRY,
    mutants=[
        Substitution(
            SPTE_H, "(spte & VMX_EPT_RWX_MASK) != VMX", "(spte & VMX_EPT_RWX_MASK) == VMX", kernel="6.12"
        )
    ],
)
declare(
    predicates.spte_to_pfn,
    GROUP,
    [SPTE],
    gives=(Number("value"),),
    modes=ANY_MODE,
    callers=PRESENT,
    mutants=[
        Substitution(SPTE_H, "(pte & SPTE_BASE_ADDR_MASK) >> PAGE_SHIFT", "pte >> PAGE_SHIFT"),
        Substitution(
            SPTE_H, "(pte & SPTE_BASE_ADDR_MASK) >>", "(pte & SPTE_BASE_ADDR_MASK & ~shadow_me_mask) >>"
        ),
    ],
)
declare(
    predicates.spte_index,
    GROUP,
    [Bits("address")],
    gives=(Number("value"),),
    modes=ANY_MODE,
    since=SPTE_INDEX,
    callers=Callers(
        "Callers pass a pointer to an entry of a page table.",
        (within("address", lambda k: ALL ^ 7, "address is not that of a 64-bit word"),),
    ),
    mutants=[Substitution(SPTE_H, "& (SPTE_ENT_PER_PAGE - 1)", "& SPTE_ENT_PER_PAGE")],
)
declare(
    predicates.is_rsvd_spte,
    GROUP,
    [
        SPTE,
        LEVEL,
        # Not dense: an SPTE that hits one would say nothing about bad_mt_xwr.
        Bits("rsvd_bits_mask[0]"),
        Bits("rsvd_bits_mask[1]"),
        Bits("bad_mt_xwr", dense=True),
    ],
    gives=(Flag("value"),),
    answer=lambda k, spte, level, low, high, bad: predicates.is_rsvd_spte(
        k, spte, rsvd_bits_mask=(low, high), bad_mt_xwr=bad
    ),
    modes=ANY_MODE,
    callers=AT_LEVEL,
    mutants=[
        Substitution(SPTE_H, "int bit7 = (pte >> 7) & 1;", "int bit7 = (pte >> 6) & 1;"),
        Substitution(SPTE_H, "if (pte & VMX_EPT_USER_EXECUTABLE_MASK)\n", "if (0)\n", "7.3"),
    ],
)
