# SPDX-License-Identifier: GPL-2.0-only
"""The engines, against a model with one change more or less: they find it and shrink it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from model_side import compared as compare_models

from conformance.differential.engines import bulk, control_space, exhaust, fuzz
from conformance.differential.properties import PROPERTIES
from conformance.differential.shrinking import shrink
from conformance.differential.sides import OracleSide
from conformance.errors import ConformanceError
from conformance.model.changes import (
    ACCESSED_NOT_VOLATILE,
    TDP_XCHG,
    WRITABLE_NOT_VOLATILE,
)
from conformance.model.layout import PT_WRITABLE_MASK
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import profile_of
from conformance.model.words import ALL
from conformance.oracles.child import Entry

SIX_ONE = profile_of((6, 1))


def comparison(name, oracle_profile=SIX_ONE, mode="ept-ad", **how):
    return compare_models(PROPERTIES[name], MODES[mode], SIX_ONE, oracle_profile, **how)


def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("name", ["spte_has_volatile_bits", "make_spte", "mmu_spte_update"])
def test_bulk_agrees_with_itself(name):
    compared = comparison(name)
    assert bulk(compared, rng()) is None
    assert compared.cases > 1000


def test_bulk_finds_a_missing_fix():
    found = bulk(comparison("spte_has_volatile_bits", SIX_ONE.without(WRITABLE_NOT_VOLATILE)), rng())
    assert found is not None
    assert (found.left[0], found.right[0]) == (1, 0)


def test_fuzz_finds_and_shrinks_it():
    compared = comparison("spte_has_volatile_bits", SIX_ONE.without(WRITABLE_NOT_VOLATILE))
    found = fuzz([compared], seed=1, examples=300)
    assert found is not None
    (spte,) = found[1].case
    k = compared.semantics
    assert spte & PT_WRITABLE_MASK and spte & k.shadow_mmu_writable_mask


def test_fuzz_compares_a_case_even_if_time_ended_while_it_started():
    compared = comparison("spte_has_volatile_bits")
    assert fuzz([compared], seed=1, examples=300, more_time=lambda: False) is None
    assert compared.cases == 1


def test_fuzz_repeats_with_its_seed():
    def once(seed):
        return fuzz(
            [comparison("spte_has_volatile_bits", SIX_ONE.plus(ACCESSED_NOT_VOLATILE))],
            seed=seed,
            examples=300,
        )[1].case

    assert once(5) == once(5)


def test_exhaustive_finds_the_bits_that_decide():
    compared = comparison("spte_has_volatile_bits")
    space = control_space(compared, rng())
    k = compared.semantics
    deciding = (
        PT_WRITABLE_MASK
        | k.shadow_mmu_writable_mask
        | k.shadow_accessed_mask
        | k.shadow_dirty_mask
        | k.layout.spte_tdp_ad_mask
        | k.shadow_acc_track_mask
    )
    found = sum(1 << bit for _, bits in space.bits for bit in bits)
    assert found == deciding
    assert exhaust(compared, space, rng()) is True


def test_exhaustive_knows_data_from_control():
    space = control_space(comparison("kvm_tdp_mmu_write_spte", mode="npt"), rng())
    columns = {column for column, _ in space.bits}
    assert columns == {1}, "only the old SPTE decides; memory and the new one are carried"
    assert space.choices, "and the level"


def test_exhaustive_finds_what_bulk_finds():
    compared = comparison("kvm_tdp_mmu_write_spte", SIX_ONE.without(TDP_XCHG), mode="npt")
    assert bulk(compared, rng()) is not None
    assert not isinstance(control_space(compared, rng()), bool)


def test_exhaustive_stops_when_there_is_no_more_time():
    compared = comparison("make_huge_page_split_spte")
    space = control_space(compared, rng())
    assert exhaust(compared, space, rng(), more_time=lambda: False) is False


def test_shrinking_leaves_only_what_matters():
    compared = comparison("spte_has_volatile_bits", SIX_ONE.without(WRITABLE_NOT_VOLATILE))
    smallest = shrink(compared, compared.compare_once([ALL]))
    (spte,) = smallest.case
    # W and MMU-writable make the difference; Accessed and Dirty keep it from being volatile anyway.
    k = compared.semantics
    deciding = PT_WRITABLE_MASK | k.shadow_mmu_writable_mask | k.shadow_accessed_mask | k.shadow_dirty_mask
    assert spte == deciding | k.layout.spte_mmu_present_mask, "and it stays present"


def test_shrinking_stays_where_the_function_may_be_called():
    compared = comparison("kvm_tdp_mmu_write_spte", SIX_ONE.without(TDP_XCHG), mode="npt")
    smallest = shrink(compared, bulk(compared, rng()))
    level = compared.property.takes[3]
    assert level.admits(compared.semantics, smallest.case[3])
    assert smallest.left != smallest.right


def test_a_death_is_a_difference_with_its_case():
    def on_large(case):
        return bool(case[0] & 1 << 7)

    compared = comparison("is_large_pte", mode="shadow", dies=on_large)
    found = bulk(compared, rng())
    assert found is not None and found.crash == "died of SIGSEGV"
    assert on_large(found.case)
    found = compared.compare_once([ALL])
    assert shrink(compared, found).case == (1 << 7 | compared.semantics.layout.spte_mmu_present_mask,)


def test_fuzz_reports_a_death():
    compared = comparison("is_large_pte", mode="shadow", dies=lambda case: bool(case[0] & 1 << 7))
    found = fuzz([compared], seed=1, examples=200)
    assert found is not None and found[1].crash


def test_wrong_number_of_columns_is_refused():
    oracle = SimpleNamespace(entries={"is_large_pte": Entry(0, 2, 1)})
    with pytest.raises(ConformanceError, match=r"is_large_pte: its entry in .* takes 2 words and gives 1, "):
        OracleSide(oracle, SIX_ONE).absence(PROPERTIES["is_large_pte"])


@pytest.mark.parametrize("answer", [(), (0, 1)])
def test_an_answer_of_the_model_with_another_number_of_words_is_refused(answer):
    prop = replace(PROPERTIES["is_large_pte"], answer=lambda k, spte: answer)
    with pytest.raises(ConformanceError, match=rf"the model answers {len(answer)} words, .* gives 1 word "):
        prop.observe(kernel_in(MODES["shadow"], SIX_ONE), [0])
