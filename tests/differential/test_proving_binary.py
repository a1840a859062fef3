# SPDX-License-Identifier: GPL-2.0-only
"""Proofs about the shipped module: all that it answers is proved, and a byte changed in it is refuted."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pypcode")
pytest.importorskip("z3")

from conformance.differential.fingerprints import answers as answers_of
from conformance.differential.machine_code import build
from conformance.differential.properties import PROPERTIES
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.proving.proof_workers import prove_all
from conformance.differential.proving.side_specs import Pair, binary_spec, model_spec
from conformance.differential.run_properties import run
from conformance.differential.sides import OracleSide
from conformance.differential.verdict import PROVE, Verdict
from conformance.kernels import open_kernel
from conformance.model.profiles import profile_of
from conformance.oracles.binary.image_file import SYMBOLIC, load_image, load_reasons, store_image
from conformance.oracles.binary.oracle import BinaryOracle

pytestmark = [pytest.mark.kernel, pytest.mark.network]

SECONDS = 60
QUICK = ("spte_has_volatile_bits", "make_nonleaf_spte", "kvm_tdp_mmu_write_spte", "is_mmio_spte")


def built(series):
    """A pinned kernel, and the folder of the image of its shipped module."""
    kernel = open_kernel(series)
    return kernel, build(PropertyPlan(oracle="binary"), kernel, lambda message: None).image


def proofs(kernel, folder, names, seconds=SECONDS):
    """What became of properties of a module, by name."""
    module = binary_spec(kernel, folder)
    pair = Pair(module, model_spec(module.profile))
    results = prove_all(pair, names, seconds, 1, ["--kernel", kernel.selector])
    return {result.property: result for result in results}


@pytest.fixture(scope="module")
def shipped_module():
    return built("6.1")


def test_some_of_what_the_module_answers_is_proved(shipped_module):
    told = proofs(*shipped_module, QUICK)
    assert list(told) == list(QUICK)
    for name, result in told.items():
        assert result.verdict is Verdict.PASS, (name, result.reason)
        assert result.oracle == "binary" and result.reason.startswith("proved: ")
        assert result.cases >= 1000, "the formulas are held against the processor"


@pytest.mark.slow
@pytest.mark.parametrize("series", ["6.1", "6.12", "7.2", "7.3"])
def test_all_that_the_module_answers_is_proved(series):
    _, folder = built(series)
    plan = PropertyPlan(
        kernels=(series,), engines=(PROVE,), oracle="binary", budget=math.inf, jobs=1, timeout=SECONDS
    )
    (judged,) = run(plan, progress=lambda line: None).kernels
    assert judged.error is None and judged.disagreement is None
    told = {result.property: result for result in judged.results if result.engine == PROVE}
    with BinaryOracle(folder) as oracle:
        assert set(told) == set(oracle.entries) & set(PROPERTIES)
    tree = told.pop("tdp_iter")
    assert tree.verdict is Verdict.SKIP and "tree of tables" in tree.reason
    unproved = {name: one.reason for name, one in told.items() if one.verdict is not Verdict.PASS}
    assert not unproved


TESTS_W = bytes.fromhex("40f6c702"), bytes.fromhex("40f6c704")
"""test $2, %dil, which asks for W; and one that asks for the bit beside it."""


def changed(folder, target, parts):
    """A copy of a module's images, in some of which spte_has_volatile_bits() takes another bit for W."""
    before, after = TESTS_W
    shutil.copytree(folder, target)
    for part in parts:
        image = load_image(target / part)
        place = image.symbols["spte_has_volatile_bits"]
        (segment,) = [s for s in image.segments if 0 <= place.address - s.address < len(s.content)]
        start = place.address - segment.address
        code = segment.content[start : start + place.size]
        assert code.count(before) == 1, "the module was compiled otherwise: choose another byte"
        content = (
            segment.content[:start] + code.replace(before, after) + segment.content[start + place.size :]
        )
        others = {segment: replace(segment, content=content)}
        segments = tuple(others.get(one, one) for one in image.segments)
        store_image(replace(image, segments=segments), load_reasons(target / part), target / part)
    return target


def test_a_changed_byte_is_refuted_and_replayed(shipped_module, tmp_path):
    kernel, folder = shipped_module
    other = changed(folder, tmp_path / "image", (".", SYMBOLIC))
    name = "spte_has_volatile_bits"
    result = proofs(kernel, other, [name])[name]
    assert result.verdict is Verdict.FAIL and result.reason == "refuted in value, and replayed"
    found = result.counterexample
    assert found.kernel["value"] != found.model["value"]
    with BinaryOracle(other) as changed_oracle, BinaryOracle(folder) as oracle:
        answers = [
            answers_of(
                OracleSide(one, profile_of(kernel.release)),
                PROPERTIES[name],
                result.mode,
                np.array([list(found.inputs.values())], np.uint64).T.copy(),
            )
            for one in (changed_oracle, oracle)
        ]
    assert (answers[0] != answers[1]).any(), "the processor, and not only the formulas"


@pytest.mark.parametrize(
    ("part", "said"),
    [(SYMBOLIC, "on the processor it does not"), (".", "formulas and processor differ")],
)
def test_formulas_of_other_code_than_the_processor_has_are_an_error(shipped_module, tmp_path, part, said):
    """What is executed on symbols, and what runs, are two images: that they are one is not believed."""
    kernel, folder = shipped_module
    other = changed(folder, tmp_path / "image", (part,))
    (result,) = proofs(kernel, other, ["spte_has_volatile_bits"]).values()
    assert result.verdict is Verdict.ERROR and "the proof engine is wrong" in result.reason
    assert said in result.reason
