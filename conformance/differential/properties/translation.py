# SPDX-License-Identifier: GPL-2.0-only
"""Properties: which guest frame, with which rights, an entry of a shadow page shadows."""

from collections.abc import Callable
from typing import Any

from conformance.differential.columns import Access, Bits, Choice, Column, Flag
from conformance.differential.property import ANY_MODE, Mutant, declare
from conformance.model import translation
from conformance.model.changes import SHADOWED_ACCESS, Change
from conformance.model.kernel import Kernel
from conformance.model.words import Word, either

GROUP = "translation"
MMU_C = "arch/x86/kvm/mmu/mmu.c"
PAGE = (
    Choice("level", 3, (1, 2, 3, 4, 5)),
    Flag("direct"),
    Flag("passthrough"),
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

    def answer(k: Kernel, *columns: Word) -> Any:
        level, direct, passthrough, access, gfn, index, slot, *rest = columns
        # Of a direct page at level 5 the kernel shifts an int by 36, of which C says nothing: not asked.
        level = either((level == 5) & (direct == 1), 4, level)
        sp = translation.ShadowPage(level, direct == 1, passthrough == 1, access, gfn, slot)
        return function(k, sp, index, *rest)

    return answer


def _declare(
    function: Callable[..., Any],
    more: list[Column],
    mutants: list[Mutant],
    *,
    since: Change | None = None,
    until: Change | None = None,
) -> None:
    declare(
        function,
        GROUP,
        [*PAGE, *more],
        answer=_of_page(function),
        events=SET_EVENTS,
        modes=ANY_MODE,
        mutants=mutants,
        since=since,
        until=until,
    )


_declare(
    translation.kvm_mmu_page_get_gfn,
    [],
    [
        Mutant(
            MMU_C,
            "return sp->shadowed_translation[index] >> PAGE_SHIFT;",
            "return sp->shadowed_translation[index] >> (PAGE_SHIFT + 1);",
        ),
        Mutant(
            MMU_C,
            "(index << ((sp->role.level - 1) * SPTE_LEVEL_BITS))",
            "((gfn_t)index << ((sp->role.level - 1) * SPTE_LEVEL_BITS))",
        ),
    ],
)
_declare(
    translation.kvm_mmu_page_get_access,
    [],
    [
        Mutant(
            MMU_C,
            "return sp->shadowed_translation[index] & ACC_ALL;",
            "return sp->shadowed_translation[index] & ACC_WRITE_MASK;",
        )
    ],
    since=SHADOWED_ACCESS,
)
_declare(
    translation.kvm_mmu_page_set_translation,
    [GFN, ACCESS],
    [
        Mutant(
            MMU_C,
            "sp->shadowed_translation[index] = (gfn << PAGE_SHIFT) | access;",
            "sp->shadowed_translation[index] = gfn << PAGE_SHIFT;",
        ),
        Mutant(MMU_C, "WARN_ONCE(gfn != kvm_mmu_page_get_gfn(sp, index),", "WARN_ONCE(0,"),
    ],
    since=SHADOWED_ACCESS,
)
_declare(
    translation.kvm_mmu_page_set_access,
    [ACCESS],
    [
        Mutant(
            MMU_C,
            "kvm_mmu_page_set_translation(sp, index, gfn, access);",
            "kvm_mmu_page_set_translation(sp, index, 0, access);",
        )
    ],
    since=SHADOWED_ACCESS,
)
_declare(
    translation.kvm_mmu_page_set_gfn,
    [GFN],
    [Mutant(MMU_C, "sp->gfns[index] = gfn;", "sp->gfns[index] = gfn & 0xffffffff;", "5.10")],
    until=SHADOWED_ACCESS,
)
