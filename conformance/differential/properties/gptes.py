# SPDX-License-Identifier: GPL-2.0-only
"""Properties: one entry of the guest's page tables, in each of the three formats."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance.differential.columns import Access, Bits, Choice, FlagColumn
from conformance.differential.legality.needs import Callers, Case, Need, need
from conformance.differential.outputs import Flag, Number, Spte
from conformance.differential.property import ANY_MODE, declare
from conformance.kernels.substitutions import PAGING_TMPL_H, Substitution
from conformance.model.changes import EPT_XU_RESERVED_BITS
from conformance.model.guest_paging import gptes
from conformance.model.guest_paging.gptes import GuestFormat
from conformance.model.layout import PT_PAGE_SIZE_MASK
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, any_set, either

GROUP = "guest entries"
ANY_HOST = ("npt",)
"""For functions that read nothing of the host."""
PAGING32, PAGING64, EPT = GuestFormat
PTTYPES = {64: PAGING64, 32: PAGING32, 18: EPT}
"""The formats by what the kernel calls PTTYPE."""


@dataclass(frozen=True)
class Format(Choice):
    """Which instance of paging_tmpl.h."""

    values: tuple[int, ...] = tuple(PTTYPES)
    width: int = 7

    def decoded(self, k: Semantics, value: int) -> str:
        """What the functions of the instance begin with."""
        return PTTYPES[value].value


FORMAT = Format("format")
GPTE = Bits("gpte", dense=True)
LEVEL = Choice("level", 3, (1, 2, 3, 4, 5))
RESERVED = (
    Bits("rsvd_bits_mask[0]"),
    Bits("rsvd_bits_mask[1]"),
    Bits("bad_mt_xwr"),
)
AD_DISABLED, MBEC = FlagColumn("ad_disabled"), FlagColumn("mbec")


def _of_format(function: Callable[[GuestFormat, Word], Any]) -> Callable[[Word, Word], Any]:
    """The function of the format that is given by its number, of an entry as long as the format's are."""

    def answer(pttype: Word, gpte: Word) -> Any:
        others = either(pttype == 32, function(PAGING32, gpte & 0xFFFFFFFF), function(EPT, gpte))
        return either(pttype == 64, function(PAGING64, gpte), others)

    return answer


def _mbec(k: Semantics, mbec: Word) -> Truth | bool:
    """Whether the nested host uses mode-based execute control, in kernels that offer it."""
    return mbec == 1 if k.has(EPT_XU_RESERVED_BITS) else False


def _is_short(k: Semantics, case: Case) -> Truth:
    return (case["format"] != 32) | (case["gpte"] == case["gpte"] & 0xFFFFFFFF)


SHORT: Need = need(
    "an entry of 32-bit paging has no more bits",
    _is_short,
    lambda k, case: {"gpte": either(_is_short(k, case), case["gpte"], case["gpte"] & 0xFFFFFFFF)},
)


def _is_present(k: Semantics, case: Case) -> Truth:
    present = _of_format(lambda fmt, gpte: gptes.is_present_gpte(fmt, gpte, mbec=_mbec(k, 1)))
    found: Truth = present(case["format"], case["gpte"])
    return found


PRESENT: Need = need(
    "the entry is not present",
    _is_present,
    lambda k, case: {"gpte": either(_is_present(k, case), case["gpte"], case["gpte"] | 1)},
)
LARGE: Need = need(
    "the entry maps no page of 4 MiB",
    lambda k, case: any_set(case["gpte"], PT_PAGE_SIZE_MASK),
    lambda k, case: {"gpte": case["gpte"] | PT_PAGE_SIZE_MASK},
)
IN_FORMAT: Need = need(
    "32-bit paging has two levels",
    lambda k, case: (case["format"] != 32) | (case["level"] <= 2),
    lambda k, case: {"level": either((case["format"] != 32) | (case["level"] <= 2), case["level"], 2)},
)

declare(
    gptes.is_present_gpte,
    GROUP,
    [FORMAT, GPTE, MBEC],
    gives=(Flag("value"),),
    answer=lambda k, pttype, gpte, mbec: _of_format(
        lambda fmt, entry: gptes.is_present_gpte(fmt, entry, mbec=_mbec(k, mbec))
    )(pttype, gpte),
    modes=ANY_HOST,
    callers=Callers("The walk and prefetching read entries from the guest's memory.", (SHORT,)),
    mutants=[
        Substitution(PAGING_TMPL_H, "return pte & 7;", "return pte & 3;"),
        Substitution(PAGING_TMPL_H, "return pte & PT_PRESENT_MASK;", "return pte & 3;"),
        Substitution(PAGING_TMPL_H, "is_cr4_smep(w) ? VMX_EPT_USER", "1 ? VMX_EPT_USER", "7.3"),
    ],
)
declare(
    gptes.gpte_access,
    GROUP,
    [FORMAT, GPTE],
    gives=(Number("access"),),
    answer=lambda k, pttype, gpte: _of_format(lambda fmt, entry: gptes.gpte_access(k, fmt, entry))(
        pttype, gpte
    ),
    modes=ANY_HOST,
    callers=Callers(
        "The walk, prefetching and the synchronising pass entries that are present.", (SHORT, PRESENT)
    ),
    mutants=[
        Substitution(PAGING_TMPL_H, "access ^= (gpte >> PT64_NX_SHIFT);", ""),
        Substitution(
            PAGING_TMPL_H,
            "(gpte & VMX_EPT_READABLE_MASK) ? ACC_USER_MASK : 0",
            "(gpte & VMX_EPT_READABLE_MASK) ? 0 : 0",
        ),
        Substitution(PAGING_TMPL_H, "access |= gpte & PT64_NX_MASK ? 0", "access |= 0 ? 0", "7.3"),
    ],
)
declare(
    gptes.gpte_to_gfn_lvl,
    GROUP,
    [FORMAT, GPTE, LEVEL],
    gives=(Number("gfn"),),
    answer=lambda k, pttype, gpte, level: _of_format(
        lambda fmt, entry: gptes.gpte_to_gfn_lvl(fmt, entry, level)
    )(pttype, gpte),
    modes=ANY_HOST,
    callers=Callers(
        "The walk passes entries of its levels, prefetching those of level 1.", (SHORT, IN_FORMAT)
    ),
    mutants=[
        Substitution(PAGING_TMPL_H, "(gpte & PT_LVL_ADDR_MASK(lvl)) >>", "(gpte & PT_BASE_ADDR_MASK) >>"),
    ],
)
declare(
    gptes.pse36_gfn_delta,
    GROUP,
    [Bits("gpte", 32, dense=True)],
    gives=(Number("gfns"),),
    answer=lambda k, gpte: gptes.pse36_gfn_delta(gpte),
    modes=ANY_HOST,
    callers=Callers("The walk asks for an entry of 32-bit paging that maps 4 MiB.", (LARGE,)),
    mutants=[
        Substitution(PAGING_TMPL_H, "32 - PT32_DIR_PSE36_SHIFT", "31 - PT32_DIR_PSE36_SHIFT"),
        Substitution(PAGING_TMPL_H, "#define PT32_DIR_PSE36_SIZE 4", "#define PT32_DIR_PSE36_SIZE 3"),
    ],
)
declare(
    gptes.gpte_pkeys,
    GROUP,
    [FORMAT, GPTE],
    gives=(Number("key"),),
    answer=lambda k, pttype, gpte: _of_format(lambda fmt, entry: gptes.gpte_pkeys(fmt, entry))(pttype, gpte),
    modes=ANY_HOST,
    callers=Callers("The walk asks for the entry that maps the page.", (SHORT,)),
    mutants=[Substitution(PAGING_TMPL_H, "pkeys = pte_flags_pkey(pte_flags(pte));", "")],
)
declare(
    gptes.is_last_gpte,
    GROUP,
    [FORMAT, GPTE, LEVEL, Choice("root level", 3, (2, 3, 4, 5)), FlagColumn("cr4.pse")],
    gives=(Flag("value"),),
    answer=lambda k, pttype, gpte, level, root, pse: _of_format(
        lambda fmt, entry: gptes.is_last_gpte(k, fmt, level, entry, root_level=root, cr4_pse=pse == 1)
    )(pttype, gpte),
    modes=ANY_HOST,
    callers=Callers(
        "The walk asks for an entry that is present and has no reserved bits.", (SHORT, IN_FORMAT)
    ),
    mutants=[
        Substitution(PAGING_TMPL_H, "gpte |= level - PG_LEVEL_4K - 1;", "gpte |= level - PG_LEVEL_4K;"),
        Substitution(PAGING_TMPL_H, "(PT32_ROOT_LEVEL + mmu->cpu_role.ext.cr4_pse)", "(PT32_ROOT_LEVEL + 1)"),
    ],
)
declare(
    gptes.protect_clean_gpte,
    GROUP,
    [FORMAT, GPTE, Access("access"), AD_DISABLED],
    gives=(Number("access"),),
    answer=lambda k, pttype, gpte, access, ad_disabled: _of_format(
        lambda fmt, entry: gptes.protect_clean_gpte(k, fmt, access, entry, ad_disabled=ad_disabled == 1)
    )(pttype, gpte),
    modes=ANY_HOST,
    callers=Callers(
        "The walk, prefetching and the synchronising pass entries that are present.", (SHORT, PRESENT)
    ),
    mutants=[
        Substitution(PAGING_TMPL_H, "mask = (unsigned)~ACC_WRITE_MASK;", "mask = ~0U;"),
        Substitution(PAGING_TMPL_H, "#define PT_GUEST_DIRTY_SHIFT 9", "#define PT_GUEST_DIRTY_SHIFT 8"),
        Substitution(PAGING_TMPL_H, "if (!PT_HAVE_ACCESSED_DIRTY(mmu))\n\t\treturn;\n", ""),
    ],
)
declare(
    gptes.is_rsvd_bits_set,
    GROUP,
    [FORMAT, GPTE, LEVEL, *RESERVED],
    gives=(Flag("value"),),
    answer=lambda k, pttype, gpte, level, low, high, bad: _of_format(
        lambda fmt, entry: gptes.is_rsvd_bits_set(k, fmt, entry, rsvd_bits_mask=(low, high), bad_mt_xwr=bad)
    )(pttype, gpte),
    modes=ANY_HOST,
    callers=Callers("The walk and prefetching pass entries that are present.", (SHORT, PRESENT, IN_FORMAT)),
    mutants=[
        Substitution(PAGING_TMPL_H, "return __is_bad_mt_xwr(rsvd_check, gpte);", "return false;"),
        Substitution(PAGING_TMPL_H, "#if PTTYPE != PTTYPE_EPT\n\treturn false;\n#else", "#if 0\n#else"),
    ],
)
declare(
    gptes.prefetch_invalid_gpte,
    GROUP,
    [FORMAT, GPTE, AD_DISABLED, MBEC, *RESERVED],
    gives=(Flag("invalid"), Spte("MMIO SPTE afterwards")),
    answer=lambda k, pttype, gpte, ad_disabled, mbec, low, high, bad: _prefetched(
        k,
        _of_format(
            lambda fmt, entry: gptes.prefetch_invalid_gpte(
                k,
                fmt,
                entry,
                rsvd_bits_mask=(low, high),
                bad_mt_xwr=bad,
                ad_disabled=ad_disabled == 1,
                mbec=_mbec(k, mbec),
            )
        )(pttype, gpte),
    ),
    modes=ANY_MODE,
    callers=Callers("Prefetching and the synchronising read entries of level 1 from the guest.", (SHORT,)),
    mutants=[
        Substitution(
            PAGING_TMPL_H,
            "PT_HAVE_ACCESSED_DIRTY(vcpu->arch.mmu) &&",
            "0 &&",
            function="FNAME(prefetch_invalid_gpte)",
        ),
        Substitution(PAGING_TMPL_H, "\tdrop_spte(vcpu->kvm, spte);\n\treturn true;", "\treturn true;"),
        Substitution(PAGING_TMPL_H, "#define PT_GUEST_ACCESSED_SHIFT 8", "#define PT_GUEST_ACCESSED_SHIFT 9"),
    ],
)


def _prefetched(k: Semantics, invalid: Truth) -> tuple[Truth, Word]:
    """The answer, and what becomes of an MMIO SPTE there."""
    return invalid, either(invalid, k.layout.nonpresent_value, k.shadow_mmio_value)
