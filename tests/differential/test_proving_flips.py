# SPDX-License-Identifier: GPL-2.0-only
"""Proofs about code with one bit flipped: each flip is refuted on the processor, or it is equivalent.

A proof engine that is blind somewhere would call a flip equivalent that the processor tells apart; one that
sees what is not there would refute a flip on an input on which the processor does as before.

This is about the answers of the whole engine, code against flipped code, on every host: that the executor
alone says what flipped code does is held against the processor in tests/symbolic/test_flips.py.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

pytest.importorskip("pypcode")
pytest.importorskip("z3")

from elftools.elf.elffile import ELFFile
from model_side import against_model

from conformance.differential.drawing import draw
from conformance.differential.properties import PROPERTIES
from conformance.differential.proving.proofs import DEATH, prove
from conformance.differential.proving.term_sides import CodeTerms
from conformance.model.modes import MODES, kernel_in
from conformance.oracles.child import KernelDied
from conformance.oracles.shim.image import shim_image
from conformance.oracles.shim.oracle import ShimOracle

FLIPS = 24
SECONDS = 10
CASES = 6_000
"""On how many drawn cases the processor must not tell a flip that is called equivalent."""
FUNCTIONS = {
    "spte_has_volatile_bits": "spte_has_volatile_bits",
    "mark_spte_for_access_track": "mark_spte_for_access_track",
    "make_huge_page_split_spte": "make_huge_page_split_spte",
    "make_nonleaf_spte": "make_nonleaf_spte",
    "make_mmio_spte": "make_mmio_spte",
    "kvm_mmu_set_ept_masks": "kvm_mmu_set_ept_masks",
    "make_spte": "make_spte",
}


def flipped(library, symbol, rng, directory):
    """A copy of the library with one bit of a function's code flipped."""
    content = bytearray(library.read_bytes())
    place = shim_image(library).symbols[symbol]
    with library.open("rb") as file:
        found = next(
            s for s in ELFFile(file).get_section_by_name(".symtab").iter_symbols() if s.name == symbol
        )
        start = next(iter(ELFFile(file).address_offsets(found["st_value"])))
    bit = rng.randrange(8 * place.size)
    content[start + bit // 8] ^= 1 << bit % 8
    path = directory / f"{symbol}-{bit}.so"
    path.write_bytes(content)
    return path


def differ(prop, mode, profile, oracles, batch):
    """Whether the processor tells two libraries apart on a batch; dying is an answer."""
    answers = []
    for oracle in oracles:
        comparison = against_model(prop, mode, profile, oracle)
        try:
            answers.append(comparison.answer(comparison.left, batch).tobytes())
        except KernelDied as died:
            answers.append(died.at)
    return answers[0] != answers[1]


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("symbol", FUNCTIONS)
def test_flipped_bits_are_told_from_equivalent_ones(symbol, library, profile, tmp_path, counted):
    prop, rng = PROPERTIES[FUNCTIONS[symbol]], random.Random(symbol)
    if symbol not in shim_image(library).symbols:
        pytest.skip("this kernel calls it otherwise")
    whole = CodeTerms(shim_image(library), profile)
    score = counted("flips of machine code, judged by proof")
    refuted = 0
    for _ in range(FLIPS):
        path = flipped(library, symbol, rng, tmp_path)
        proof = prove(prop, (whole, CodeTerms(shim_image(path), profile)), SECONDS)
        with ShimOracle(library) as ours, ShimOracle(path, patience=1) as theirs:
            if proof.refutation is not None:
                batch = np.array([proof.refutation.case], np.uint64).T.copy()
                mode = proof.refutation.mode
                told = differ(prop, mode, profile, (ours, theirs), batch)
                # Outside of the image the processor finds whatever lies there.
                wild = proof.refutation.word == DEATH and not told
                assert told or wild, f"{path.name}: refuted, but alike"
                score["not decided" if wild else "refuted"] += 1
                refuted += not wild
            elif proof.proved:
                for name in prop.modes:
                    k = kernel_in(MODES[name], profile)
                    batch = draw(prop, k, np.random.default_rng(3), CASES // len(prop.modes))
                    told = differ(prop, MODES[name], profile, (ours, theirs), batch)
                    assert not told, f"{path.name}: proved, but the processor tells them apart in {name}"
                score["equivalent"] += 1
            else:
                score["not decided"] += 1
        path.unlink()
    assert refuted >= FLIPS // 6
