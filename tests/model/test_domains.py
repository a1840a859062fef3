# SPDX-License-Identifier: GPL-2.0-only
"""One source, three domains: ints, numpy arrays and z3 terms give the same answers for every property."""

from __future__ import annotations

import numpy as np
import pytest
from domains import Branched, Undecided

from conformance.differential.drawing import draw
from conformance.differential.properties import PROPERTIES
from conformance.model.modes import MODES, Mode, kernel_in
from conformance.model.profiles import profile_of

RELEASES = [(5, 10), (6, 1), (6, 12), (7, 2), (7, 3)]
VECTORS = [prop for prop in PROPERTIES.values() if not prop.scalar]


def cases_of(prop, k, n):
    return draw(prop, k, np.random.default_rng(7), n)


def existing(prop):
    return [profile_of(release) for release in RELEASES if not prop.absent(profile_of(release))]


@pytest.mark.parametrize("prop", VECTORS, ids=lambda prop: prop.name)
def test_numpy_answers_as_ints_do(prop):
    compared = 0
    for profile in existing(prop):
        for mode in prop.modes:
            k = kernel_in(MODES[mode], profile)
            batch = cases_of(prop, k, 40)
            rows = [np.broadcast_to(row, 40) for row in prop.observe(k, list(batch))]
            for n, case in enumerate(batch.T.tolist()):
                assert [int(row[n]) for row in rows] == [int(word) for word in prop.observe(k, case)]
                compared += 1
    assert compared >= 40


@pytest.mark.parametrize("prop", VECTORS, ids=lambda prop: prop.name)
def test_z3_answers_as_ints_do(prop):
    z3 = pytest.importorskip("z3")
    symbols = [z3.BitVec(column.name, 64) for column in prop.takes]
    for profile in existing(prop):
        k = kernel_in(MODES[prop.modes[-1]], profile)
        terms = prop.observe(k, symbols)
        for case in cases_of(prop, k, 4).T.tolist():
            given = [(symbol, z3.BitVecVal(word, 64)) for symbol, word in zip(symbols, case, strict=True)]
            said = []
            for term in terms:
                if not isinstance(term, int):
                    term = z3.simplify(z3.substitute(term, *given)).as_long()
                said.append(term)
            assert said == [int(word) for word in prop.observe(k, case)]


def test_z3_proves_an_equality_between_profiles():
    z3 = pytest.importorskip("z3")
    prop = PROPERTIES["spte_has_volatile_bits"]
    spte = z3.BitVec("spte", 64)

    def volatile(release):
        k = kernel_in(MODES["ept-ad"], profile_of(release))
        return prop.observe(k, [spte])[0]

    solver = z3.Solver()
    assert solver.check(volatile((6, 1)) != volatile((6, 12))) == z3.unsat
    assert solver.check(volatile((6, 1)) != volatile((5, 10))) == z3.sat


@pytest.mark.parametrize("prop", VECTORS, ids=lambda prop: prop.name)
def test_no_value_is_asked_for_its_truth(prop):
    for profile in existing(prop):
        for mode in prop.modes:
            prop.observe(kernel_in(MODES[mode], profile), [Undecided() for _ in prop.takes])


@pytest.mark.parametrize("ept", [False, True])
@pytest.mark.parametrize("prop", VECTORS, ids=lambda prop: prop.name)
def test_no_mask_is_asked_for_its_truth(prop, ept):
    host = {name: Undecided() for name, value in vars(MODES["shadow"]).items() if not isinstance(value, str)}
    mode = Mode("any", "every host", **{**host, "tdp": ept, "ept": ept})
    for profile in existing(prop):
        prop.observe(kernel_in(mode, profile), [Undecided() for _ in prop.takes])


def test_the_trap_springs():
    with pytest.raises(Branched):
        assert Undecided() & 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("release", RELEASES)
def test_z3_proves_that_changes_keep_host_writable_and_legality(release, mode):
    """The rule of the first seed, for every SPTE there is: in the model, and so in a kernel that agrees."""
    z3 = pytest.importorskip("z3")
    from conformance.model.spte import access, spte_update, states

    k = kernel_in(MODES[mode], profile_of(release))
    spte = z3.BitVec("spte", 64)
    legal = states.is_legal_state(k, spte)
    changed = [
        spte_update.spte_write_protect(k, spte, spte, z3.BoolVal(True)).memory,
        spte_update.spte_write_protect(k, spte, spte, z3.BoolVal(False)).memory,
        spte_update.spte_clear_dirty(k, spte, spte).memory,
        access.mark_spte_for_access_track(k, spte),
    ]
    solver = z3.Solver()
    for after in changed:
        kept = states.host_writable_kept(k, spte, after) & states.is_legal_state(k, after)
        assert solver.check(legal, z3.Not(kept)) == z3.unsat
