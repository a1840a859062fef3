# SPDX-License-Identifier: GPL-2.0-only
"""Code with one bit flipped: executor and processor agree on it, whether or not its behaviour changed.

Compilers use few of the instruction set's corners. Flipped code reads uninitialised memory, jumps into the
middle of instructions, or compares something else.

This tests the executor alone, on one host and drawn cases; tests/differential/test_proving_flips.py does the
same for proofs.
"""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

pytest.importorskip("pypcode")
z3 = pytest.importorskip("z3")

from model_side import against_model  # noqa: E402

from conformance.differential.properties import PROPERTIES  # noqa: E402
from conformance.model.modes import MODES  # noqa: E402
from conformance.oracles.child import KernelDied  # noqa: E402
from conformance.oracles.hosts import HOST  # noqa: E402
from conformance.oracles.shim.image import BASE, shim_image  # noqa: E402
from conformance.oracles.shim.oracle import ShimOracle  # noqa: E402
from conformance.symbolic import CannotRun, Machine  # noqa: E402
from conformance.symbolic.evaluating import Evaluator  # noqa: E402

pytestmark = pytest.mark.kernel

MODE = MODES["ept-ad"]
CASES = 200
ALONE = 4
"""The number of cases that each flipped library runs natively."""
KERNEL_CALLS = (b"\x0f\x05", b"\x0f\x34", b"\xcd\x80")
"""Instructions that flipped code must not have: it runs in a process of the tests."""


def machine_of(library):
    machine = Machine(shim_image(library))
    machine.configure([MODE.host()[name] for name in HOST])
    return machine


def places(library, names):
    """The offsets in the library's file of the code of functions, and the file's content."""
    content = library.read_bytes()
    with library.open("rb") as file:
        elf = ELFFile(file)
        text = elf.get_section_by_name(".text")
        by = text["sh_offset"] - text["sh_addr"]
        listed = [s for s in elf.get_section_by_name(".symtab").iter_symbols() if s.name in names]
        found = [at + by for s in listed for at in range(s["st_value"], s["st_value"] + s["st_size"])]
    return content, found


def flipped(content, at, bit):
    """The content with a bit flipped; None if that makes a call into the host's kernel."""
    made = bytearray(content)
    made[at] ^= 1 << bit
    near, before = bytes(made[at - 1 : at + 2]), content[at - 1 : at + 2]
    return None if any(call in near and call not in before for call in KERNEL_CALLS) else bytes(made)


def flip(library, folder, name, profile, many):
    """How many flips of the code of an entry do what, as the executor and the processor agree."""
    prop = PROPERTIES[name]
    symbols = [z3.BitVec(column.name, 64) for column in prop.takes]
    machine = machine_of(library)
    machine.expect(prop.events)
    with ShimOracle(library) as oracle:
        comparison = against_model(prop, MODE, profile, oracle)
        batch = comparison.draw(np.random.default_rng(3), CASES)
        original = comparison.answer(comparison.left, batch)
    assuming = []
    for column, symbol in zip(prop.takes, symbols, strict=True):
        choices = column.choices(comparison.semantics)
        if choices is not None:
            assuming.append(z3.Or(*(symbol == value for value in choices)))
    executed = machine.run(name, symbols, assuming=assuming, seconds=20).functions
    # Not shim_event(), of which only the count matters, nor the run loop, which is the same in every entry.
    names = {n for n in executed if not n.startswith("shim_run")} - {"shim_event", "shim_warn"}
    names = names or set(executed)
    content, offsets = places(library, names)
    rng = random.Random(name)
    inputs = {column.name: row for column, row in zip(prop.takes, batch, strict=True)}
    score: Counter[str] = Counter()
    for n in range(many):
        at, bit = rng.choice(offsets), rng.randrange(8)
        changed = flipped(content, at, bit)
        if changed is None:
            continue
        # Each under its own name: a loaded library must not be overwritten.
        other = folder / f"{name}-{n}-{at:#x}-{bit}.so"
        other.write_bytes(changed)
        try:
            unlike = machine_of(other)
            unlike.expect(prop.events)
            outcome = unlike.run(name, symbols, assuming=assuming, seconds=5)
            *words, died, total = Evaluator([*outcome.words, outcome.died, outcome.total])(inputs)
            assert total.all(), (other.name, "some input has no path")
        except (CannotRun, ValueError):
            score["not supported"] += 1
            continue
        for case in range(0, CASES, CASES // ALONE):
            score[judged(other, prop, batch[:, case], [int(word[case]) for word in words], died[case])] += 1
        score["changed" if died.any() or not same(words, original) else "unchanged"] += 1
    return score


def same(words, original):
    return all(np.array_equal(word, row) for word, row in zip(words, original, strict=True))


def judged(library, prop, case, words, died):
    """How executor and processor agree on one case, in a process of its own: flipped code may corrupt it.

    Where the executor says that the process dies, an address may happen to be mapped natively.
    """
    try:
        got = run_once(library, prop, case)
    except KernelDied as how:
        assert died, (library.name, how, case)
        return "died on both sides"
    if died:
        return "died here only"
    if words != got and (
        any(BASE <= word < 1 << 47 for word in words) or got != run_once(library, prop, case)
    ):
        # All of an address, or a part of one, which differs from process to process.
        return "an address"
    assert words == got, (library.name, case)
    return "agreed"


def run_once(library, prop, case):
    """What the processor answers on one case in a new process."""
    with ShimOracle(library, patience=1.0) as oracle:
        oracle.configure(MODE.host(), prop.events)
        return oracle.run(oracle.entries[prop.name], case.reshape(-1, 1))[:, 0].tolist()


def count(score, counted):
    """Count flips and cases separately."""
    for name, number in score.items():
        flips = name in ("changed", "unchanged", "not supported")
        about = (
            "flips of machine code, executed symbolically"
            if flips
            else "cases of flipped code, on both sides"
        )
        counted(about)[name] += number


@pytest.mark.parametrize("name", ["mark_spte_for_access_track", "kvm_tdp_mmu_write_spte"])
def test_flipped_code(name, library, tmp_path, profile, counted):
    score = flip(library, tmp_path, name, profile, 10)
    count(score, counted)
    assert score["changed"] and score["agreed"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["spte_has_volatile_bits", "make_spte", "mmu_spte_update", "make_huge_page_split_spte", "is_rsvd_spte"],
)
def test_more_flipped_code(name, library, tmp_path, profile, counted):
    score = flip(library, tmp_path, name, profile, 40)
    count(score, counted)
    assert score["changed"] >= 10 and score["agreed"] >= 40
