# SPDX-License-Identifier: GPL-2.0-only
"""Raw traces of live kernels: no violation in them, violations put into them are found, damage makes none.

record_live.py made the records: stories played in Debian's kernels, under QEMU.
"""

from __future__ import annotations

import lzma
import random
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest
from plants import VIOLATION
from test_mutated import MUTATIONS
from test_plants import read

from conformance.traces.checking import check
from conformance.traces.files import read_trace

LIVE = Path(__file__).parent / "records" / "live"
FILES = sorted(path.name for path in LIVE.glob("*.xz"))
SUSPECTED = {"R6 generation"}
"""Each story has a VM of its own, with generations of its own."""

SPTES = {
    # What a line of each form has before the value of an SPTE, and the rule that finds the value broken.
    "kvm_tdp_mmu_spte_changed": re.compile(
        r"(kvm_tdp_mmu_spte_changed: .*new_spte[ =](?:0x)?)([0-9a-f]{5,})"
    ),
    "kvm_mmu_set_spte": re.compile(r"(kvm_mmu_set_spte: .*\bspte[ =](?:0x)?)([0-9a-f]{5,})"),
}


@lru_cache(maxsize=4)
def lines_of(name: str) -> list[str]:
    return lzma.decompress((LIVE / name).read_bytes()).decode().splitlines()


def expected(name: str) -> tuple[str, str]:
    """The kernel and the mode of a record."""
    kernel, _, mode = name.partition(".xz")[0].rpartition(".")[0].partition("-")
    return kernel, {"legacy": "npt"}.get(mode, mode)


@pytest.mark.parametrize("name", FILES)
def test_a_record_of_a_live_kernel_is_clean(name):
    outcome = check(read_trace(str(LIVE / name)))
    assert [(one.rule.name, one.event.text) for one in outcome.findings if one.standing is VIOLATION] == []
    assert {one.rule.name for one in outcome.findings} <= SUSPECTED
    assert not outcome.unjudged and outcome.checked["R1 kvm_mmu_set_spte spte"] > 10
    assert outcome.host.mode.name == expected(name)[1]


def test_there_are_all_forms_and_modes():
    assert {name.rpartition(".xz")[0].rpartition(".")[2] for name in FILES} == {
        "tracefs", "report", "report-t", "report-l", "report-R", "perf", "perf-F",
    }  # fmt: skip
    assert {expected(name) for name in FILES} >= {(kernel, "npt") for kernel in ("6.1", "6.12", "7.2", "7.3")}
    assert any("-legacy." in name for name in FILES) and any("-shadow." in name for name in FILES)


def test_forms_of_one_record_have_the_same_events():
    """The reports are of one trace.dat, and differ in nothing that is read."""
    seen = []
    for form in ("report", "report-t", "report-l", "report-R"):
        events = read_trace(str(LIVE / f"6.1-npt.{form}.xz")).events
        seen.append(Counter(event.name for event in events))
    assert seen[0] and all(one == seen[0] for one in seen)


@pytest.mark.parametrize(
    ("name", "event"),
    # Without the TDP MMU there are no events of it.
    [(name, event) for name in FILES for event in SPTES if "tdp" not in event or "-npt." in name],
)
def test_a_violation_in_a_record_is_found(name, event):
    """One SPTE of the record gets bits that no kernel sets together: reserved address bits."""
    lines = [*lines_of(name)]
    places = [at for at, line in enumerate(lines) if SPTES[event].search(line)]
    at = random.Random(name).choice(places)
    lines[at] = SPTES[event].sub(
        lambda found: f"{found[1]}{int(found[2], 16) ^ 1 << 59 | 0x800 | 1 << 62:x}", lines[at]
    )
    outcome = check(read("\n".join(lines) + "\n"))
    assert outcome.count(VIOLATION), lines[at]
    assert any(one.event.line == at + 1 for one in outcome.findings if one.standing is VIOLATION)


@pytest.mark.parametrize("name", FILES)
def test_damage_to_a_record_is_no_violation(name):
    for seed in range(6):
        draw = random.Random(f"{name} {seed}")
        start = draw.randrange(max(len(lines_of(name)) - 400, 1))
        lines = lines_of(name)[start : start + 400]
        for mutate in draw.sample(MUTATIONS, draw.choice((1, 2))):
            lines = mutate(draw, [line for line in lines if line] or ["x"])
        outcome = check(read(draw.choice(("\n", "\r\n")).join(lines)))
        found = [one for one in outcome.findings if one.standing is VIOLATION]
        assert [(seed, one.rule.name, one.event.text) for one in found] == []
