# SPDX-License-Identifier: GPL-2.0-only
"""Drawn programs: legal, determined by the seed, written and read as names, and able to find faults."""

from __future__ import annotations

import pytest

from conformance.errors import ConformanceError
from conformance.model.changes import NO_CHANGE_PTE, RETRY_AFTER_INVALIDATION
from conformance.model.profiles import profile_of
from conformance.races.catalogue import race_called, races
from conformance.races.drawing import Drawing, edges
from conformance.races.programs import MOST_WORDS, DrawnProgram
from conformance.races.run_exploration import Exploration, explore_race
from conformance.races.settings import SETTINGS
from conformance.scenarios.preconditions import check

OLD, NEW = profile_of((6, 1)), profile_of((7, 3))
MODES = ("ept-noad", "shadow")
NAME = "logged/vcpu0.write.read/host.discard/user.log"


def drawn(mode, seed, count, profile=OLD):
    """The programs of the first draws."""
    drawing = Drawing(mode, profile, seed)
    return [program for program, _ in (drawing.next() for _ in range(count)) if program is not None], drawing


@pytest.mark.parametrize("mode", MODES)
def test_equal_seeds_give_equal_programs(mode):
    (first, one), (again, other), (different, _) = (drawn(mode, seed, 3) for seed in (5, 5, 6))
    assert first == again != different
    assert (one.seen, one.kept) == (other.seen, other.kept)
    assert one.kept and one.seen


@pytest.mark.parametrize("mode", MODES)
def test_a_program_is_legal_and_named_by_what_it_is(mode):
    for program in drawn(mode, 1, 6)[0]:
        assert program.wrong == "" and DrawnProgram.parse(str(program)) == program
        race = program.race
        assert race.name == str(program) and mode in race.modes
        assert 2 <= len(race.threads) <= 3 and any(name.startswith("vcpu") for name in race.threads)
        every = [*race.setup, *(step for steps in race.threads.values() for step in steps), *race.closing]
        check(every, race.options, [mode])


def words():
    """Programs with all words of each thread of each setting, against a vCPU that reads."""
    for setting in SETTINGS.values():
        for thread in setting.names[1:]:
            known = setting.words(thread)
            every = [word for word in known if not known[word].last]
            groups = [every[at : at + MOST_WORDS] for at in range(0, len(every), MOST_WORDS)]
            for group in (*groups, *([word] for word in known if known[word].last)):
                yield DrawnProgram(setting.name, (("vcpu0", ("read",)), (thread, tuple(group))))


@pytest.mark.parametrize("program", [*words()], ids=str)
def test_every_word_runs_and_violates_nothing(program):
    outcome = explore_race(Exploration(str(program), program.of.modes[0], OLD, limit=1))
    assert outcome.trouble == "" and outcome.violation is None


def test_a_word_of_what_was_removed_is_not_drawn():
    program = DrawnProgram.parse("unmapped/vcpu0.read/host.change")
    assert program.race.until is NO_CHANGE_PTE and program.race.absent(NEW) and not program.race.absent(OLD)
    found, _ = drawn("npt", 3, 15, NEW)
    assert not [program for program in found if ".change" in str(program)]


def test_variations_are_near_what_was_kept():
    found, drawing = drawn("ept-noad", 2, 15)
    assert len({*found}) == len(found) == drawing.drawn
    assert {*drawing.kept} < {*found}


def test_edges_join_accesses_to_one_object():
    seen = edges(DrawnProgram.parse("logged/vcpu0.write/user.log"), "ept-noad", OLD, 1)
    assert any("spte 4K gfn=0x102" in one and value for one, _, value in seen)
    assert all(one.endswith(other.split(" ", 2)[2]) for one, other, _ in seen if "spte" in one)


def test_simpler_programs_lack_a_thread_or_a_word():
    simpler = [*map(str, DrawnProgram.parse(NAME).simpler)]
    assert simpler == [
        "logged/host.discard/user.log",
        "logged/vcpu0.write.read/user.log",
        "logged/vcpu0.write.read/host.discard",
        "logged/vcpu0.read/host.discard/user.log",
        "logged/vcpu0.write/host.discard/user.log",
    ]
    assert not [*DrawnProgram.parse("logged/vcpu0.write/user.log").simpler]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing/vcpu0.read/host.age", "no drawn program begins with 'nothing'"),
        ("logged/vcpu0.read", "it needs two threads"),
        ("logged/vcpu0.read/guest.read", "there is no thread 'guest'"),
        ("logged/vcpu0.read/host.jump", "host has no word 'jump'"),
        ("logged/vcpu0.read/user.delete.log-off", "delete must be the last word of user"),
        ("logged/vcpu0/host.age", "vcpu0 has 0 words"),
        ("logged/host.age/vcpu0.read", "in the order vcpu0, vcpu1, host, user"),
        ("logged/vcpu0.read/vcpu0.read", "must differ"),
        ("collected/vcpu0.read/user.collect.collect", "collect can come once only"),
    ],
)
def test_what_is_no_program_is_refused(name, sentence):
    with pytest.raises(ConformanceError, match=sentence):
        race_called(name)


def test_races_are_stories_by_globs_and_programs_by_name():
    assert [race.name for race in races([NAME, "fault_against_rel*"])] == ["fault_against_release", NAME]
    assert [race.name for race in races([NAME])] == [NAME]
    with pytest.raises(ConformanceError, match="no race is called nothing"):
        races(["nothing"])


def test_a_program_finds_what_a_model_lacks():
    name = "unmapped/vcpu0.write/host.discard"
    lacking = Exploration(name, "npt", OLD, without=(RETRY_AFTER_INVALIDATION,))
    violation = explore_race(lacking).violation
    assert violation is not None and violation.invariant == "released memory is out of reach"
