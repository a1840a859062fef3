# SPDX-License-Identifier: GPL-2.0-only
"""Property: the TDP MMU's walk over its tables."""

from conformance.differential.columns import Bits, Choice, SpteColumn
from conformance.differential.legality.needs import Callers, Need, entry
from conformance.differential.outputs import Number, Spte
from conformance.differential.property import declare
from conformance.kernels.substitutions import ITER_C, Substitution
from conformance.model.semantics import Semantics
from conformance.model.tdp_mmu import tdp_iter as model
from conformance.model.words import ALL, Word, either

GROUP = "tdp"
PLACED = 5
"""How many entries of a generated tree are given; the tables above them follow."""
STEPS = 16
"""How many steps of a walk are observed."""


def tdp_iter(k: Semantics, *columns: Word) -> tuple[Word, ...]:
    """The walk over a tree of generated entries, from a gfn on, with yields and zaps in between."""
    root_level, min_level, start, yields, zaps, *placed = map(int, columns)
    tables = model.Tables(k, root_level)
    for n in range(0, len(placed), 3):
        gfn, level, spte = placed[n : n + 3]
        if 0 < level <= root_level:
            tables.place(gfn, level, spte)
    seen: list[int] = []
    iterator = model.tdp_iter(tables, min_level, start)
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
    gives=[output for n in range(STEPS) for output in (Number(f"gfn and level {n}"), Spte(f"spte {n}"))],
    modes=("npt", "ept-ad"),
    scalar=True,
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
