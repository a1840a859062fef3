# SPDX-License-Identifier: GPL-2.0-only
"""Properties: making SPTEs."""

from typing import Any

from conformance.differential.columns import Access, Bits, Choice, Flag, SpteColumn
from conformance.differential.property import Mutant, declare
from conformance.model import construct
from conformance.model.changes import HUGE_PAGE_RECOVERY, HUGE_PAGE_SPLIT, NO_CHANGE_PTE, NX_PER_VM
from conformance.model.kernel import Kernel
from conformance.model.layout import PT_PRESENT_MASK
from conformance.model.words import Truth, Word, no

GROUP = "construction"
SPTE_C = "arch/x86/kvm/mmu/spte.c"
HUGE = SpteColumn("huge_spte")
NX = (Flag("nx_huge_pages"), Flag("disabled for the VM"))
BUGGED = "call kvm_make_all_cpus_request"
MARK_EVENTS = ("WARN mark_spte_for_access_track", "WARN check_spte_writable_invariants")

_FLAGS = [
    "prefetch",
    "can_unsync",
    "host_writable",
    "ad_disabled",
    "guest_mode",
    "pml",
    "pfn_is_ram",
    "unsync_fails",
    "dirty_log",
    "nx_huge_pages",
    "nx_disabled",
]


def _make_spte(k: Kernel, *columns: Word) -> tuple[Word, ...]:
    names = ["access", "gfn", "pfn", "old_spte", "level", *_FLAGS, "mt_mask", "rsvd_bits", "bad_mt_xwr"]
    case: dict[str, Any] = dict(zip(names, columns, strict=True))
    for name in _FLAGS:
        case[name] = case[name] == 1
    case["pfn_is_mmio"] = no(case.pop("pfn_is_ram"))
    case["nx_huge_pages"] = _nx(k, case["nx_huge_pages"], case.pop("nx_disabled"))
    made = construct.make_spte(k, **case)
    return tuple(vars(made).values())


def _nx(k: Kernel, enabled: Truth, disabled: Truth) -> Truth:
    """Whether the NX mitigation applies to this VM; a VM can be exempt since 084cc29f8bbb in v6.0."""
    return enabled & no(disabled) if k.has(NX_PER_VM) else enabled


declare(
    construct.make_spte,
    GROUP,
    [
        Access("access"),
        Bits("gfn", 40),
        Bits("pfn", 40),
        SpteColumn("old_spte"),
        Choice("level", 2, (1, 2, 3)),
        *(Flag(name) for name in _FLAGS),
        Choice("mt_mask", 7, (0x6 << 3 | 1 << 6, 0, 0x6 << 3)),
        Choice("rsvd_bits", 64, (0, 1 << 63, 1 << 51, PT_PRESENT_MASK, 1 << 1, 1 << 62, 0xFF << 44)),
        # As reset_rsvds_bits_mask_ept() has it: W without R.
        Choice("bad_mt_xwr", 64, (0, 0x4444444444444444)),
    ],
    gives=(
        "value",
        "new_spte",
        "get_mt_mask gfn",
        "get_mt_mask is_mmio",
        "unsync gfn",
        "unsync how",
        "dirty gfn",
    ),
    truths=("value", "get_mt_mask is_mmio", "unsync how"),
    answer=_make_spte,
    events=(
        "WARN make_spte",
        *MARK_EVENTS,
        "call get_mt_mask",
        "call mmu_try_to_unsync_pages",
        "call mmu_need_write_protect",
        "call mark_page_dirty_in_slot",
    ),
    mutants=[
        Mutant(
            SPTE_C, "if (level > PG_LEVEL_4K)\n\t\tspte |= PT_PAGE_SIZE_MASK;", "spte |= PT_PAGE_SIZE_MASK;"
        ),
        Mutant(
            SPTE_C,
            "if (is_last_spte(old_spte, level) && is_writable_pte(old_spte))",
            "if (is_writable_pte(old_spte))",
        ),
        Mutant(
            SPTE_C, "spte &= ~(PT_WRITABLE_MASK | shadow_mmu_writable_mask);", "spte &= ~PT_WRITABLE_MASK;"
        ),
        Mutant(SPTE_C, "if (prefetch)\n\t\tspte = mark_spte", "if (!prefetch)\n\t\tspte = mark_spte"),
        Mutant(SPTE_C, "WARN_ON_ONCE(!pte_access && !shadow_present_mask);", ""),
        Mutant(
            SPTE_C,
            "WARN_ONCE(is_rsvd_spte(&vcpu->arch.mmu->shadow_zero_check, spte, level),",
            "WARN_ONCE(is_rsvd_spte(&vcpu->arch.mmu->shadow_zero_check, spte, PG_LEVEL_4K),",
        ),
        Mutant(
            SPTE_C,
            "WARN_ONCE(is_rsvd_spte(&vcpu->arch.mmu->shadow_zero_check, spte, level),",
            "WARN_ONCE(__is_rsvd_bits_set(&vcpu->arch.mmu->shadow_zero_check, spte, level),",
        ),
        Mutant(SPTE_C, "!e820__mapped_raw_any(pfn_to_hpa(pfn),", "!e820__mapped_raw_any(pfn,"),
        Mutant(SPTE_C, "E820_TYPE_RAM);", "E820_TYPE_RESERVED);"),
        Mutant(SPTE_C, "if (!prefetch || synchronizing)", "if (!prefetch)", "7.3"),
    ],
)
declare(
    construct.make_nonleaf_spte,
    GROUP,
    [Bits("child", 46), Flag("ad_disabled")],
    answer=lambda k, child, ad_disabled: construct.make_nonleaf_spte(k, child, ad_disabled == 1),
    mutants=[
        Mutant(
            SPTE_C, "shadow_user_mask | shadow_x_mask | shadow_me_value;", "shadow_x_mask | shadow_me_value;"
        )
    ],
)
declare(
    construct.make_huge_page_split_spte,
    GROUP,
    [HUGE, Choice("level", 2, (1, 2)), Access("access"), Bits("index", 9), *NX],
    answer=lambda k, spte, level, access, index, nx, off: construct.make_huge_page_split_spte(
        k, spte, level=level, access=access, index=index, nx_huge_pages=_nx(k, nx == 1, off == 1)
    ),
    events=("WARN make_huge_page_split_spte", "WARN make_small_spte", BUGGED, *MARK_EVENTS),
    since=HUGE_PAGE_SPLIT,
    mutants=[
        Mutant(SPTE_C, "child_spte &= ~PT_PAGE_SIZE_MASK;", ""),
        Mutant(SPTE_C, "spte &= ~shadow_nx_mask;", ""),
        Mutant(
            SPTE_C,
            "(role.access & ACC_EXEC_MASK) && is_nx_huge_page_enabled(kvm)",
            "is_nx_huge_page_enabled(kvm)",
        ),
    ],
)
declare(
    construct.make_huge_spte,
    GROUP,
    [SpteColumn("small_spte"), Choice("level", 2, (1, 2, 3)), *NX],
    answer=lambda k, spte, level, nx, off: construct.make_huge_spte(
        k, spte, level=level, nx_huge_pages=_nx(k, nx == 1, off == 1)
    ),
    events=("WARN make_huge_spte", BUGGED, *MARK_EVENTS),
    since=HUGE_PAGE_RECOVERY,
    mutants=[
        Mutant(SPTE_C, "huge_spte &= KVM_HPAGE_MASK(level) | ~PAGE_MASK;", "", "7.3"),
        Mutant(
            SPTE_C,
            "KVM_BUG_ON(!is_shadow_present_pte(small_spte) || level == PG_LEVEL_4K, kvm);",
            "WARN_ON_ONCE(!is_shadow_present_pte(small_spte) || level == PG_LEVEL_4K);",
            "7.3",
        ),
    ],
)
declare(
    construct.kvm_mmu_changed_pte_notifier_make_spte,
    GROUP,
    [SpteColumn("old_spte"), Bits("new_pfn", 40)],
    events=MARK_EVENTS,
    until=NO_CHANGE_PTE,
    mutants=[Mutant(SPTE_C, "new_spte &= ~shadow_mmu_writable_mask;", "")],
)
