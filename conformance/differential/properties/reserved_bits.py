# SPDX-License-Identifier: GPL-2.0-only
"""Properties: the reserved bits of page table entries, the guest's and those of KVM's own tables."""

from collections.abc import Callable
from typing import Any

from conformance.differential.columns import Bits, Choice, FlagColumn
from conformance.differential.legality.needs import Callers, Case, Need, need
from conformance.differential.legality.values import within
from conformance.differential.outputs import Number
from conformance.differential.property import TDP_MODES, declare
from conformance.kernels.substitutions import MMU_C, Substitution
from conformance.model.changes import CPU_ROLE
from conformance.model.guest_paging import reserved_bits
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, bits, either

GROUP = "reserved bits"
ANY_HOST = ("npt",)
"""For functions that read nothing of the host."""
WALKED_BY_PROCESSOR = ("npt-me", "ept-noad")
ENTRY = (Choice("level", 3, (1, 2, 3, 4, 5)), FlagColumn("large"))
"""The entry: its level, and whether its bit 7 is set."""
OF_GUEST = Choice("root level", 3, (2, 3, 4, 5))
HUGE = Choice("huge page level", 2, (1, 2, 3))
GIVES = (Number("reserved bits"), Number("bad_mt_xwr"))


def _flags(function: Callable[..., Any], *flags: str, words: tuple[str, ...] = ()) -> Callable[..., Any]:
    """The model's function: level, bit 7, then ``words`` and ``flags`` by name."""

    def answer(k: Semantics, level: Word, large: Word, *columns: Word) -> tuple[Word, ...]:
        named: dict[str, Any] = dict(zip(words, columns[: len(words)], strict=True))
        named |= {name: word == 1 for name, word in zip(flags, columns[len(words) :], strict=True)}
        return tuple(function(k, level, large == 1, **named))

    return answer


def _below_root(k: Semantics, case: Case) -> Truth:
    return case["level"] <= case["root level"]


IN_TABLES: Need = need(
    "level is above the root",
    _below_root,
    lambda k, case: {"level": either(_below_root(k, case), case["level"], case["root level"])},
)
NO_PAGE_IN_REGISTER = need(
    "bit 7 is reserved in every PDPTE of PAE",
    lambda k, case: (case["root level"] != 3) | (case["level"] != 3) | (case["large"] == 0),
    lambda k, case: {
        "large": either((case["root level"] == 3) & (case["level"] == 3), case["large"] & 0, case["large"])
    },
)
"""KVM finds bit 7 of a PDPTE reserved by the mask for entries with bit 7 clear, or not at all."""


def _address_bits(name: str) -> Need:
    return within(name, lambda k: bits(63, 32), f"{name} reserves bits that every processor has")


declare(
    reserved_bits.__reset_rsvds_bits_mask,
    GROUP,
    [
        *ENTRY,
        OF_GUEST,
        Bits("reserved address bits", dense=True),
        *(FlagColumn(name) for name in ("nx", "gbpages", "pse", "amd")),
    ],
    gives=GIVES,
    answer=_flags(
        reserved_bits.__reset_rsvds_bits_mask, "nx", "gbpages", "pse", "amd", words=("root_level", "pa_bits")
    ),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers(
        "reset_guest_rsvds_bits_mask() passes what the guest's CPUID reserves,"
        " reset_tdp_shadow_zero_bits_mask() and reset_shadow_zero_bits_mask() what the host does not have.",
        (IN_TABLES, NO_PAGE_IN_REGISTER, _address_bits("reserved address bits")),
    ),
    mutants=[
        Substitution(MMU_C, "gbpages_bit_rsvd = rsvd_bits(7, 7);", "gbpages_bit_rsvd = 0;"),
        Substitution(MMU_C, "nonleaf_bit8_rsvd = rsvd_bits(8, 8);", "nonleaf_bit8_rsvd = rsvd_bits(9, 9);"),
        Substitution(MMU_C, "rsvd_bits(5, 8) |", "rsvd_bits(5, 7) |"),
        Substitution(MMU_C, "= rsvd_bits(17, 21);", "= 0;"),
    ],
)
declare(
    reserved_bits.__reset_rsvds_bits_mask_ept,
    GROUP,
    [*ENTRY, Bits("reserved address bits", dense=True), FlagColumn("exec-only"), HUGE],
    gives=GIVES,
    answer=lambda k, level, large, pa_bits, execonly, huge: tuple(
        reserved_bits.__reset_rsvds_bits_mask_ept(
            k, level, large == 1, pa_bits=pa_bits, execonly=execonly == 1, huge_level=huge
        )
    ),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers(
        "reset_rsvds_bits_mask_ept() passes the capabilities of the nested host,"
        " reset_tdp_shadow_zero_bits_mask() and reset_ept_shadow_zero_bits_mask() those of the processor.",
        (_address_bits("reserved address bits"),),
    ),
    mutants=[
        Substitution(MMU_C, "large_1g_rsvd = rsvd_bits(7, 7);", "large_1g_rsvd = 0;"),
        Substitution(MMU_C, "bad_mt_xwr = 0xFFull << (2 * 8);", "bad_mt_xwr = 0;"),
        Substitution(MMU_C, "bad_mt_xwr |= REPEAT_BYTE(1ull << 4);", ""),
    ],
)
declare(
    reserved_bits.reset_guest_rsvds_bits_mask,
    GROUP,
    [
        *ENTRY,
        OF_GUEST,
        Bits("reserved_gpa_bits", dense=True),
        *(FlagColumn(name) for name in ("efer.nx", "cr4.pse", "guest has gbpages", "guest is amd")),
    ],
    gives=GIVES,
    answer=_flags(
        reserved_bits.reset_guest_rsvds_bits_mask,
        *("efer_nx", "cr4_pse", "gbpages", "amd"),
        words=("root_level", "reserved_gpa_bits"),
    ),
    modes=WALKED_BY_PROCESSOR,
    since=CPU_ROLE,
    callers=Callers(
        "reset_guest_paging_metadata() passes a role with paging, and what the guest's CPUID reserves.",
        (IN_TABLES, NO_PAGE_IN_REGISTER, _address_bits("reserved_gpa_bits")),
    ),
    mutants=[
        Substitution(
            MMU_C,
            "context->cpu_role.base.level, is_efer_nx(context),",
            "context->cpu_role.base.level, true,",
        ),
        Substitution(MMU_C, "is_cr4_pse(context),", "true,", function="reset_guest_rsvds_bits_mask"),
    ],
)
declare(
    reserved_bits.reset_tdp_shadow_zero_bits_mask,
    GROUP,
    [*ENTRY, Choice("root level", 3, (4, 5)), HUGE, FlagColumn("gbpages")],
    gives=GIVES,
    answer=_flags(
        reserved_bits.reset_tdp_shadow_zero_bits_mask, "gbpages", words=("root_level", "huge_level")
    ),
    events=("WARN boot_cpu_is_amd",),
    modes=TDP_MODES,
    since=CPU_ROLE,
    callers=Callers("init_kvm_tdp_mmu() passes the MMU of which it has just set the role.", (IN_TABLES,)),
    mutants=[
        Substitution(
            MMU_C,
            "shadow_zero_check->rsvd_bits_mask[1][i] &= ~shadow_me_mask;",
            "",
            function="reset_tdp_shadow_zero_bits_mask",
        ),
        Substitution(
            MMU_C,
            "reserved_hpa_bits(), false,\n",
            "reserved_hpa_bits(), true,\n",
            function="reset_tdp_shadow_zero_bits_mask",
        ),
    ],
)
declare(
    reserved_bits.reset_shadow_zero_bits_mask,
    GROUP,
    [*ENTRY, Choice("root level", 3, (2, 3, 4, 5)), FlagColumn("efer.nx"), FlagColumn("gbpages")],
    gives=GIVES,
    answer=_flags(reserved_bits.reset_shadow_zero_bits_mask, "efer_nx", "gbpages", words=("root_level",)),
    events=("WARN reset_shadow_zero_bits_mask",),
    modes=("shadow", "npt", "npt-me"),
    since=CPU_ROLE,
    callers=Callers(
        "shadow_mmu_init_context() passes the MMU of which it has just set the role: of PAE at least.",
        (
            need(
                "the processor walks PAE tables at least",
                lambda k, case: case["root level"] >= 3,
                lambda k, case: {"root level": either(case["root level"] >= 3, case["root level"], 3)},
            ),
            IN_TABLES,
            NO_PAGE_IN_REGISTER,
        ),
    ),
    mutants=[
        Substitution(MMU_C, "context->root_role.efer_nx,\n", "true,\n"),
        Substitution(MMU_C, "shadow_zero_check->rsvd_bits_mask[1][i] &= ~shadow_me_value;", ""),
        Substitution(MMU_C, "shadow_zero_check->rsvd_bits_mask[0][i] &= ~shadow_me_value;", ""),
        Substitution(
            MMU_C, "bool is_amd = true;", "bool is_amd = false;", function="reset_shadow_zero_bits_mask"
        ),
    ],
)
declare(
    reserved_bits.reset_ept_shadow_zero_bits_mask,
    GROUP,
    [*ENTRY, FlagColumn("exec-only"), HUGE],
    gives=GIVES,
    answer=lambda k, level, large, execonly, huge: tuple(
        reserved_bits.reset_ept_shadow_zero_bits_mask(
            k, level, large == 1, execonly=execonly == 1, huge_level=huge
        )
    ),
    modes=("ept-ad", "ept-tme"),
    since=CPU_ROLE,
    callers=Callers("kvm_init_shadow_ept_mmu() passes what the nested host may use."),
    mutants=[
        Substitution(
            MMU_C,
            "reserved_hpa_bits(), execonly,",
            "reserved_hpa_bits(), false,",
            function="reset_ept_shadow_zero_bits_mask",
        ),
        Substitution(
            MMU_C, "max_huge_page_level);", "PG_LEVEL_1G);", function="reset_ept_shadow_zero_bits_mask"
        ),
    ],
)
declare(
    reserved_bits.reset_rsvds_bits_mask_ept,
    GROUP,
    [*ENTRY, Bits("reserved_gpa_bits", dense=True), FlagColumn("exec-only"), HUGE],
    gives=GIVES,
    answer=lambda k, level, large, gpa_bits, execonly, huge: tuple(
        reserved_bits.reset_rsvds_bits_mask_ept(
            k, level, large == 1, reserved_gpa_bits=gpa_bits, execonly=execonly == 1, huge_level=huge
        )
    ),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers(
        "kvm_init_shadow_ept_mmu() passes what the nested host may use, and what its CPUID reserves.",
        (_address_bits("reserved_gpa_bits"),),
    ),
    mutants=[
        Substitution(
            MMU_C,
            "vcpu->arch.reserved_gpa_bits, execonly,",
            "0, execonly,",
            function="reset_rsvds_bits_mask_ept",
        ),
        Substitution(MMU_C, "huge_page_level);", "PG_LEVEL_1G);", function="reset_rsvds_bits_mask_ept"),
    ],
)
