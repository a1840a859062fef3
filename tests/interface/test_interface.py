# SPDX-License-Identifier: GPL-2.0-only
"""The table of steps, outcomes and observations: the parts that model and kernel have in common."""

from __future__ import annotations

import pytest

from conformance.interface.access import End, Exit
from conformance.interface.observation import RootView, State, TableEntry
from conformance.interface.outcomes import AccessOutcome, DirtyLog, Leaks
from conformance.interface.steps import KINDS
from conformance.model.machine.step_table import step
from conformance.oracles.kvm.header import ORDER, header_text, write_header


def test_the_header_has_every_step_and_its_arguments(tmp_path):
    write_header(header_text(), tmp_path)
    text = (tmp_path / "interface.h").read_text()
    for name, (code, parameters) in ORDER.items():
        assert f"\tSTEP_{name} = {code}," in text and f"\teach({name}) \\" in text
        assert f"struct {name}_arguments {{ {''.join(f'unsigned long {one}; ' for one in parameters)}" in text
    for code in Exit:
        assert f"EXIT_{code.name} = {code.value}," in text
    for end in End:
        assert f"END_{end.name} = {end.value}," in text
    assert all(f"each({field})" in text for field in State._fields)


def test_codes_are_unique_and_only_the_bench_has_a_step_more():
    assert [code for code, _ in ORDER.values()] == list(range(len(ORDER)))
    assert set(ORDER) - set(KINDS) == {"faults"}


def test_the_model_refuses_a_function_that_is_not_in_the_table():
    def no_such_step(vm):
        return []

    def touch(vm, page):
        return []

    for function in (no_such_step, touch):
        with pytest.raises(ImportError, match=function.__name__):
            step(function)


def test_outcomes_have_names():
    assert AccessOutcome.read([10, 13, 0]) == ((Exit.RETRY, Exit.FIXED), End.DONE)
    assert AccessOutcome.read([-14, 3]).end is End.FAILED
    assert DirtyLog.read([0, 5, 6]) == (0, (5, 6)) and DirtyLog.read([-2]).bitmap == ()
    with pytest.raises(TypeError):
        Leaks.read([0, 0])


def test_entries_of_a_root_know_their_path():
    flat = [4, 0, 1, 7, 3, 0x40000, 1, 8, 2, 0x40200, 0x99, 0, 3, 0x80000, 0x55, 0]
    entries = list(RootView(0, 4, 0, 1, flat).entries())
    assert entries[2] == TableEntry(2, 0x40200, 0x99, 0, (0, 0, 0x40000))
    assert entries[3] == TableEntry(3, 0x80000, 0x55, 0, (0, 0))
    assert entries[2].covers(0x403FF) and not entries[2].covers(0x40400)


def test_counters_grow():
    assert State(flushes=5, pages_4k=2).since(State(flushes=3)) == State(flushes=2, pages_4k=2)
