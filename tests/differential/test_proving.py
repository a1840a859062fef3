# SPDX-License-Identifier: GPL-2.0-only
"""The proof engine: what it proves, and that it is not taken in by needles, flipped bits or slow solvers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pypcode")
z3 = pytest.importorskip("z3")

from conformance.differential.engines.bulk import draw  # noqa: E402
from conformance.differential.properties import PROPERTIES  # noqa: E402
from conformance.differential.proving.hosts import KINDS, EveryHost  # noqa: E402
from conformance.differential.proving.proofs import prove  # noqa: E402
from conformance.differential.proving.sides import Code, ModelSide  # noqa: E402
from conformance.differential.proving.solving import Unproved  # noqa: E402
from conformance.differential.run import Plan, run  # noqa: E402
from conformance.differential.verdict import PROVE, Verdict  # noqa: E402
from conformance.model.modes import MODES, kernel_in  # noqa: E402
from conformance.model.profiles import Profile, profile_of  # noqa: E402
from conformance.model.words import when  # noqa: E402
from conformance.oracles.shim.image import shim_image  # noqa: E402

PROVABLE = [name for name, prop in PROPERTIES.items() if not prop.scalar]


def quiet(line):
    pass


@pytest.fixture(scope="module")
def code(library, profile):
    return Code(shim_image(library), profile)


@pytest.fixture(scope="module")
def model(profile):
    return ModelSide(profile)


@pytest.mark.kernel
def test_every_property_is_proved(kernel, profile):
    report = run(Plan(kernels=(kernel.selector,), engines=(PROVE,)), progress=quiet)
    (judged,) = report.kernels
    told = {result.property: result for result in judged.results}
    for name, prop in PROPERTIES.items():
        if prop.absent(profile):
            assert told[name].verdict is Verdict.SKIP and told[name].reason == prop.absent(profile)
        elif prop.scalar:
            assert told[name].verdict is Verdict.SKIP and told[name].reason.startswith("unproved: ")
        else:
            assert told[name].verdict is Verdict.PASS, told[name].reason
            assert told[name].cases >= 1000, "the formulas are held against the processor"
    assert report.status == 0


@pytest.mark.kernel
@pytest.mark.parametrize("name", PROVABLE)
def test_a_needle_in_any_observed_word_is_found(name, code, model, profile):
    """The model is changed for one input out of all, in one bit of one observed word."""
    prop = PROPERTIES[name]
    if prop.absent(profile):
        pytest.skip(prop.absent(profile))
    kind = next(kind for kind in KINDS if EveryHost(kind).named(prop.modes))
    mode = MODES[EveryHost(kind).named(prop.modes)[0]]
    k = kernel_in(mode, profile)
    (needle,) = draw(_Drawing(prop, k), np.random.default_rng(1), 1).T.tolist()
    for at in range(len(prop.gives) + 1):
        refutation = prove(prop, (code, _Mutated(model, at, needle)), 60).refutation
        assert refutation is not None, f"word {at}"
        assert list(refutation.case) == needle


class _Drawing:
    """As much of a comparison as drawing cases needs."""

    def __init__(self, prop, kernel):
        self.property = prop
        self.kernel = kernel


class _Mutated:
    """A model that is wrong about one input: bit 3 of one of its words."""

    def __init__(self, model, at, needle):
        self.model, self.at, self.needle = model, at, needle

    def kernel(self, hosts):
        return self.model.kernel(hosts)

    def observe(self, prop, hosts, inputs, deadline):
        seen = self.model.observe(prop, hosts, inputs, deadline)
        here = z3.And(*(word == value for word, value in zip(inputs.words, self.needle, strict=True)))
        words = list(seen.words)
        words[self.at] = words[self.at] ^ when(here, z3.BitVecVal(8, 64))
        return replace(seen, words=tuple(words))


def test_two_profiles_of_the_model_are_told_apart():
    sides = ModelSide(profile_of((6, 1))), ModelSide(profile_of((6, 12)))
    assert prove(PROPERTIES["spte_has_volatile_bits"], sides, 10).proved
    found = prove(PROPERTIES["is_frozen_spte"], sides, 10).refutation
    assert found is not None and found.mode.name in MODES


@pytest.mark.kernel
def test_a_missing_change_is_found_with_the_hosts_that_show_it(code, profile):
    """EPT without A/D bits is the only host on which the kinds of volatile bits differ in this way."""
    lacking = replace(profile) if not isinstance(profile, Profile) else profile
    from conformance.model.changes import CHANGES

    change = CHANGES["WRITABLE_NOT_VOLATILE"]
    changes = profile.changes ^ {change}
    other = ModelSide(Profile(lacking.name, frozenset(changes)))
    found = prove(PROPERTIES["spte_has_volatile_bits"], (code, other), 10).refutation
    assert found is not None


@pytest.mark.kernel
def test_a_solver_without_time_proves_nothing(code, model):
    class Late(ModelSide):
        def observe(self, *args):
            raise Unproved("the solver gave up on value within 0.1 s")

    proof = prove(PROPERTIES["is_writable_pte"], (code, Late(model.profile)), 10)
    assert not proof.proved and proof.refutation is None
    assert "gave up" in proof.unproved


@pytest.mark.kernel
def test_no_time_at_all_is_no_proof(library, profile, model):
    proof = prove(PROPERTIES["make_spte"], (Code(shim_image(library), profile), model), 1e-6)
    assert not proof.proved and proof.unproved


def test_models_are_compared_without_a_kernel():
    from conformance.differential.proving.run import between

    same = between(("model:6.1", "model:6.1"), ("is_*",), 10, 1, quiet)
    assert same.status == 0
    told = between(("model:6.1", "model:6.12"), ("is_frozen_spte",), 10, 1, quiet)
    (result,) = told.kernels[0].results
    assert result.verdict is Verdict.FAIL
    assert result.counterexample.sides == ("model:6.1", "model:6.12")
    assert result.counterexample.again.startswith("conformance prove --between model:6.1 model:6.12")
