# SPDX-License-Identifier: GPL-2.0-only
"""The executor on real entries: its formulas are total, and agree with the processor."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("pypcode")
z3 = pytest.importorskip("z3")

from model_side import against_model  # noqa: E402

from conformance.differential.properties import PROPERTIES  # noqa: E402
from conformance.differential.proving.every_input import every_input  # noqa: E402
from conformance.model.modes import MODES  # noqa: E402
from conformance.oracles.hosts import HOST  # noqa: E402
from conformance.oracles.shim.image import shim_image  # noqa: E402
from conformance.oracles.shim.oracle import ShimOracle  # noqa: E402
from conformance.symbolic import Machine  # noqa: E402
from conformance.symbolic.evaluating import Evaluator  # noqa: E402

pytestmark = pytest.mark.kernel

CASES = 2000
CONCRETE = 20
NAMES = [
    # It drops an MMIO SPTE, which would need an rmap if the masks, arbitrary here, made it present.
    name
    for name, prop in PROPERTIES.items()
    if not prop.scalar and name != "prefetch_invalid_gpte"
]


@pytest.fixture(scope="module")
def image(library):
    return shim_image(library)


@pytest.fixture(scope="module", params=["ept-ad", "shadow"])
def machines(image, request):
    """A mode, a machine with its masks, one with symbolic masks, and the masks' values."""
    mode = MODES[request.param]
    host = [mode.host()[name] for name in HOST]
    known, unknown = Machine(image), Machine(image)
    known.configure(host)
    unknown.configure(host)
    masks = [name for name in image.symbols if re.fullmatch(r"shadow_\w+_(mask|value)", name)]
    assert len(masks) >= 18
    values = {name: known.read(name) for name in masks}
    for name in masks:
        unknown.write(name, z3.BitVec(name, 64))
    return mode, known, unknown, values


@pytest.fixture(scope="module")
def module_oracle(library):
    with ShimOracle(library) as oracle:
        yield oracle


@pytest.mark.parametrize("name", NAMES)
def test_formulas_say_what_the_processor_does(name, machines, module_oracle, profile):
    if name not in module_oracle.entries:
        pytest.skip(PROPERTIES[name].absent(profile) or "this kernel does not have it")
    mode, known, unknown, masks = machines
    prop = PROPERTIES[name]
    comparison = against_model(prop, mode, profile, module_oracle)
    meant = every_input(prop, comparison.semantics)
    unknown.expect(prop.events)
    outcome = unknown.run(name, meant.words, assuming=meant.restrictions, seconds=60)

    solver = z3.Solver()
    solver.add(*meant.restrictions, z3.Or(z3.Not(outcome.total), outcome.died))
    assert solver.check() == z3.unsat, "some input has no path that ends, or dies"

    batch = comparison.draw(np.random.default_rng(7), CASES)
    expected = comparison.answer(comparison.left, batch)
    inputs = {column.name: row for column, row in zip(prop.takes, batch, strict=True)} | masks
    evaluator = Evaluator(outcome.words)
    for what, got, row in zip(
        [*(output.name for output in prop.gives), "events"], evaluator(inputs), expected, strict=True
    ):
        np.testing.assert_array_equal(got, row, err_msg=what)

    known.expect(prop.events)
    for case in range(CONCRETE):
        done = known.run(name, batch[:, case].tolist(), seconds=60)
        assert done.words == expected[:, case].tolist(), batch[:, case]


@pytest.mark.parametrize("mode", ["ept-ad", "npt"])
def test_a_walk_over_known_tables(mode, image, module_oracle, profile):
    """Too many paths for formulas, but on concrete inputs the executor agrees with the processor."""
    if "tdp_iter" not in module_oracle.entries:
        pytest.skip("this kernel has no TDP MMU")
    machine = Machine(image)
    machine.configure([MODES[mode].host()[name] for name in HOST])
    comparison = against_model(PROPERTIES["tdp_iter"], MODES[mode], profile, module_oracle)
    batch = comparison.draw(np.random.default_rng(7), 3)
    expected = comparison.answer(comparison.left, batch)
    for case in range(3):
        words = machine.run("tdp_iter", batch[:, case].tolist(), seconds=60).words
        assert words == expected[:, case].tolist()
