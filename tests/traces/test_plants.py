# SPDX-License-Identifier: GPL-2.0-only
"""Each planted event is found by its rule, in every text form; the clean traces break no rule."""

from __future__ import annotations

import io
import re
from functools import lru_cache

import pytest
from plants import PLANTS, PRINTED_ONLY, VIOLATION, Plant, checked, sp, was_set
from writing import FORMS, Fact, kernel, recoded, record, text

from conformance.traces.checking import check
from conformance.traces.lines import read_lines
from conformance.traces.outcome import Outcome
from conformance.traces.rules import RULES
from conformance.traces.trace import Trace

TEXTS = ("tracefs", "report", "report-R", "perf-F")
PRINTED = ("tracefs", "bpftrace")
KERNELS = ((6, 1), (6, 12), (7, 2), (7, 3))
MODES = ("npt", "ept-ad", "ept-noad")


@lru_cache(maxsize=32)
def clean(release: tuple[int, ...], mode: str) -> tuple[Fact, ...]:
    """A clean trace of a kernel in a mode."""
    series = "6.1" if release < (6, 10) else "6.12"
    return tuple(
        recoded(record(series), kernel(tuple(map(int, series.split("."))), "npt"), kernel(release, mode))
    )


def read(written: str) -> Trace:
    trace = Trace("a trace")
    read_lines(io.StringIO(written), trace)
    return trace


def judged(facts: list[Fact] | tuple[Fact, ...], form: str, release: tuple[int, ...]) -> Outcome:
    return check(read(text(facts, form, release >= (7, 2))))


def planted(plant: Plant) -> list[Fact]:
    """The first part of a clean trace, with the plant in its middle."""
    whole = clean(plant.release, plant.mode)
    fast = [fact for fact in whole if fact.name == "fast_page_fault"]
    return [*whole[:120], *plant.make(kernel(plant.release, plant.mode)), *whole[120:160], *fast]


def found(outcome: Outcome) -> set[tuple[str, str]]:
    assert not outcome.unjudged
    return {(rule, standing.value) for rule, standing in outcome.counts}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_is_found_in_every_form(plant):
    for form in TEXTS:
        outcome = judged(planted(plant), form, plant.release)
        assert (plant.rule, plant.standing.value) in found(outcome), form
        assert bool(outcome.count(VIOLATION)) is (plant.standing is VIOLATION), form


@pytest.mark.parametrize("plant", PRINTED_ONLY, ids=lambda plant: plant.name)
def test_a_plant_that_only_print_formats_show(plant):
    for form in PRINTED:
        assert (plant.rule, "violation") in found(judged(planted(plant), form, plant.release)), form


def test_every_rule_has_a_plant():
    rules = {plant.rule for plant in (*PLANTS, *PRINTED_ONLY)}
    left = {rule.name for rule in RULES} - rules
    assert left == {
        # By the same function as its neighbours, on a field that was read again or is not known well.
        "R1 fast_page_fault new_spte",
        "R1 kvm_tdp_mmu_spte_changed old_spte, address",
        "R1 kvm_tdp_mmu_spte_changed new_spte, address",
        "R1 kvm_mmu_set_spte spte, address",
    }
    assert len([plant for plant in PLANTS if plant.standing is VIOLATION]) >= 40


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_records_are_clean_in_every_form(series, form):
    outcome = check(read(text(record(series), form)))
    assert (outcome.host.title, outcome.host.mode.name, outcome.unjudged) == (series, "npt", "")
    assert outcome.counts == {} and not outcome.trace.unread
    assert sum(outcome.trace.seen.values()) == 2939


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("release", KERNELS, ids=str)
def test_records_of_other_kernels_and_modes_are_clean_and_recognized(release, mode):
    outcome = judged(clean(release, mode), "report", release)
    assert outcome.host.mode.name == mode
    # 7.2 and 7.3 make the same SPTEs.
    assert outcome.host.title == ".".join(map(str, (7, 2) if release == (7, 3) else release))
    assert outcome.counts == {}


@pytest.mark.parametrize("mode", ["npt", "ept-ad", "ept-noad"])
def test_5_10_has_no_event_of_the_tdp_mmu_and_shorter_faults(mode):
    facts = [fact for fact in clean((5, 10), mode) if fact.name != "kvm_tdp_mmu_spte_changed"]
    written = re.sub(
        r"vcpu 0 rip 0x1000 address 0x0*(\w+) error_code 0x", r"address \1 error_code ", text(facts, "perf")
    )
    assert "kvm_page_fault: address 1000 error_code" in written
    outcome = check(read(written))
    assert (outcome.host.title, outcome.host.mode.name, outcome.counts) == ("5.10", mode, {})
    assert outcome.unchecked["R2 page"] == "kvm_tdp_mmu_spte_changed is not in the trace"


SHADOW = [
    sp("get_page", level=4, gfn=0x1000, created="new", root_count=1),
    sp("get_page", level=1, gfn=0x1234, access="-u-", created="new"),
    sp("get_page", level=2, gfn=0x1235, bytes=4, quadrant=3, created="new", nx="!", ad="!"),
    *(was_set(0x123456E67 + (number << 12), gfn=number) for number in range(12)),
    sp("unsync_page", gfn=0x1234),
    sp("get_page", gfn=0x1234, unsync="unsync"),
    sp("sync_page", gfn=0x1234, unsync="unsync"),
    sp("prepare_zap_page", level=4, gfn=0x1000, invalid=" invalid"),
    checked(1 << 51 | 0xFEC00 << 12 | 0x47),
]


@pytest.mark.parametrize("form", FORMS)
def test_shadow_paging_is_recognized_and_clean(form):
    outcome = check(read(text(SHADOW, form)))
    assert (outcome.counts, outcome.trace.unread) == ({}, {})
    assert outcome.host.mode.name == "shadow"


@pytest.mark.parametrize("form", ["tracefs", "report-R"])
def test_an_address_that_the_host_does_not_have(form):
    facts = [*clean((6, 1), "npt")[:160]]
    stray = next(fact for fact in facts if fact.name == "kvm_mmu_set_spte")
    trace = read(text([*facts * 4, stray.of(spte=stray.fields["spte"] | 1 << 50)], form))
    guessed = check(trace)
    assert found(guessed) == {("R1 kvm_mmu_set_spte spte, address", "suspicion")}
    assert found(check(trace, phys_bits=46)) == {("R1 kvm_mmu_set_spte spte", "violation")}
