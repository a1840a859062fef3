# SPDX-License-Identifier: GPL-2.0-only
"""Properties: how the TDP MMU writes SPTEs, and walks its tables."""

from conformance.differential.columns import Bits, Choice, SpteColumn
from conformance.differential.legality.needs import Callers, Case, Need, becomes, entry, leaf, need, same_page
from conformance.differential.property import ANY_MODE, TDP_MODES, declare
from conformance.kernels.substitutions import ITER_C, ITER_H, Substitution
from conformance.model.changes import (
    CLEAR_SPTE_BITS,
    CLEAR_SPTE_BITS_ATOMIC,
    NEED_ATOMIC_WRITE,
    TDP_XCHG,
)
from conformance.model.layout import PT_WRITABLE_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte import tdp_write
from conformance.model.tdp_mmu.tdp_iter import Tables
from conformance.model.tdp_mmu.tdp_iter import tdp_iter as walk
from conformance.model.words import ALL, Truth, Word, any_set, either

GROUP = "tdp"
MEMORY = SpteColumn("memory")
OLD = SpteColumn("old_spte", near="memory")
NEW = SpteColumn("new_spte", near="memory")
MASK = Bits("mask", dense=True)
LEVEL = Choice("level", 3, (1, 2, 3, 4))


def _level(k: Semantics, case: Case) -> Word:
    return case["level"]


def _is_cleared(k: Semantics, case: Case) -> Truth:
    mask = case["mask"]
    return (mask == k.shadow_accessed_mask) | (mask == k.shadow_dirty_mask) | (mask == PT_WRITABLE_MASK)


def _nearest_mask(k: Semantics, case: Case) -> dict[str, Word]:
    mask = case["mask"]
    other = either(any_set(mask, k.shadow_dirty_mask), k.shadow_dirty_mask, k.shadow_accessed_mask)
    if not k.shadow_accessed_mask:
        other = (mask & 0) | PT_WRITABLE_MASK
    return {
        "mask": either(
            _is_cleared(k, case), mask, either(any_set(mask, PT_WRITABLE_MASK), PT_WRITABLE_MASK, other)
        )
    }


CLEARED = need("mask is none of Accessed, Dirty and W", _is_cleared, _nearest_mask)
WRITES = Callers(
    "tdp_mmu_set_spte() and handle_removed_pt() pass what they have read and the level of its table; in"
    " between, fast page faults and the processor may change it. A leaf never comes to map another page.",
    (
        entry("old_spte", _level),
        becomes("old_spte", "memory"),
        entry("new_spte", _level),
        same_page("old_spte", "new_spte", _level),
    ),
)
REPLACES = Callers(
    "tdp_mmu_set_spte_atomic() and handle_removed_pt() replace what an entry holds by what it may hold.",
    (entry("memory"), entry("new_spte")),
)
CLEARS = Callers(
    "Aging clears Accessed, and the dirty log Dirty or W, of a shadow-present leaf SPTE that they have read.",
    (
        leaf("old_spte", lambda k, case: either(case["level"] <= 3, case["level"], 3)),
        becomes("old_spte", "memory"),
        CLEARED,
    ),
)
WRITTEN = ("value", "memory after", "accesses")

declare(
    tdp_write.kvm_tdp_mmu_write_spte,
    GROUP,
    [MEMORY, OLD, NEW, LEVEL],
    gives=WRITTEN,
    truths=("accesses",),
    modes=TDP_MODES,
    sptes=("value", "memory after"),
    callers=WRITES,
    mutants=[
        Substitution(ITER_H, "    spte_has_volatile_bits(old_spte))", "    is_writable_pte(old_spte))"),
        Substitution(ITER_H, "is_last_spte(old_spte, level) &&", ""),
        Substitution(
            ITER_H,
            "\t__kvm_tdp_mmu_write_spte(sptep, new_spte);\n\treturn old_spte;",
            "\t__kvm_tdp_mmu_write_spte(sptep, new_spte);\n\treturn new_spte;",
        ),
    ],
)
declare(
    tdp_write.kvm_tdp_mmu_write_spte_atomic,
    GROUP,
    [MEMORY, NEW],
    gives=WRITTEN,
    truths=("accesses",),
    modes=TDP_MODES,
    since=TDP_XCHG,
    sptes=("value", "memory after"),
    callers=REPLACES,
    mutants=[
        Substitution(
            ITER_H,
            "return xchg(rcu_dereference(sptep), new_spte);",
            "u64 old = *sptep; WRITE_ONCE(*sptep, new_spte); return old;",
        )
    ],
)
declare(
    tdp_write.__kvm_tdp_mmu_write_spte,
    GROUP,
    [MEMORY, NEW],
    gives=WRITTEN,
    truths=("accesses",),
    modes=TDP_MODES,
    since=TDP_XCHG,
    sptes=("value", "memory after"),
    callers=REPLACES,
    mutants=[
        Substitution(ITER_H, "WRITE_ONCE(*rcu_dereference(sptep), new_spte);", "xchg(sptep, new_spte);")
    ],
)
declare(
    tdp_write.kvm_tdp_mmu_spte_need_atomic_write,
    GROUP,
    [SpteColumn("old_spte"), LEVEL],
    modes=TDP_MODES,
    since=NEED_ATOMIC_WRITE,
    callers=Callers(
        "kvm_tdp_mmu_write_spte() and tdp_mmu_clear_spte_bits() pass an entry and the level of its table.",
        (entry("old_spte", _level),),
    ),
    mutants=[Substitution(ITER_H, "return is_shadow_present_pte(old_spte) &&", "return true &&", "6.12")],
)
declare(
    tdp_write.tdp_mmu_clear_spte_bits,
    GROUP,
    [MEMORY, OLD, MASK, LEVEL],
    gives=WRITTEN,
    truths=("accesses",),
    modes=TDP_MODES,
    since=CLEAR_SPTE_BITS,
    sptes=("value", "memory after"),
    callers=CLEARS,
    mutants=[
        Substitution(ITER_H, "(sptep, old_spte & ~mask)", "(sptep, *sptep & ~mask)", "6.12"),
        Substitution(
            ITER_H,
            "return (u64)atomic64_fetch_and(~mask, sptep_atomic);",
            "return (u64)atomic64_fetch_and(~mask, sptep_atomic) & ~mask;",
            "6.12",
        ),
    ],
)
declare(
    tdp_write.tdp_mmu_clear_spte_bits_atomic,
    GROUP,
    [MEMORY, MASK],
    gives=WRITTEN,
    truths=("accesses",),
    modes=ANY_MODE,
    since=CLEAR_SPTE_BITS_ATOMIC,
    sptes=("value", "memory after"),
    callers=Callers(
        "tdp_mmu_clear_spte_bits() and aging pass an entry with a shadow-present leaf SPTE.",
        (leaf("memory"), CLEARED),
    ),
    mutants=[
        Substitution(
            ITER_H,
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


def tdp_iter(k: Semantics, *columns: Word) -> tuple[Word, ...]:
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


def _placed(n: int) -> Need:
    """An entry of the tree holds what it may at its level; tables are made as they are needed."""
    return entry(f"spte {n}", lambda k, case: either(case[f"level {n}"] == 0, 1, case[f"level {n}"]))


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
    sptes=[f"spte {n}" for n in range(STEPS)],
    callers=Callers(
        "for_each_tdp_pte() walks the tables of a root, whose entries hold what the TDP MMU has made.",
        tuple(_placed(n) for n in range(PLACED)),
    ),
    mutants=[
        Substitution(ITER_C, "if (iter->level == iter->min_level)", "if (iter->level < iter->min_level)"),
        Substitution(
            ITER_C,
            "\tif (iter->yielded) {\n\t\ttdp_iter_restart(iter);\n\t\treturn;\n\t}",
            "\tif (iter->yielded)\n\t\ttdp_iter_restart(iter);",
        ),
        Substitution(ITER_C, "iter->next_last_level_gfn = iter->gfn;", ""),
        Substitution(
            ITER_C, "\titer->old_spte = kvm_tdp_mmu_read_spte(iter->sptep);\n\n\tchild_pt", "\tchild_pt"
        ),
    ],
)
