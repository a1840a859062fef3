# SPDX-License-Identifier: GPL-2.0-only
"""Properties: which guest frame, with which rights, an entry of a shadow page shadows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.differential.columns import Access, Bits, Choice, Column, FlagColumn
from conformance.differential.legality.needs import Callers, Case, Need, need
from conformance.differential.legality.values import aligned, equals, within
from conformance.differential.outputs import Number
from conformance.differential.property import ANY_MODE, declare
from conformance.kernels.substitutions import MMU_C, Substitution
from conformance.model.changes import SHADOWED_ACCESS, Change
from conformance.model.layout import PAGE_SHIFT
from conformance.model.semantics import Semantics
from conformance.model.shadow_mmu import translation
from conformance.model.words import Truth, Word, either

GROUP = "translation"
PAGE = (
    Choice("level", 3, (1, 2, 3, 4, 5)),
    FlagColumn("direct"),
    FlagColumn("passthrough"),
    Access("role.access"),
    Bits("sp->gfn", 40),
    Bits("index", 9),
    Bits("slot", dense=True),
)
GFN = Bits("gfn", 52, near="sp->gfn")
ACCESS = Access("access")
SET_EVENTS = ("WARN kvm_mmu_page_set_translation", "WARN kvm_mmu_page_set_gfn")


def _of_page(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function over a shadow page that is given by its columns."""

    def answer(k: Semantics, *columns: Word) -> Any:
        level, direct, passthrough, access, gfn, index, slot, *rest = columns
        # Of a direct page at level 5 the kernel shifts an int by 36, of which C says nothing: not asked.
        level = either((level == 5) & (direct == 1), 4, level)
        sp = translation.ShadowPage(level, direct == 1, passthrough == 1, access, gfn, slot)
        return function(k, sp, index, *rest)

    return answer


def _is_direct(k: Semantics, case: Case) -> Truth:
    """Whether the page has no translations of its own."""
    return case["direct"] == 1


def _in_order(k: Semantics, case: Case) -> Word:
    """The frame that entry ``index`` of a direct page maps."""
    page = translation.ShadowPage(
        case["level"], case["direct"] == 1, case["passthrough"] == 1, 0, case["sp->gfn"], case["slot"]
    )
    return translation.kvm_mmu_page_get_gfn(k, page, case["index"])


def _slot_bits(k: Semantics) -> int:
    """What an entry of the array can hold: a gfn of 40 bits, above the access once that is kept there."""
    gfns = (1 << 40) - 1
    return gfns << PAGE_SHIFT | k.layout.acc_all if k.has(SHADOWED_ACCESS) else gfns


SHADOWS: tuple[Need, ...] = (
    need(
        "level is above 3, where no page is mapped",
        lambda k, case: case["level"] <= 3,
        lambda k, case: {"level": either(case["level"] <= 3, case["level"], 3)},
    ),
    need(
        "passthrough is for roots of nested NPT",
        lambda k, case: case["passthrough"] == 0,
        lambda k, case: {"passthrough": case["passthrough"] & 0},
    ),
    aligned("sp->gfn", above=1, when_="direct"),
    within("slot", _slot_bits, "slot holds more than a gfn and its access"),
)
SHADOWED = Callers(
    "rmap_add(), rmap_remove() and the splitting of huge pages ask for an entry that maps a page; a direct"
    " page maps guest frames in order (kvm_mmu_get_child_sp()).",
    SHADOWS,
)
REMEMBERED = Callers(
    "mmu_set_spte() and FNAME(sync_spte)() pass the gfn and the access that the page's entry shadows; those"
    " of a direct page follow from the page.",
    (
        *SHADOWS,
        within("gfn", lambda k: (1 << 40) - 1, "gfn is more than 40 bits"),
        equals("gfn", _in_order, _is_direct, "gfn is not the one that the direct page maps there"),
    ),
)
GRANTED = equals(
    "access", lambda k, case: case["role.access"], _is_direct, "access is not that of the direct page"
)


def _declare(
    function: Callable[..., Any],
    more: list[Column],
    mutants: list[Substitution],
    callers: Callers,
    *,
    since: Change | None = None,
    until: Change | None = None,
) -> None:
    declare(
        function,
        GROUP,
        [*PAGE, *more],
        gives=(Number("value"),),
        answer=_of_page(function),
        events=SET_EVENTS,
        modes=ANY_MODE,
        callers=callers,
        mutants=mutants,
        since=since,
        until=until,
    )


_declare(
    translation.kvm_mmu_page_get_gfn,
    [],
    [
        Substitution(
            MMU_C,
            "return sp->shadowed_translation[index] >> PAGE_SHIFT;",
            "return sp->shadowed_translation[index] >> (PAGE_SHIFT + 1);",
        ),
        Substitution(
            MMU_C,
            "(index << ((sp->role.level - 1) * SPTE_LEVEL_BITS))",
            "((gfn_t)index << ((sp->role.level - 1) * SPTE_LEVEL_BITS))",
        ),
    ],
    SHADOWED,
)
_declare(
    translation.kvm_mmu_page_get_access,
    [],
    [
        Substitution(
            MMU_C,
            "return sp->shadowed_translation[index] & ACC_ALL;",
            "return sp->shadowed_translation[index] & ACC_WRITE_MASK;",
        )
    ],
    SHADOWED,
    since=SHADOWED_ACCESS,
)
_declare(
    translation.kvm_mmu_page_set_translation,
    [GFN, ACCESS],
    [
        Substitution(
            MMU_C,
            "sp->shadowed_translation[index] = (gfn << PAGE_SHIFT) | access;",
            "sp->shadowed_translation[index] = gfn << PAGE_SHIFT;",
        ),
        Substitution(MMU_C, "WARN_ONCE(gfn != kvm_mmu_page_get_gfn(sp, index),", "WARN_ONCE(0,"),
    ],
    replace(REMEMBERED, needs=(*REMEMBERED.needs, GRANTED)),
    since=SHADOWED_ACCESS,
)
_declare(
    translation.kvm_mmu_page_set_access,
    [ACCESS],
    [
        Substitution(
            MMU_C,
            "kvm_mmu_page_set_translation(sp, index, gfn, access);",
            "kvm_mmu_page_set_translation(sp, index, 0, access);",
        )
    ],
    replace(SHADOWED, needs=(*SHADOWS, GRANTED)),
    since=SHADOWED_ACCESS,
)
_declare(
    translation.kvm_mmu_page_set_gfn,
    [GFN],
    [Substitution(MMU_C, "sp->gfns[index] = gfn;", "sp->gfns[index] = gfn & 0xffffffff;", "5.10")],
    REMEMBERED,
    until=SHADOWED_ACCESS,
)
