# SPDX-License-Identifier: GPL-2.0-only
"""Properties: how the TDP MMU writes SPTEs, and walks its tables."""

from conformance.differential.columns import Bits, Choice, SpteColumn
from conformance.differential.property import ANY_MODE, TDP_MODES, Mutant, declare
from conformance.model import tdp
from conformance.model.changes import (
    CLEAR_SPTE_BITS,
    CLEAR_SPTE_BITS_ATOMIC,
    NEED_ATOMIC_WRITE,
    TDP_XCHG,
)
from conformance.model.kernel import Kernel
from conformance.model.tdp_iter import Tables
from conformance.model.tdp_iter import tdp_iter as walk
from conformance.model.words import ALL, Word

GROUP = "tdp"
TDP_ITER_H = "arch/x86/kvm/mmu/tdp_iter.h"
TDP_ITER_C = "arch/x86/kvm/mmu/tdp_iter.c"
MEMORY = SpteColumn("memory")
OLD = SpteColumn("old_spte", near="memory")
NEW = SpteColumn("new_spte", near="memory")
MASK = Bits("mask", dense=True)
LEVEL = Choice("level", 3, (1, 2, 3, 4))
WRITTEN = ("value", "memory after", "accesses")

declare(
    tdp.kvm_tdp_mmu_write_spte,
    GROUP,
    [MEMORY, OLD, NEW, LEVEL],
    gives=WRITTEN,
    truths=("accesses",),
    modes=TDP_MODES,
    mutants=[
        Mutant(TDP_ITER_H, "    spte_has_volatile_bits(old_spte))", "    is_writable_pte(old_spte))"),
        Mutant(TDP_ITER_H, "is_last_spte(old_spte, level) &&", ""),
        Mutant(
            TDP_ITER_H,
            "\t__kvm_tdp_mmu_write_spte(sptep, new_spte);\n\treturn old_spte;",
            "\t__kvm_tdp_mmu_write_spte(sptep, new_spte);\n\treturn new_spte;",
        ),
    ],
)
declare(
    tdp.kvm_tdp_mmu_write_spte_atomic,
    GROUP,
    [MEMORY, NEW],
    gives=WRITTEN,
    truths=("accesses",),
    modes=TDP_MODES,
    since=TDP_XCHG,
    mutants=[
        Mutant(
            TDP_ITER_H,
            "return xchg(rcu_dereference(sptep), new_spte);",
            "u64 old = *sptep; WRITE_ONCE(*sptep, new_spte); return old;",
        )
    ],
)
declare(
    tdp.__kvm_tdp_mmu_write_spte,
    GROUP,
    [MEMORY, NEW],
    gives=WRITTEN,
    truths=("accesses",),
    modes=TDP_MODES,
    since=TDP_XCHG,
    mutants=[Mutant(TDP_ITER_H, "WRITE_ONCE(*rcu_dereference(sptep), new_spte);", "xchg(sptep, new_spte);")],
)
declare(
    tdp.kvm_tdp_mmu_spte_need_atomic_write,
    GROUP,
    [SpteColumn("old_spte"), LEVEL],
    modes=TDP_MODES,
    since=NEED_ATOMIC_WRITE,
    mutants=[Mutant(TDP_ITER_H, "return is_shadow_present_pte(old_spte) &&", "return true &&", "6.12")],
)
declare(
    tdp.tdp_mmu_clear_spte_bits,
    GROUP,
    [MEMORY, OLD, MASK, LEVEL],
    gives=WRITTEN,
    truths=("accesses",),
    modes=TDP_MODES,
    since=CLEAR_SPTE_BITS,
    mutants=[
        Mutant(TDP_ITER_H, "(sptep, old_spte & ~mask)", "(sptep, *sptep & ~mask)", "6.12"),
        Mutant(
            TDP_ITER_H,
            "return (u64)atomic64_fetch_and(~mask, sptep_atomic);",
            "return (u64)atomic64_fetch_and(~mask, sptep_atomic) & ~mask;",
            "6.12",
        ),
    ],
)
declare(
    tdp.tdp_mmu_clear_spte_bits_atomic,
    GROUP,
    [MEMORY, MASK],
    gives=WRITTEN,
    truths=("accesses",),
    modes=ANY_MODE,
    since=CLEAR_SPTE_BITS_ATOMIC,
    mutants=[
        Mutant(
            TDP_ITER_H,
            "atomic64_fetch_and(~mask, sptep_atomic)",
            "atomic64_fetch_and(mask, sptep_atomic)",
            "7.3",
        )
    ],
)

PLACED = 5
"""How many entries of a generated tree are given; the tables above them follow."""
STEPS = 16
"""How many steps of a walk are observed."""


def tdp_iter(k: Kernel, *columns: Word) -> tuple[Word, ...]:
    """The walk over a tree of generated entries, from a gfn on, with yields and zaps in between."""
    root_level, min_level, start, yields, zaps, *placed = map(int, columns)
    tables = Tables(k, root_level)
    for n in range(0, len(placed), 3):
        gfn, level, spte = placed[n : n + 3]
        if 0 < level <= root_level:
            tables.place(gfn, level, spte)
    seen: list[int] = []
    iterator = walk(tables, min_level, start)
    try:
        gfn, level, spte = next(iterator)
        for step in range(STEPS):
            seen += [(gfn << 4 | level) & ALL, spte]
            if zaps >> step & 1:
                tables.place(gfn, level, k.layout.nonpresent_value)
            gfn, level, spte = iterator.send(bool(yields >> step & 1))
    except StopIteration:
        seen += [ALL, ALL] * (STEPS - len(seen) // 2)
    return tuple(seen[: 2 * STEPS])


declare(
    tdp_iter,
    GROUP,
    [
        Choice("root_level", 3, (3, 4, 5)),
        Choice("min_level", 3, (1, 2, 3)),
        Bits("start", 36),
        Bits("yields after", STEPS),
        Bits("zapped after", STEPS),
        *(
            column
            for n in range(PLACED)
            for column in (
                Bits(f"gfn {n}", 36, near="start"),
                Choice(f"level {n}", 3, (0, 1, 2, 3, 4)),
                SpteColumn(f"spte {n}"),
            )
        ),
    ],
    gives=[f"{what} {n}" for n in range(STEPS) for what in ("gfn and level", "spte")],
    modes=("npt", "ept-ad"),
    scalar=True,
    mutants=[
        Mutant(TDP_ITER_C, "if (iter->level == iter->min_level)", "if (iter->level < iter->min_level)"),
        Mutant(
            TDP_ITER_C,
            "\tif (iter->yielded) {\n\t\ttdp_iter_restart(iter);\n\t\treturn;\n\t}",
            "\tif (iter->yielded)\n\t\ttdp_iter_restart(iter);",
        ),
        Mutant(TDP_ITER_C, "iter->next_last_level_gfn = iter->gfn;", ""),
        Mutant(
            TDP_ITER_C, "\titer->old_spte = kvm_tdp_mmu_read_spte(iter->sptep);\n\n\tchild_pt", "\tchild_pt"
        ),
    ],
)
