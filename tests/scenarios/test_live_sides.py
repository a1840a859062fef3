# SPDX-License-Identifier: GPL-2.0-only
"""A live kernel and the model side by side, with a machine that is made up."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from conformance.differential.verdict import Verdict
from conformance.interface.live import STUB_GFN
from conformance.interface.observation import Observation, RootView
from conformance.model.machine import Machine
from conformance.model.modes import VM_MODES
from conformance.model.profiles import profile_of
from conformance.oracles.live.deaths import died
from conformance.oracles.live.emulator import CannotTake
from conformance.oracles.live.memory import Unreadable
from conformance.scenarios import live_sides
from conformance.scenarios.judging_scenario import Facts, judge
from conformance.scenarios.live_frames import with_frames_of
from conformance.scenarios.live_sides import LiveSides, why_not_live
from conformance.scenarios.steps import parse
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Script

MODE, PROFILE = VM_MODES["npt"], profile_of((6, 1))
GENERATION = 2
SHIFT = 0x7000 << 12
PRESENT = 1 << 11
ADDRESS = 0x000FFFFFFFFFF000


def moved(flat):
    """The entries with other frames in their leaves."""
    found = [*flat]
    for at in range(0, len(found), 4):
        if not found[at + 3] and found[at + 2] & PRESENT:
            found[at + 2] += SHIFT
    return found


class FakeMachine:
    """The model, as a live machine shows itself; ``lie`` may raise, or return another observation."""

    lie = staticmethod(lambda name, seen: seen)
    opened = 0

    def __init__(self, booted, options, *, initial):
        type(self).opened += 1
        self._machine = Machine(PROFILE, MODE, **options)
        self._machine.step("set_generation", value=GENERATION)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def step(self, name, /, **arguments):
        seen = self._machine.step(name, **arguments)
        if name in ("destroy", "grace_period"):
            seen = seen._replace(outcome=[])
        seen = seen._replace(
            vcpus=[vcpu._replace(flushes=0) for vcpu in seen.vcpus],
            slots=[*seen.slots],
            roots=[root._replace(flat=moved(root.flat)) for root in seen.roots],
            tlb=(),
            retired=(),
            memory=(),
        )
        return self.lie(name, seen)


@pytest.fixture
def sides(monkeypatch):
    monkeypatch.setattr(live_sides, "LiveMachine", FakeMachine)
    monkeypatch.setattr(FakeMachine, "lie", staticmethod(lambda name, seen: seen))
    monkeypatch.setattr(FakeMachine, "opened", 0)
    machines = []

    def boot():
        machines.append(SimpleNamespace(generation=GENERATION, close=lambda: None, running=True))
        return machines[-1]

    with LiveSides(PROFILE, MODE, boot) as made:
        made.machines = machines
        yield made


def verdict(sides, name="unmap_one_page"):
    return judge(sides, name, STORIES[name].script, Facts(None, "6.1", ()), golden=False)


def lies(monkeypatch, lie):
    monkeypatch.setattr(FakeMachine, "lie", staticmethod(lie))


def test_other_frames_are_no_difference(sides):
    assert verdict(sides).verdict is Verdict.PASS
    assert len(sides.machines) == 1


def test_a_difference_is_a_failure(sides, monkeypatch):
    def no_flush(name, seen):
        if name != "madvise_dontneed":
            return seen
        return seen._replace(state=seen.state._replace(flush_requests=0))

    lies(monkeypatch, no_flush)
    found = verdict(sides)
    assert found.verdict is Verdict.FAIL and found.counterexample.kernel == {"flush_requests": "0"}
    assert found.oracle == "live"


def test_a_warning_is_a_difference(sides, monkeypatch):
    lies(monkeypatch, lambda name, seen: seen._replace(events=["WARN somewhere"] * (name == "access")))
    found = verdict(sides)
    assert found.verdict is Verdict.FAIL
    assert "WARN somewhere" in str(found.counterexample.kernel)


def test_a_death_has_its_console_and_the_next_story_another_machine(sides, monkeypatch):
    def die(name, seen):
        if name == "madvise_dontneed":
            raise died("KVM starts\nBUG: unable to handle page fault\nRIP: 0010:zap+0x1/0x2 [kvm]\n")
        return seen

    lies(monkeypatch, die)
    found = verdict(sides)
    assert found.verdict is Verdict.FAIL
    assert found.counterexample.crash == "crashed: BUG: unable to handle page fault"
    assert "RIP: 0010:zap+0x1/0x2 [kvm]" in found.counterexample.details
    assert found.counterexample.steps[-1].startswith("madvise_dontneed")
    before = len(sides.machines)
    lies(monkeypatch, lambda name, seen: seen)
    assert verdict(sides).verdict is Verdict.PASS and len(sides.machines) == before + 1


def test_memory_that_cannot_be_read_is_a_death(sides, monkeypatch):
    def unreadable(name, seen):
        raise Unreadable("a list of struct kvm has no end")

    lies(monkeypatch, unreadable)
    assert "a list of struct kvm has no end" in verdict(sides).counterexample.crash


def test_a_host_that_refuses_is_no_difference(sides, monkeypatch):
    lies(monkeypatch, lambda name, seen: seen._replace(outcome=[-12]) if name == "mmap" else seen)
    found = verdict(sides)
    assert found.verdict is Verdict.SKIP
    assert found.reason == "mmap returned -12 on the host of the live kernel"


def test_a_step_that_the_machine_cannot_take(sides, monkeypatch):
    def cannot(name, seen):
        raise CannotTake("the memory of a machine in Bochs is not written")

    lies(monkeypatch, cannot)
    found = verdict(sides)
    assert found.verdict is Verdict.SKIP
    assert found.reason == "the memory of a machine in Bochs is not written (mmap)"


def script(*lines):
    return Script(tuple(map(parse, lines)), {})


def test_what_a_live_kernel_cannot_be_made_to_do():
    assert why_not_live(script("mmap page=0 npages=16", "access gfn=5 kind=read")) == ""
    assert "between the halves" in why_not_live(script("notifier_start page=0", "notifier_end page=0"))
    both = why_not_live(script("notifier_start page=0", "notifier_end page=0"))
    assert both.endswith("(notifier_start, notifier_end)")
    assert why_not_live(script(f"access gfn={STUB_GFN - 1:#x} kind=read")) == ""
    assert f"{STUB_GFN:#x}" in why_not_live(script(f"access gfn={STUB_GFN:#x} kind=read"))
    slot = f"set_memory_region gfn={STUB_GFN - 1:#x} page=0 npages="
    assert why_not_live(script(slot + "1")) == "" and why_not_live(script(slot + "2"))


def observed(*sptes):
    flat = [word for n, spte in enumerate(sptes) for word in (1, n, spte, 0)]
    return Observation([], [], roots=[RootView(0, 4, 0, 1, flat)])


def spte(frame, flags=0x7):
    return frame << 12 | PRESENT | flags


def frames(seen):
    return [(word & ADDRESS) >> 12 for word in seen.roots[0].flat[2::4]]


def test_frames_are_paired_one_to_one():
    model = observed(spte(1), spte(2), spte(1))
    assert frames(with_frames_of(model, observed(spte(11), spte(12), spte(11)))) == [1, 2, 1]
    # Two frames of the model in one of the live host, and the other way round.
    assert frames(with_frames_of(model, observed(spte(11), spte(11), spte(11)))) == [1, 11, 1]
    assert frames(with_frames_of(model, observed(spte(11), spte(12), spte(13)))) == [1, 2, 13]


def test_only_frames_of_present_leaves_are_paired():
    absent = 5 << 12
    assert frames(with_frames_of(observed(spte(1)), observed(absent))) == [5]
    assert frames(with_frames_of(observed(1 << 12), observed(spte(5)))) == [5]
    flags = with_frames_of(observed(spte(1)), observed(spte(5, flags=0x1))).roots[0].flat[2]
    assert flags == spte(1, flags=0x1)


def test_live_sides_say_what_they_do_not_show(sides):
    assert {*sides.unobserved} == {"cached", "retired", "leaks"}
    assert replace(sides, boot=lambda: None).oracle == "live"
