# SPDX-License-Identifier: GPL-2.0-only
"""Sides: why one cannot answer, access bits in its own numbering, and what the death of one comes to."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from model_side import KernelLike, compared

from conformance.differential.columns import Access
from conformance.differential.comparison import Comparison
from conformance.differential.properties import PROPERTIES
from conformance.differential.sides import ModelSide, OracleSide, why_incomparable
from conformance.differential.verdict import Verdict
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of

SIX_ONE = profile_of((6, 1))
LARGE = PROPERTIES["is_large_pte"]
SHADOW = MODES["shadow"]


def on_large(case):
    return bool(case[0] & 1 << 7)


def side_of(tmp_path, text, **why_not):
    header = tmp_path / "arch/x86/kvm/mmu/spte.h"
    header.parent.mkdir(parents=True)
    header.write_text(text)
    return OracleSide(SimpleNamespace(entries={}, why_not=why_not), SIX_ONE, source=tmp_path)


def test_a_function_that_is_there_is_never_said_to_be_missing(tmp_path):
    side = side_of(tmp_path, "\nstatic inline int is_large_pte(u64 pte, int level)\n{\n\treturn 0;\n}\n")
    absence = side.absence(LARGE)
    assert absence.verdict is Verdict.MISS
    assert "the source defines it (arch/x86/kvm/mmu/spte.h:2)" in absence.reason
    assert "conformance/oracles/c/entries" in absence.reason
    gone = side.absence(PROPERTIES["is_mmio_spte"])
    assert gone.verdict is Verdict.MISS and gone.reason.endswith("the source has no such function")


def test_what_an_oracle_cannot_call_is_skipped_for_its_reason(tmp_path):
    absence = side_of(tmp_path, "", is_large_pte="the compiler inlined it").absence(LARGE)
    assert (absence.verdict, absence.reason) == (Verdict.SKIP, "the compiler inlined it")


def test_a_model_has_what_its_profile_has():
    prop = PROPERTIES["spte_permission_fault"]
    assert ModelSide(profile_of((7, 3))).absence(prop) is None
    assert ModelSide(SIX_ONE).absence(prop).verdict is Verdict.SKIP


def test_access_bits_are_translated_into_those_of_the_side():
    prop, mode = PROPERTIES["kvm_mmu_page_set_access"], MODES["npt-me"]
    before, after = ModelSide(profile_of((6, 12))), ModelSide(profile_of((7, 2)))
    batch = Comparison(prop, mode, before, after).draw(np.random.default_rng(1), 50)
    at = next(n for n, column in enumerate(prop.takes) if isinstance(column, Access))
    sides = before.semantics(mode), after.semantics(mode)
    after.submit(prop, mode, batch, sides[0])
    given = after._submitted[2][at].tolist()
    assert given == [prop.takes[at].translated(word, *sides) for word in batch[at].tolist()]
    assert given != batch[at].tolist()
    after.submit(prop, mode, batch, None)
    assert after._submitted[2] is batch


def test_words_that_are_not_the_same_spte_are_not_compared():
    assert "moved" in why_incomparable(LARGE, SIX_ONE, profile_of((7, 3)))
    assert why_incomparable(LARGE, SIX_ONE, SIX_ONE) == ""
    assert why_incomparable(PROPERTIES["spte_index"], SIX_ONE, profile_of((7, 3))) == ""


@pytest.mark.parametrize("dying", ["left", "right"])
def test_the_death_of_one_side_is_a_difference(dying):
    dead, alive = KernelLike(SIX_ONE, dies=on_large), ModelSide(SIX_ONE)
    sides = (dead, alive) if dying == "left" else (alive, dead)
    found = Comparison(LARGE, SHADOW, *sides).compare(np.array([[0, 1 << 7, 0]], np.uint64))
    assert found.case == (1 << 7,) and found.crash == "died of SIGSEGV"
    words = {"left": found.left, "right": found.right}
    assert words.pop(dying) == () and words.popitem()[1] == (1, 0)


def test_sides_that_die_on_the_same_case_agree():
    sides = (KernelLike(SIX_ONE, dies=on_large), KernelLike(SIX_ONE, dies=on_large))
    comparison = Comparison(LARGE, SHADOW, *sides)
    assert comparison.compare(np.array([[0, 1 << 7, 0]], np.uint64)) is None
    assert comparison.cases == 2


def test_of_two_deaths_the_first_is_the_difference():
    sides = KernelLike(SIX_ONE, dies=lambda case: case[0] == 2), KernelLike(SIX_ONE, dies=on_large)
    found = Comparison(LARGE, SHADOW, *sides).compare(np.array([[0, 1 << 7, 2]], np.uint64))
    assert found.case == (1 << 7,) and found.left == (1, 0) and found.right == ()


def test_an_output_can_be_ignored():
    prop = PROPERTIES["kvm_tdp_mmu_write_spte"]
    whole = compared(prop, MODES["npt"], SIX_ONE)
    accesses = next(output for output in prop.gives if output.name == "accesses")
    rest = whole.ignoring(type(accesses))
    batch = whole.draw(np.random.default_rng(1), 20)
    row = [output.name for output in prop.gives].index("accesses")
    assert whole.answer(whole.left, batch)[row].any() and not rest.answer(rest.left, batch)[row].any()
