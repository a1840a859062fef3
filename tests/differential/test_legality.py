# SPDX-License-Identifier: GPL-2.0-only
"""Preconditions: they are those of the model's rules, can be met everywhere, and decide what is shown."""

from __future__ import annotations

import numpy as np
import pytest
from model_side import KernelLike
from model_side import compared as compare_models

from conformance.differential.columns import Choice, SpteColumn
from conformance.differential.comparison import ILLEGAL, QUIET, Comparison
from conformance.differential.counterexamples import counterexample
from conformance.differential.engines.bulk import bulk
from conformance.differential.properties import PROPERTIES
from conformance.differential.shrinking import mended, shrink, smallest
from conformance.differential.sides import ModelSide
from conformance.model.changes import WRITABLE_NOT_VOLATILE
from conformance.model.layout import PT_PAGE_SIZE_MASK
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import profile_of
from conformance.model.spte.decode.kinds import is_leaf, kind_of
from conformance.model.spte.illegal import complaints
from conformance.model.spte.legal import (
    has_hardware_ad,
    is_legal_leaf,
    is_legal_mmio,
    is_legal_spte,
    is_legal_table,
    may_become,
)

RELEASES = [(5, 10), (6, 1), (6, 12), (7, 2), (7, 3)]
SIX_ONE = profile_of((6, 1))
NO_MMIO = {"make_mmio_spte", "check_mmio_spte", "get_mmio_spte_gfn", "get_mmio_spte_access",
           "get_mmio_spte_generation"}  # fmt: skip


def cannot_be_called(prop, k):
    """Whether no caller reaches the function in this mode."""
    if prop.name in NO_MMIO:
        return not k.shadow_mmio_value
    if prop.name == "restore_acc_track_spte":
        return not k.shadow_acc_track_mask
    return prop.name == "spte_clear_dirty" and not has_hardware_ad(k)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("mode", MODES)
def test_legal_sptes_are_those_that_nothing_is_complained_about(release, mode):
    k = kernel_in(MODES[mode], profile_of(release))
    words = SpteColumn("spte").sample(k, np.random.default_rng(1), 600, {})
    words = np.concatenate([words, words & ~np.uint64(PT_PAGE_SIZE_MASK)])
    seen = 0
    for level in (1, 2, 3):
        legal = is_legal_leaf(k, words, level)
        for word, said in zip(words[legal].tolist(), legal[legal], strict=True):
            assert said and kind_of(k, word) == "present" and complaints(k, word, level) == []
            assert (level > 1) == bool(word & PT_PAGE_SIZE_MASK)
        seen += int(legal.sum())
    assert seen > 20
    tables, cached = is_legal_table(k, words), is_legal_mmio(k, words)
    for word, table, mmio in zip(words.tolist(), tables, cached, strict=True):
        fine = complaints(k, word) == []
        assert table == (fine and kind_of(k, word) == "present" and not is_leaf(k, word))
        assert mmio == (fine and kind_of(k, word) == "mmio")


def test_predicates_say_the_same_of_ints_and_arrays():
    k = kernel_in(MODES["ept-noad"], SIX_ONE)
    words = SpteColumn("spte").sample(k, np.random.default_rng(2), 60, {})
    others = SpteColumn("new", near="spte").sample(k, np.random.default_rng(3), 60, {"spte": words})
    for predicate in (is_legal_leaf, is_legal_table, is_legal_mmio, is_legal_spte):
        assert [bool(predicate(k, word)) for word in words.tolist()] == predicate(k, words).tolist()
    both = zip(words.tolist(), others.tolist(), strict=True)
    assert [bool(may_become(k, *pair)) for pair in both] == may_become(k, words, others).tolist()


@pytest.mark.parametrize("name", PROPERTIES)
def test_callers_are_stated(name):
    callers, takes = PROPERTIES[name].callers, PROPERTIES[name].takes
    assert callers.sentence.endswith(".") and len(callers.sentence) > 20
    # Where every input is one of few values, a caller may be able to give all of them.
    assert callers.needs or all(isinstance(column, Choice) for column in takes)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", PROPERTIES)
def test_every_case_can_be_mended_and_then_the_model_does_not_complain(name, release):
    prop, profile = PROPERTIES[name], profile_of(release)
    if prop.absent(profile):
        return
    for mode in prop.modes:
        comparison = compare_models(prop, MODES[mode], profile)
        k = comparison.semantics
        batch = comparison.draw(np.random.default_rng(4), 200)
        legal = mended(prop, k, batch)
        assert legal.shape[1] == (0 if cannot_be_called(prop, k) else 200), mode
        if not legal.shape[1]:
            continue
        assert not any(prop.broken(k, case) for case in legal.T.tolist()[:20])
        happened = comparison.answer(comparison.right, legal)[-1]
        for n, event in enumerate(prop.events):
            if event.startswith(("WARN", "BUG")):
                assert not ((happened >> np.uint64(8 * n)) & np.uint64(0xFF)).any(), (mode, event)


@pytest.mark.parametrize(
    "name", ["make_huge_page_split_spte", "make_huge_spte", "mark_spte_for_access_track"]
)
def test_what_is_made_of_legal_sptes_is_legal(name):
    prop, profile = PROPERTIES[name], profile_of((7, 3))
    for mode in prop.modes:
        comparison = compare_models(prop, MODES[mode], profile)
        legal = mended(prop, comparison.semantics, comparison.draw(np.random.default_rng(5), 400))
        assert is_legal_leaf(comparison.semantics, comparison.answer(comparison.right, legal)[0]).all(), mode


def test_what_was_broken_is_named():
    prop = PROPERTIES["make_huge_page_split_spte"]
    k = kernel_in(MODES["ept-ad"], SIX_ONE)
    huge = 0x0600000000000BF7
    assert prop.broken(k, (0x800, 1, 7, 0, 0, 0)) == "huge_spte is not huge"
    assert prop.broken(k, (0, 1, 7, 0, 0, 0)) == "huge_spte is not shadow-present"
    assert prop.broken(k, (huge, 1, 7, 0, 1, 0)) == "huge_spte is executable with NX huge pages on"
    assert prop.broken(k, (huge, 1, 1, 0, 0, 0)) == "access lacks what huge_spte grants"
    assert prop.broken(k, (huge, 1, 7, 0, 0, 0)) == ""
    assert "MMU-writable is set without Host-writable" in prop.broken(k, (huge & ~(1 << 57), 1, 7, 0, 0, 0))


class Altered(KernelLike):
    """Answers as the model but for what ``alter`` makes of a batch and its answers."""

    def __init__(self, profile, alter):
        super().__init__(profile)
        self.alter = alter

    def collect(self):
        batch, rows = self.batch, super().collect()
        return self.alter(batch, rows.copy())


def altered(name, alter, mode="ept-ad", profile=SIX_ONE):
    return Comparison(PROPERTIES[name], MODES[mode], Altered(profile, alter), ModelSide(profile))


def test_a_legal_input_is_preferred():
    compared = compare_models(
        PROPERTIES["spte_has_volatile_bits"],
        MODES["ept-ad"],
        SIX_ONE,
        SIX_ONE.without(WRITABLE_NOT_VOLATILE),
    )
    k = compared.semantics
    # W and MMU-writable without Host-writable: not legal, but it differs.
    illegal = k.layout.spte_mmu_present_mask | k.shadow_mmu_writable_mask | 2 | 0x300
    found = compared.compare_once([illegal])
    assert compared.rank(found.case) == ILLEGAL
    shown = smallest(compared, found, np.random.default_rng(1))
    assert compared.rank(shown.case) == QUIET and shown.tried == 0
    told = counterexample(compared, shown, "again")
    assert told.legal is True and told.precondition == ""


def test_what_no_caller_can_reach_is_marked_with_the_number_of_tries():
    def ignores_large(batch, rows):
        rows[0] = np.where(batch[0] & np.uint64(PT_PAGE_SIZE_MASK) == 0, rows[0] ^ np.uint64(1), rows[0])
        return rows

    compared = altered("make_huge_page_split_spte", ignores_large)
    found = bulk(compared, np.random.default_rng(1))
    shown = smallest(compared, found, np.random.default_rng(1))
    told = counterexample(compared, shown, "again")
    assert told.legal is False
    assert told.precondition.startswith("this input breaks the precondition: huge_spte is not")
    assert shown.tried > 1000 and f"in {shown.tried:,} tries" in told.precondition


def test_shrinking_stops_when_there_is_no_more_time():
    compared = altered("is_large_pte", lambda batch, rows: rows ^ np.uint64(1), mode="shadow")
    found = compared.compare_once([0x12345881])
    assert shrink(compared, found, lambda: False).case == found.case
    assert shrink(compared, found).case != found.case


@pytest.mark.parametrize("release", [(5, 10), (6, 1), (7, 3)])
def test_z3_finds_legal_inputs(release):
    z3 = pytest.importorskip("z3")
    pytest.importorskip("pypcode")
    from conformance.differential.proving.every_input import every_input
    from conformance.differential.proving.proofs import legally

    profile = profile_of(release)
    for prop in PROPERTIES.values():
        if prop.absent(profile):
            continue
        k = kernel_in(MODES[prop.modes[-1]], profile)
        inputs = every_input(prop, k)
        solver = z3.Solver()
        solver.add(legally(prop, k, inputs, prop.modes[-1]), *inputs.restrictions)
        assert solver.check() == z3.sat, prop.name
        model = solver.model()
        case = [model.eval(word, model_completion=True).as_long() for word in inputs.words]
        assert prop.broken(k, case) == "", prop.name
