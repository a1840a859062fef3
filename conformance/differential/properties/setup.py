# SPDX-License-Identifier: GPL-2.0-only
"""Properties: what the module and a VM are set up with."""

from conformance.differential.columns import Bits, Choice, FlagColumn
from conformance.differential.legality.needs import Callers, need
from conformance.differential.outputs import Flag, Number
from conformance.differential.property import ANY_MODE, declare
from conformance.kernels.substitutions import MMU_C, MMU_H, Substitution
from conformance.model.changes import (
    MAX_GFN_OF_HOST,
    RECOVERY_PERIOD,
    RMAPS_WITH_SHADOW_ROOT,
    SLOT_LPAGES,
)
from conformance.model.vm import setup
from conformance.model.words import either

GROUP = "setup"
ANY_HOST = ("npt",)
"""For functions that read nothing of the mode."""

RATIOS = (0, 1, 2, 3, 59, 60, 61, 1000, 3599, 3600, 3601, 7200, (1 << 32) - 1)
PERIODS = (0, 1, 999, 1000, 1001, 60_000, 3_600_000, (1 << 32) - 1)

declare(
    setup.get_nx_auto_mode,
    GROUP,
    [FlagColumn("has_bug"), FlagColumn("mitigations_off")],
    gives=(Flag("value"),),
    answer=lambda k, bug, off: setup.get_nx_auto_mode(k, has_bug=bug == 1, mitigations_off=off == 1),
    modes=ANY_HOST,
    callers=Callers("kvm_mmu_x86_module_init() and set_nx_huge_pages() ask if the parameter is auto."),
    mutants=[
        Substitution(MMU_C, "&& !cpu_mitigations_off();", ";", function="get_nx_auto_mode"),
    ],
)
declare(
    setup.calc_nx_huge_pages_recovery_period,
    GROUP,
    [FlagColumn("nx_huge_pages"), Choice("ratio", 32, RATIOS), Choice("period_ms", 32, PERIODS)],
    gives=(Flag("runs"), Number("milliseconds")),
    modes=ANY_HOST,
    since=RECOVERY_PERIOD,
    scalar=True,
    callers=Callers("The worker and the parameters' setter read the parameters, which can be any number."),
    mutants=[
        Substitution(MMU_C, "if (!enabled || !ratio)", "if (!enabled)"),
        Substitution(MMU_C, "ratio = min(ratio, 3600u);", ""),
    ],
)
declare(
    setup.kvm_mmu_max_gfn,
    GROUP,
    [Choice("phys_bits", 6, tuple(range(32, 53)))],
    gives=(Number("gfn"),),
    modes=ANY_MODE,
    since=MAX_GFN_OF_HOST,
    callers=Callers("The host's MAXPHYADDR does not change."),
    mutants=[
        Substitution(
            MMU_H, "(1ULL << (max_gpa_bits - PAGE_SHIFT)) - 1;", "(1ULL << (max_gpa_bits - PAGE_SHIFT));"
        ),
    ],
)
declare(
    setup.__kvm_mmu_slot_lpages,
    GROUP,
    [Bits("base_gfn", 40), Bits("npages", 32), Choice("level", 2, (1, 2, 3))],
    gives=(Number("pages"),),
    modes=ANY_HOST,
    since=SLOT_LPAGES,
    callers=Callers(
        "memslot_rmap_alloc() and kvm_alloc_memslot_metadata() pass a memslot, which has pages.",
        (
            need(
                "npages is 0",
                lambda k, case: case["npages"] != 0,
                lambda k, case: {"npages": either(case["npages"] != 0, case["npages"], case["npages"] | 1)},
            ),
        ),
    ),
    mutants=[Substitution(MMU_H, "slot->base_gfn, level) + 1;", "slot->base_gfn, level);")],
)
declare(
    setup.kvm_memslots_have_rmaps,
    GROUP,
    [FlagColumn("tdp_mmu"), FlagColumn("had_shadow_root")],
    gives=(Flag("value"),),
    answer=lambda k, tdp_mmu, shadow: setup.kvm_memslots_have_rmaps(
        k, tdp_mmu=tdp_mmu == 1, had_shadow_root=shadow == 1
    ),
    modes=ANY_HOST,
    since=RMAPS_WITH_SHADOW_ROOT,
    callers=Callers("Every walk of the reverse maps asks first."),
    mutants=[
        Substitution(
            MMU_H, "!is_tdp_mmu_enabled(kvm) || kvm_shadow", "!is_tdp_mmu_enabled(kvm) && kvm_shadow"
        ),
    ],
)
