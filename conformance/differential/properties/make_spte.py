# SPDX-License-Identifier: GPL-2.0-only
"""Properties: making SPTEs."""

from typing import Any

from conformance.differential.columns import Access, Bits, Choice, FlagColumn, SpteColumn
from conformance.differential.legality.nearest import nearest_leaf
from conformance.differential.legality.needs import Callers, Case, entry, leaf, need
from conformance.differential.legality.values import (
    ad_disabled_fits,
    aligned,
    frame_fits,
    implies,
    nx_huge_pages_on,
    within,
)
from conformance.differential.outputs import Flag, Number, Spte
from conformance.differential.property import declare
from conformance.kernels.substitutions import SPTE_C, Substitution
from conformance.model.changes import (
    ACC_READ,
    ACCESSED_IF_SYNCHRONIZING,
    HUGE_PAGE_RECOVERY,
    HUGE_PAGE_SPLIT,
    NO_CHANGE_PTE,
    NX_PER_VM,
)
from conformance.model.layout import (
    PG_LEVEL_4K,
    PT_PRESENT_MASK,
    SPTE_BASE_ADDR_MASK,
    VMX_EPT_READABLE_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.spte import make_spte
from conformance.model.spte.decode.hardware import address_bits
from conformance.model.spte.legal import granted_to, has_hardware_ad, is_tracked, restored
from conformance.model.spte.predicates import is_large_pte
from conformance.model.words import ALL, Truth, Word, any_set, clear, either, no, shl, when

GROUP = "construction"
HUGE = SpteColumn("huge_spte")
NX = (FlagColumn("nx_huge_pages"), FlagColumn("disabled for the VM"))
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


def _make_spte(k: Semantics, *columns: Word) -> tuple[Word, ...]:
    names = ["access", "gfn", "pfn", "old_spte", "level", *_FLAGS, "mt_mask", "rsvd_bits", "bad_mt_xwr"]
    case: dict[str, Any] = dict(zip(names, columns, strict=True))
    for name in _FLAGS:
        case[name] = case[name] == 1
    case["nx_huge_pages"] = _nx(k, case["nx_huge_pages"], case.pop("nx_disabled"))
    made = make_spte.make_spte(k, **case)
    return tuple(vars(made).values())


def _nx(k: Semantics, enabled: Truth | bool, disabled: Truth | bool) -> Truth | bool:
    """Whether the NX mitigation applies to this VM; a VM can be exempt since 084cc29f8bbb in v6.0."""
    return enabled & no(disabled) if k.has(NX_PER_VM) else enabled


def _readable(k: Semantics, case: Case) -> Truth:
    """Whether the access makes an SPTE that may be read; P of ordinary page tables is in every one."""
    if k.has(ACC_READ):
        return any_set(case["access"], k.layout.acc_read_mask)
    if not k.shadow_x_mask or k.shadow_present_mask & VMX_EPT_READABLE_MASK:
        return case["access"] == case["access"]
    return any_set(case["access"], k.layout.acc_user_mask)


def _access_makes_sense(k: Semantics, case: Case) -> Truth:
    """Readable, or executable only where EPT can have that."""
    bits = k.layout
    if not k.shadow_x_mask:
        return _readable(k, case)
    taken = nx_huge_pages_on(k, case) & (case["level"] != PG_LEVEL_4K)
    executable = any_set(case["access"], bits.acc_exec_mask) & no(
        any_set(case["access"], bits.acc_write_mask)
    )
    return _readable(k, case) | (executable & no(taken))


def _readable_access(k: Semantics, case: Case) -> dict[str, Word]:
    bits = k.layout
    read = bits.acc_read_mask if k.has(ACC_READ) else bits.acc_user_mask
    return {"access": case["access"] | when(no(_access_makes_sense(k, case)), read)}


def _synchronizes(k: Semantics, case: Case) -> Truth:
    """Whether can_unsync, which came to mean synchronizing, says that an unsynced page is synced."""
    return (case["can_unsync"] == 1) == k.has(ACCESSED_IF_SYNCHRONIZING)


def _syncs_small(k: Semantics, case: Case) -> Truth:
    return no(_synchronizes(k, case)) | ((case["prefetch"] == 1) & (case["level"] == PG_LEVEL_4K))


def _host_reserved(k: Semantics) -> int:
    return SPTE_BASE_ADDR_MASK & (address_bits(k) ^ ALL)


MAPPED = Callers(
    "mmu_set_spte(), tdp_mmu_map_handle_target_level() and FNAME(sync_spte)() map a page of the host with the"
    " access that the guest's tables grant, at a level that kvm_mmu_hugepage_adjust() has allowed.",
    (
        frame_fits("pfn"),
        aligned("pfn"),
        aligned("gfn"),
        entry("old_spte", lambda k, case: case["level"]),
        ad_disabled_fits(),
        need("access grants nothing that can be mapped", _access_makes_sense, _readable_access),
        need(
            "only 4 KiB pages are synced, as if prefetched",
            _syncs_small,
            lambda k, case: {
                "can_unsync": either(_syncs_small(k, case), case["can_unsync"], case["can_unsync"] ^ 1)
            },
        ),
        implies("guest_mode", lambda k, case: k.tdp_enabled, "guest_mode is for nested TDP, which is off"),
        implies("pml", lambda k, case: k.get_mt_mask and has_hardware_ad(k), "PML needs EPT with A/D bits"),
        implies(
            "dirty_log",
            lambda k, case: case["level"] == PG_LEVEL_4K,
            "what is logged is mapped by 4 KiB pages only",
        ),
        need(
            "rsvd_bits reserves what KVM uses",
            lambda k, case: no(any_set(case["rsvd_bits"], _host_reserved(k) ^ ALL)),
            lambda k, case: {
                "rsvd_bits": when(no(any_set(case["rsvd_bits"], _host_reserved(k) ^ ALL)), case["rsvd_bits"])
            },
        ),
        need(
            "bad_mt_xwr is of EPT",
            lambda k, case: (case["bad_mt_xwr"] == 0) | (k.shadow_x_mask != 0),
            lambda k, case: {} if k.shadow_x_mask else {"bad_mt_xwr": case["bad_mt_xwr"] & 0},
        ),
    ),
)


def _without_execution(k: Semantics, spte: Word) -> Word:
    """A leaf SPTE without its execute bits, saved ones included."""
    if k.shadow_nx_mask:
        return spte | k.shadow_nx_mask
    bits = k.layout
    both = (k.shadow_x_mask | k.shadow_xu_mask) & bits.acc_track_saved_mask
    kept = either(is_tracked(k, spte), spte, clear(spte, k.shadow_x_mask | k.shadow_xu_mask))
    return clear(kept, shl(both, bits.acc_track_saved_shift))


def _execution(k: Semantics) -> int:
    """The ACC_* bits that are execution."""
    return k.layout.acc_exec_mask | (k.layout.acc_user_mask if k.shadow_xu_mask else 0)


def _parent_level(k: Semantics, case: Case) -> Word:
    return case["level"] + 1


SPLIT = Callers(
    "tdp_mmu_split_huge_page() and shadow_mmu_split_huge_page() split a shadow-present huge SPTE; the new"
    " table's role has the access that the guest has, and set_nx_huge_pages() zaps what was mapped before.",
    (
        leaf("huge_spte", _parent_level),
        need(
            "huge_spte is executable with NX huge pages on",
            lambda k, case: no(
                nx_huge_pages_on(k, case) & any_set(granted_to(k, case["huge_spte"]), _execution(k))
            ),
            lambda k, case: {
                "huge_spte": either(
                    nx_huge_pages_on(k, case),
                    nearest_leaf(k, _without_execution(k, case["huge_spte"]), case["level"] + 1),
                    case["huge_spte"],
                )
            },
        ),
        need(
            "access lacks what huge_spte grants",
            lambda k, case: no(any_set(granted_to(k, case["huge_spte"]), case["access"] ^ ALL)),
            lambda k, case: {"access": case["access"] | granted_to(k, case["huge_spte"])},
        ),
        need(
            "access allows execution, but huge_spte does not, with NX huge pages off",
            lambda k, case: (
                nx_huge_pages_on(k, case)
                | no(any_set(clear(case["access"], granted_to(k, case["huge_spte"])), _execution(k)))
            ),
            lambda k, case: {
                "access": either(
                    nx_huge_pages_on(k, case),
                    case["access"],
                    case["access"] & (granted_to(k, case["huge_spte"]) | (_execution(k) ^ ALL)),
                )
            },
        ),
    ),
)


def _can_be_read(k: Semantics, spte: Word) -> Truth:
    return any_set(restored(k, spte), VMX_EPT_READABLE_MASK)


def _made_readable(k: Semantics, spte: Word) -> Word:
    """A legal leaf SPTE that is readable too, now or when it is accessed."""
    saved = VMX_EPT_READABLE_MASK << k.layout.acc_track_saved_shift
    return spte | either(is_tracked(k, spte), saved, VMX_EPT_READABLE_MASK)


RECOVERED = Callers(
    "tdp_mmu_make_huge_spte() passes a shadow-present leaf SPTE below the table that the huge page replaces.",
    (
        need(
            "level is 1, and a 4 KiB page is not huge",
            lambda k, case: case["level"] != PG_LEVEL_4K,
            lambda k, case: {"level": case["level"] + when(case["level"] == PG_LEVEL_4K, 1)},
        ),
        leaf(
            "small_spte",
            lambda k, case: either(
                (case["level"] == 3) & is_large_pte(k, case["small_spte"]), 2, PG_LEVEL_4K
            ),
        ),
        need(
            "small_spte grants execution only, which NX huge pages takes away",
            lambda k, case: no(nx_huge_pages_on(k, case)) | _can_be_read(k, case["small_spte"]),
            lambda k, case: {
                "small_spte": either(
                    nx_huge_pages_on(k, case), _made_readable(k, case["small_spte"]), case["small_spte"]
                )
            },
        ),
    ),
)

declare(
    make_spte.make_spte,
    GROUP,
    [
        Access("access"),
        Bits("gfn", 40),
        Bits("pfn", 40),
        SpteColumn("old_spte"),
        Choice("level", 2, (1, 2, 3)),
        *(FlagColumn(name) for name in _FLAGS),
        Choice("mt_mask", 7, (0x6 << 3 | 1 << 6, 0, 0x6 << 3)),
        Choice("rsvd_bits", 64, (0, 1 << 63, 1 << 51, PT_PRESENT_MASK, 1 << 1, 1 << 62, 0xFF << 44)),
        # As reset_rsvds_bits_mask_ept() has it: W without R.
        Choice("bad_mt_xwr", 64, (0, 0x4444444444444444)),
    ],
    gives=(
        Flag("value"),
        Spte("new_spte"),
        Number("get_mt_mask gfn"),
        Flag("get_mt_mask is_mmio"),
        Number("unsync gfn"),
        Flag("unsync how"),
        Number("dirty gfn"),
    ),
    answer=_make_spte,
    events=(
        "WARN make_spte",
        *MARK_EVENTS,
        "call get_mt_mask",
        "call mmu_try_to_unsync_pages",
        "call mmu_need_write_protect",
        "call mark_page_dirty_in_slot",
    ),
    callers=MAPPED,
    mutants=[
        Substitution(
            SPTE_C, "if (level > PG_LEVEL_4K)\n\t\tspte |= PT_PAGE_SIZE_MASK;", "spte |= PT_PAGE_SIZE_MASK;"
        ),
        Substitution(
            SPTE_C,
            "if (is_last_spte(old_spte, level) && is_writable_pte(old_spte))",
            "if (is_writable_pte(old_spte))",
        ),
        Substitution(
            SPTE_C, "spte &= ~(PT_WRITABLE_MASK | shadow_mmu_writable_mask);", "spte &= ~PT_WRITABLE_MASK;"
        ),
        Substitution(SPTE_C, "if (prefetch)\n\t\tspte = mark_spte", "if (!prefetch)\n\t\tspte = mark_spte"),
        Substitution(SPTE_C, "WARN_ON_ONCE(!pte_access && !shadow_present_mask);", ""),
        Substitution(
            SPTE_C,
            "WARN_ONCE(is_rsvd_spte(&vcpu->arch.mmu->shadow_zero_check, spte, level),",
            "WARN_ONCE(is_rsvd_spte(&vcpu->arch.mmu->shadow_zero_check, spte, PG_LEVEL_4K),",
        ),
        Substitution(
            SPTE_C,
            "WARN_ONCE(is_rsvd_spte(&vcpu->arch.mmu->shadow_zero_check, spte, level),",
            "WARN_ONCE(__is_rsvd_bits_set(&vcpu->arch.mmu->shadow_zero_check, spte, level),",
        ),
        Substitution(SPTE_C, "!e820__mapped_raw_any(pfn_to_hpa(pfn),", "!e820__mapped_raw_any(pfn,"),
        Substitution(SPTE_C, "E820_TYPE_RAM);", "E820_TYPE_RESERVED);"),
        Substitution(SPTE_C, "if (!prefetch || synchronizing)", "if (!prefetch)", "7.3"),
    ],
)
declare(
    make_spte.make_nonleaf_spte,
    GROUP,
    [Bits("child", 46), FlagColumn("ad_disabled")],
    gives=(Spte("value"),),
    answer=lambda k, child, ad_disabled: make_spte.make_nonleaf_spte(k, child, ad_disabled == 1),
    callers=Callers(
        "link_shadow_page(), tdp_mmu_link_sp() and mmu_spte_set() pass a page table page of the host.",
        (
            within(
                "child",
                lambda k: address_bits(k) & (k.shadow_me_mask ^ ALL),
                "child is not the address of a page below the host's MAXPHYADDR",
            ),
            ad_disabled_fits(),
        ),
    ),
    mutants=[
        Substitution(
            SPTE_C, "shadow_user_mask | shadow_x_mask | shadow_me_value;", "shadow_x_mask | shadow_me_value;"
        )
    ],
)
declare(
    make_spte.make_huge_page_split_spte,
    GROUP,
    [HUGE, Choice("level", 2, (1, 2)), Access("access"), Bits("index", 9), *NX],
    gives=(Spte("value"),),
    answer=lambda k, spte, level, access, index, nx, off: make_spte.make_huge_page_split_spte(
        k, spte, level=level, access=access, index=index, nx_huge_pages=_nx(k, nx == 1, off == 1)
    ),
    events=("WARN make_huge_page_split_spte", "WARN make_small_spte", BUGGED, *MARK_EVENTS),
    since=HUGE_PAGE_SPLIT,
    callers=SPLIT,
    mutants=[
        Substitution(SPTE_C, "child_spte &= ~PT_PAGE_SIZE_MASK;", ""),
        Substitution(SPTE_C, "spte &= ~shadow_nx_mask;", ""),
        Substitution(
            SPTE_C,
            "(role.access & ACC_EXEC_MASK) && is_nx_huge_page_enabled(kvm)",
            "is_nx_huge_page_enabled(kvm)",
        ),
    ],
)
declare(
    make_spte.make_huge_spte,
    GROUP,
    [SpteColumn("small_spte"), Choice("level", 2, (1, 2, 3)), *NX],
    gives=(Spte("value"),),
    answer=lambda k, spte, level, nx, off: make_spte.make_huge_spte(
        k, spte, level=level, nx_huge_pages=_nx(k, nx == 1, off == 1)
    ),
    events=("WARN make_huge_spte", BUGGED, *MARK_EVENTS),
    since=HUGE_PAGE_RECOVERY,
    callers=RECOVERED,
    mutants=[
        Substitution(SPTE_C, "huge_spte &= KVM_HPAGE_MASK(level) | ~PAGE_MASK;", "", "7.3"),
        Substitution(
            SPTE_C,
            "KVM_BUG_ON(!is_shadow_present_pte(small_spte) || level == PG_LEVEL_4K, kvm);",
            "WARN_ON_ONCE(!is_shadow_present_pte(small_spte) || level == PG_LEVEL_4K);",
            "7.3",
        ),
    ],
)
declare(
    make_spte.kvm_mmu_changed_pte_notifier_make_spte,
    GROUP,
    [SpteColumn("old_spte"), Bits("new_pfn", 40)],
    gives=(Spte("value"),),
    events=MARK_EVENTS,
    until=NO_CHANGE_PTE,
    callers=Callers(
        "kvm_set_pte_rmap() and set_spte_gfn() pass a 4 KiB leaf SPTE and a frame of the host.",
        (leaf("old_spte", lambda k, case: PG_LEVEL_4K), frame_fits("new_pfn")),
    ),
    mutants=[Substitution(SPTE_C, "new_spte &= ~shadow_mmu_writable_mask;", "")],
)
