# SPDX-License-Identifier: GPL-2.0-only
"""Properties: MMIO SPTEs, made and read back."""

from conformance.differential.columns import Access, Bits, Choice, SpteColumn
from conformance.differential.legality.needs import Callers, mmio_spte, need
from conformance.differential.legality.values import within
from conformance.differential.outputs import Flag, Number, Spte
from conformance.differential.property import declare
from conformance.kernels.substitutions import MMU_C, SPTE_C, SPTE_H, Substitution
from conformance.model.layout import PAGE_SHIFT
from conformance.model.spte import mmio

GROUP = "mmio"
SPTE = SpteColumn("spte")
CACHED = Callers(
    "handle_mmio_page_fault() and sync_mmio_spte() have checked is_mmio_spte().",
    (mmio_spte("spte"),),
)
MADE = Callers(
    "mark_mmio_spte() is reached while MMIO caching is on, for a gfn below the host's MAXPHYADDR.",
    (
        need(
            "this mode caches no MMIO",
            lambda k, case: (case["gfn"] == case["gfn"]) & (k.shadow_mmio_value != 0),
        ),
        within(
            "gfn",
            lambda k: (
                (k.shadow_nonpresent_or_rsvd_lower_gfn_mask | k.shadow_nonpresent_or_rsvd_mask) >> PAGE_SHIFT
            ),
            "gfn is not below the host's MAXPHYADDR",
        ),
    ),
)

declare(
    mmio.make_mmio_spte,
    GROUP,
    [Bits("gfn", 40), Access("access"), Bits("generation", dense=True)],
    gives=(Spte("value"),),
    events=("WARN make_mmio_spte", "WARN generation_mmio_spte_mask"),
    callers=MADE,
    mutants=[
        Substitution(SPTE_C, "access &= shadow_mmio_access_mask;", ""),
        Substitution(
            SPTE_C, "vcpu->kvm->arch.shadow_mmio_value | access", "shadow_mmio_value | access", "7.3"
        ),
    ],
)
declare(
    mmio.get_mmio_spte_generation,
    GROUP,
    [SPTE],
    gives=(Number("value"),),
    callers=CACHED,
    mutants=[
        Substitution(
            SPTE_H, "gen |= (spte & MMIO_SPTE_GEN_HIGH_MASK) >>", "gen = (spte & MMIO_SPTE_GEN_HIGH_MASK) >>"
        )
    ],
)
declare(
    mmio.get_mmio_spte_gfn,
    GROUP,
    [SPTE],
    gives=(Number("value"),),
    callers=CACHED,
    mutants=[
        Substitution(MMU_C, "gpa |= (spte >> SHADOW_NONPRESENT_OR_RSVD_MASK_LEN)", "gpa |= (spte >> 4)")
    ],
)
declare(
    mmio.get_mmio_spte_access,
    GROUP,
    [SPTE],
    gives=(Number("value"),),
    callers=CACHED,
    mutants=[
        Substitution(MMU_C, "return spte & shadow_mmio_access_mask;", "return spte & shadow_mmio_mask;")
    ],
)
declare(
    mmio.check_mmio_spte,
    GROUP,
    [
        SPTE,
        Choice("updating", 64, (0, mmio.KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS)),
        Bits("generation", 63, near="spte", seen_as=mmio.get_mmio_spte_generation),
    ],
    gives=(Flag("value"),),
    answer=lambda k, spte, updating, generation: mmio.check_mmio_spte(k, spte, updating | generation),
    callers=CACHED,
    mutants=[Substitution(MMU_C, "if (unlikely(gen & KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS))", "if (0)")],
)
