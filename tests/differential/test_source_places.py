# SPDX-License-Identifier: GPL-2.0-only
"""Where the functions of properties are: the line that a report names begins the definition."""

from __future__ import annotations

import pytest

from conformance.differential.properties import PROPERTIES
from conformance.differential.source_places import source_places
from conformance.kernels.renames import RENAMED
from conformance.model.profiles import profile_of


def test_a_function_is_found_under_its_other_name(tmp_path):
    mmu = tmp_path / "arch/x86/kvm/mmu"
    mmu.mkdir(parents=True)
    (mmu / "spte.h").write_text(
        "/* 1 */\n\nstatic inline bool is_removed_spte(u64 spte)\n{\n\treturn false;\n}\n"
    )
    assert source_places(tmp_path, ["is_frozen_spte", "make_spte"]) == {
        "is_frozen_spte": ("arch/x86/kvm/mmu/spte.h", 3)
    }
    assert source_places(tmp_path, []) == {}


@pytest.mark.kernel
def test_every_property_of_a_kernel_has_a_place(kernel):
    profile = profile_of(kernel.release)
    there = [prop.name for prop in PROPERTIES.values() if not prop.absent(profile)]
    found = source_places(kernel.root / "src", there)
    assert {*there} == {*found}
    names = {name for pair in RENAMED for name in pair} | {"tdp_iter_start"}
    for name, (file, line) in found.items():
        begins = (kernel.root / "src" / file).read_text(errors="replace").splitlines()[line - 1 : line + 3]
        assert any(one in " ".join(begins) for one in {name, *names}), (name, file, line)
