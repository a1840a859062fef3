# SPDX-License-Identifier: GPL-2.0-only
"""Aging a page by DAMON, in a machine that is made up."""

from __future__ import annotations

import pytest

from conformance.oracles.live.aging import Damon
from conformance.oracles.live.emulator import CannotTake

AGED = "trace aged: (__mmu_notifier_clear_young+0x0/0x10 <- kvm_mmu_notifier_clear_young) ret=1"


class Machine:
    """It has DAMON unless ``lacks``; ``traced`` are lines of the answer when it is switched on."""

    def __init__(self, *traced, lacks=False):
        self.traced = traced
        self.lacks = lacks
        self.requests = []

    def ask(self, request):
        self.requests.append(request)
        return ["code 0", *(self.traced if request.endswith("state on") else ())]

    def code(self, request):
        return -2 if self.lacks else 0

    def need(self, request, what):
        self.requests.append(request)


def test_what_kvm_answers_is_the_outcome():
    machine = Machine(AGED)
    damon = Damon(machine)
    assert damon.age(5, 1, 1, alone=True) == (1, [AGED.removeprefix("trace ")])
    start, end = (next(r for r in machine.requests if f"/{bound} " in r) for bound in ("start", "end"))
    assert int(end.split()[-1]) - int(start.split()[-1]) == 4096
    assert machine.requests[-1].endswith("state off")


@pytest.mark.parametrize("traced", [(), (AGED, AGED)])
def test_a_page_that_was_not_aged_once_is_not_compared(traced):
    with pytest.raises(CannotTake, match=f"{len(traced)} times"):
        Damon(Machine(*traced)).age(5, 1, 1, alone=True)


@pytest.mark.parametrize(("npages", "level"), [(2, 1), (1, 2), (1, 0)])
def test_pages_that_damon_does_not_age(npages, level):
    machine = Machine(AGED)
    damon = Damon(machine)
    machine.requests.clear()
    with pytest.raises(CannotTake, match="single small pages"):
        damon.age(5, npages, level, alone=True)
    assert not machine.requests


def test_a_page_with_a_neighbour_is_not_aged():
    with pytest.raises(CannotTake, match="page behind"):
        Damon(Machine(AGED)).age(5, 1, 1, alone=False)


def test_a_kernel_without_damon():
    machine = Machine(lacks=True)
    with pytest.raises(CannotTake, match="no DAMON"):
        Damon(machine).age(5, 1, 1, alone=True)
    assert not machine.requests
