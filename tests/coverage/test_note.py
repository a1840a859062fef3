# SPDX-License-Identifier: GPL-2.0-only
"""A layer's coverage, written as JSON and read again."""

import json

from hypothesis import given
from hypothesis import strategies as st

from conformance.coverage.data import Executed, File, Function, Layer, Line
from conformance.coverage.note import read_layer, written_layer

MMU = "arch/x86/kvm/mmu/mmu.c"


@given(st.frozensets(st.integers(1, 60)))
def test_what_was_written_is_read(lines):
    layer = Layer(
        "stories",
        {MMU: File({3: Line(7, (4, 3), "f"), 9: Line(0, (), "g")}, {"f": Function("f", 1, 5, 7)})},
        {"first": Executed(frozenset({"f"}), {MMU: lines})},
    )
    assert read_layer("stories", json.loads(json.dumps(written_layer(layer)))) == layer
