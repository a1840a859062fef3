# SPDX-License-Identifier: GPL-2.0-only
"""The proof engine: what it proves, and that it is not taken in by needles, flipped bits or slow solvers."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("pypcode")
z3 = pytest.importorskip("z3")

from conformance.differential.columns import Access  # noqa: E402
from conformance.differential.drawing import draw  # noqa: E402
from conformance.differential.properties import PROPERTIES  # noqa: E402
from conformance.differential.property_plan import PropertyPlan  # noqa: E402
from conformance.differential.proving.every_host import KINDS, EveryHost  # noqa: E402
from conformance.differential.proving.proof_workers import _Worker, prove_all  # noqa: E402
from conformance.differential.proving.proofs import Refutation, prove  # noqa: E402
from conformance.differential.proving.side_specs import Pair, SideSpec, model_spec, shim_spec  # noqa: E402
from conformance.differential.proving.solving import Deadline, Unproved, find  # noqa: E402
from conformance.differential.proving.term_sides import CodeTerms, ModelTerms  # noqa: E402
from conformance.differential.run_properties import run  # noqa: E402
from conformance.differential.verdict import PROVE, Result, Verdict  # noqa: E402
from conformance.model.changes import CHANGES  # noqa: E402
from conformance.model.modes import MODES, kernel_in  # noqa: E402
from conformance.model.profiles import Profile, profile_of  # noqa: E402
from conformance.model.words import when  # noqa: E402
from conformance.oracles.shim.image import shim_image  # noqa: E402
from conformance.symbolic import Machine  # noqa: E402
from conformance.symbolic.executing import Run  # noqa: E402

PROVABLE = [name for name, prop in PROPERTIES.items() if not prop.scalar]


def quiet(line):
    pass


@pytest.fixture(scope="module")
def code(library, profile):
    return CodeTerms(shim_image(library), profile)


@pytest.fixture(scope="module")
def model(profile):
    return ModelTerms(profile)


@pytest.mark.kernel
def test_every_property_is_proved(kernel, profile):
    report = run(PropertyPlan(kernels=(kernel.selector,), engines=(PROVE,)), progress=quiet)
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
    (needle,) = draw(prop, k, np.random.default_rng(1), 1).T.tolist()
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

    def semantics(self, hosts):
        return self.model.semantics(hosts)

    def answer(self, prop, hosts, inputs, deadline):
        seen = self.model.answer(prop, hosts, inputs, deadline)
        here = z3.And(*(word == value for word, value in zip(inputs.words, self.needle, strict=True)))
        words = list(seen.words)
        words[self.at] = words[self.at] ^ when(here, z3.BitVecVal(8, 64))
        return replace(seen, words=tuple(words))


def test_two_profiles_of_the_model_are_told_apart():
    sides = ModelTerms(profile_of((6, 1))), ModelTerms(profile_of((6, 12)))
    assert prove(PROPERTIES["spte_has_volatile_bits"], sides, 10).proved
    found = prove(PROPERTIES["is_frozen_spte"], sides, 10).refutation
    assert found is not None and found.mode.name in MODES


@pytest.mark.kernel
def test_a_missing_change_is_found_with_the_hosts_that_show_it(code, profile):
    """EPT without A/D bits is the only host on which the kinds of volatile bits differ in this way."""
    change = CHANGES["WRITABLE_NOT_VOLATILE"]
    other = ModelTerms(Profile(profile.name, profile.changes ^ {change}))
    found = prove(PROPERTIES["spte_has_volatile_bits"], (code, other), 10).refutation
    assert found is not None


def test_each_side_gets_access_in_its_own_bits():
    """Before v7.2 read access had no bit, and all others were other ones."""
    prop, seen = PROPERTIES["kvm_mmu_page_set_access"], []
    (column,) = (column for column in prop.takes if isinstance(column, Access) and column.name == "access")
    at = prop.takes.index(column)

    class Watched(ModelTerms):
        def answer(self, prop, hosts, inputs, deadline):
            seen.append((inputs.words[at], self.semantics(hosts)))
            return super().answer(prop, hosts, inputs, deadline)

    prove(prop, (Watched(profile_of((6, 12))), Watched(profile_of((7, 2)))), 10)
    (ours, before), (theirs, after) = seen[:2]
    for value in column.choices(before):
        given = z3.simplify(z3.substitute(theirs, (z3.BitVec("access", 3), z3.BitVecVal(value, 3))))
        assert given.as_long() == column.translated(value, before, after)
    assert not ours.eq(theirs)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"died": z3.BoolVal(True)}, "both crash"),
        ({"undefined": frozenset({"undefined memory at 0x8"})}, "both depend on undefined memory at 0x8"),
    ],
)
def test_what_is_no_answer_is_not_equal(seen, told, profile):
    class Other(ModelTerms):
        def answer(self, *args):
            return replace(super().answer(*args), **seen)

    prop = PROPERTIES["is_writable_pte"]
    proof = prove(prop, (Other(profile), Other(profile)), 10)
    assert not proof.proved and told in proof.unproved
    one_sided = prove(prop, (Other(profile), ModelTerms(profile)), 10)
    assert one_sided.proved == ("undefined" in seen), "one side's is proved for whatever it is"


@pytest.mark.kernel
def test_a_path_that_is_lost_is_no_proof(library, profile, model, monkeypatch):
    prop, code = PROPERTIES["mark_spte_for_access_track"], CodeTerms(shim_image(library), profile)
    assert prove(prop, (code, model), 20).proved

    def careless(self, path, block, bit):
        path.point = block.after
        path.condition = self.conditions.both(path.condition, self.conditions.negate(self.conditions.of(bit)))
        return path if path.condition else None

    # The names of its events are in the machine already.
    monkeypatch.setattr(Machine, "expect", lambda self, names: None)
    monkeypatch.setattr(Run, "_branch", careless)
    proof = prove(prop, (code, model), 20)
    assert not proof.proved and "not followed to its end" in proof.unproved


@pytest.mark.kernel
@pytest.mark.parametrize("mode", ["shadow", "npt", "ept-ad"])
def test_the_hosts_of_one_mode(mode, kernel, library):
    """Also of a mode that is none of those in which a property that reads no mask is usually compared."""
    names = ["spte_ad_enabled", "is_writable_pte"]
    shim = shim_spec(kernel, library)
    pair = Pair(shim, model_spec(shim.profile))
    results = list(prove_all(pair, names, 20, 1, (), (mode,)))
    assert [result.verdict for result in results] == [Verdict.PASS, Verdict.PASS]
    assert all(result.reason.endswith(f"the hosts of {mode}") for result in results)


@pytest.mark.kernel
def test_masks_that_are_not_the_model_s_refute_those_who_set_and_use_them(library, kernel):
    """Another kernel's model takes other bits for host-writable, and has a variable for A/D bits or none."""
    other = profile_of((6, 1) if kernel.series.startswith("7.") else (7, 2))
    code = CodeTerms(shim_image(library), other)
    for name in ("kvm_mmu_set_ept_masks", "spte_has_volatile_bits"):
        found = prove(PROPERTIES[name], (code, ModelTerms(other)), 60).refutation
        assert found is not None, name


@pytest.mark.kernel
def test_a_host_that_is_none_of_a_mode_is_found_again_by_proving(kernel, library, profile):
    change = CHANGES["WRITABLE_NOT_VOLATILE"]
    other_profile = Profile(profile.name, profile.changes ^ {change})
    pair = Pair(replace(shim_spec(kernel, library), profile=other_profile), model_spec(other_profile))
    prop = PROPERTIES["spte_has_volatile_bits"]
    with _Worker(pair, ("--kernel", kernel.series)) as worker:
        result = worker.judge(prop, 20, (), Deadline(math.inf))
        assert "--mode" in result.counterexample.again and "--case" in result.counterexample.again
        mode = MODES[result.mode]
        other = replace(mode, name="a host with 37 bits", phys_bits=37, cache_bits=37)
        case = tuple(result.counterexample.inputs.values())
        result = worker._replayed(
            prop, Refutation(other, case, "value"), partial(Result, prop.name, "shim", PROVE)
        )
    assert result.verdict is Verdict.FAIL and result.mode == other.name
    assert result.counterexample.again == (
        f"conformance run --kernel {kernel.series} --only spte_has_volatile_bits --engine prove"
    )


def test_processes_that_end_are_told_for_each_property(profile):
    """As when the solver is killed for the memory that it takes."""
    ending = SideSpec(profile, "kernel", "shim", (partial(os._exit, 3), partial(os._exit, 3)))
    results = list(prove_all(Pair(ending, model_spec(profile)), ["is_writable_pte", "spte_index"], 5, 2, ()))
    assert [result.property for result in results] == ["is_writable_pte", "spte_index"]
    assert all(result.verdict is Verdict.ERROR and "the process" in result.reason for result in results)


def test_every_mode_is_one_of_the_hosts_that_are_meant():
    for name, mode in MODES.items():
        (hosts,) = (each for each in map(EveryHost, KINDS) if each.named([name]))
        assert find([*hosts.restrictions, hosts.is_mode(name)], Deadline(10), name) is not None
        assert mode.host() == {**hosts.one(find([hosts.is_mode(name)], Deadline(10), name)).host()}


@pytest.mark.kernel
def test_a_solver_without_time_proves_nothing(code, model):
    class Late(ModelTerms):
        def answer(self, *args):
            raise Unproved("the solver gave up on value within 0.1 s")

    proof = prove(PROPERTIES["is_writable_pte"], (code, Late(model.profile)), 10)
    assert not proof.proved and proof.refutation is None
    assert "gave up" in proof.unproved


@pytest.mark.kernel
def test_no_time_at_all_is_no_proof(library, profile, model):
    proof = prove(PROPERTIES["make_spte"], (CodeTerms(shim_image(library), profile), model), 1e-6)
    assert not proof.proved and proof.unproved


def test_models_are_compared_without_a_kernel():
    from conformance.differential.proving.run_proofs import between

    same = between(("model:6.1", "model:6.1"), ("is_*",), 10, 1, quiet)
    assert same.status == 0
    told = between(("model:6.1", "model:6.12"), ("is_frozen_spte",), 10, 1, quiet)
    (result,) = told.kernels[0].results
    assert result.verdict is Verdict.FAIL
    assert result.counterexample.sides == ("model:6.1", "model:6.12")
    assert result.counterexample.again.startswith("conformance prove --between model:6.1 model:6.12")
