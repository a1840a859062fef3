# SPDX-License-Identifier: GPL-2.0-only
"""Differences are found at their step, told by their place, and shortened; tables' numbers are none."""

import pytest
from model_sides import ModelSides, add_to_serials, changed, dies_at, drop_flushes, renumbered

from conformance.interface.observation import Observation, RetiredTable, RootView
from conformance.scenarios.comparing import Death, Match, play
from conformance.scenarios.naming import TableNames
from conformance.scenarios.pairing import Pairing
from conformance.scenarios.shrinking import shorten
from conformance.scenarios.steps import parse
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Script

UNMAP = STORIES["unmap_one_page"].script


def test_two_that_agree_agree_to_the_end():
    played = play(ModelSides(), UNMAP)
    assert played.difference is None
    assert len(played.kernel) == len(played.model) == len(UNMAP.steps)


def test_a_difference_is_told_where_it_is():
    played = play(ModelSides(lie=drop_flushes), UNMAP)
    at = next(n for n, step in enumerate(UNMAP.steps) if step.kind == "madvise_dontneed")
    assert played.difference.at == at
    assert played.difference.facts == (("flush_requests", "0", "1"),)


def test_an_spte_is_told_by_its_path_and_decoded():
    def clear_writable(name, seen):
        if name == "access":
            seen.roots[0].flat[-2] &= ~2
        return seen

    played = play(ModelSides(lie=clear_writable), STORIES["first_write"].script)
    ((place, kernel, model),) = played.difference.facts
    assert place == "root 0 > level 4 gfn 0x0 > level 3 gfn 0x0 > level 2 gfn 0x0 > level 1 gfn 0x103"
    assert "R-X" in kernel and "W=0" in kernel
    assert "RWX" in model and "W=1" in model


def test_serial_numbers_are_no_difference():
    for name in ("reader_in_a_removed_table", "memslot_deleted", "neighbours_share_tables"):
        assert play(ModelSides(lie=add_to_serials), STORIES[name].script).difference is None


def test_a_table_that_is_not_the_same_one_is_a_difference():
    def replaced(name, seen):
        if name == "get_dirty_log":
            return renumbered(seen, 77)
        return seen

    played = play(ModelSides(lie=replaced), STORIES["get_dirty_log"].script)
    assert played.difference is not None and played.difference.facts[0][0] == "tables"


def test_a_death_is_a_difference_with_what_led_to_it():
    played = play(ModelSides(lie=dies_at("madvise_dontneed")), UNMAP)
    assert played.difference.crash == "BUG: somewhere"
    assert len(played.kernel) == played.difference.at


def test_pairing_goes_back_to_what_it_did_not_note():
    def seen(child):
        return Observation([], [], roots=[RootView(0, 4, 0, 1, [4, 0, 1, child])])

    pairing = Pairing()
    assert pairing.same(seen(1), seen(1))
    assert pairing.same(seen(1), seen(1))
    assert not pairing.same(seen(1), seen(2)), "1 was 1 before"
    assert not pairing.same(seen(2), seen(1))
    assert pairing.same(seen(2), seen(3))
    assert not pairing.same(seen(2), seen(4))


def test_incarnations_count_tables_of_one_place():
    def seen(child):
        return Observation([], [], roots=[RootView(0, 4, 0, 1, [4, 0, 1, child])])

    names = TableNames()
    for child in (10, 10, 7):
        names.note(seen(child))
    assert (names[10], names[7]) == ("T(3,0x0,1)", "T(3,0x0,2)")


def test_a_step_that_makes_no_sense_is_taken_by_nobody():
    with Match(ModelSides(), {"vcpus": 1}) as match:
        with pytest.raises(ValueError):
            match.take(parse("walk_begin gfn=0"))
        assert match.played.steps == []
        assert match.take(parse("grace_period"))


def test_shortened_to_what_the_difference_needs():
    sides = ModelSides(lie=drop_flushes)
    long = STORIES["unmap_a_range"].script
    short, played = shorten(sides, long, play(sides, long).difference)
    # This kernel lies about every unmap, so one is enough.
    assert [step.kind for step in short.steps] == ["madvise_dontneed"]
    assert played.difference.facts == (("flush_requests", "-1", "0"),)


def test_shortening_keeps_what_is_needed():
    def lie(name, seen):
        return changed(seen, flush_requests=0) if name == "madvise_dontneed" else seen

    sides = ModelSides(lie=lie)
    long = STORIES["unmap_a_range"].script
    short, _ = shorten(sides, long, play(sides, long).difference)
    kinds = [step.kind for step in short.steps]
    assert kinds[-1] == "madvise_dontneed" and kinds.count("access") == 1 and "set_memory_region" in kinds
    assert len(short.steps) < len(long.steps) - 5


def test_what_does_not_repeat_is_told_as_it_was_seen():
    lying = ModelSides(lie=drop_flushes)
    found = play(lying, UNMAP).difference
    short, played = shorten(ModelSides(), UNMAP, found)
    assert played.difference == found and short.steps == UNMAP.steps[: found.at + 1]


def test_a_script_without_a_difference_opens_one_kernel():
    sides = ModelSides()
    play(sides, Script((parse("grace_period"),), {"vcpus": 1}))
    assert sides.opened == 1


def test_retired_tables_of_one_place_are_told_apart_by_what_they_were():
    def seen(children, retired):
        flat = [n for child in children for n in (4, 0, 1, child)]
        tables = [RetiredTable(3, 0, serial, 512, 0) for serial in retired]
        return Observation([], [], roots=[RootView(0, 4, 0, 1, flat)], retired=tables)

    pairing = Pairing()
    assert pairing.same(seen([5], []), seen([1], []))
    assert pairing.same(seen([4], []), seen([2], []))
    assert pairing.same(seen([], [4, 5]), seen([], [1, 2])), "sorted by numbers that mean nothing"
    assert not pairing.same(seen([], [4, 4]), seen([], [1, 2]))
    assert pairing.same(seen([], [4, 5, 9]), seen([], [1, 2, 3])), "a new one"
    assert not pairing.same(seen([], [9]), seen([], [1]))


class Foreseeing(ModelSides):
    """A model that says the kernel would die of a page given back."""

    def model(self, options):
        machine = super().model(options)

        class Model:
            def step(self, name, **arguments):
                if name == "madvise_dontneed":
                    raise Death("BUG foreseen")
                return machine.step(name, **arguments)

        return Model()


def test_a_death_that_was_foreseen_is_a_finding_and_one_that_does_not_come_is_a_difference():
    died = play(Foreseeing(lie=dies_at("madvise_dontneed")), UNMAP).difference
    assert died.crash == "BUG: somewhere, as the model says"
    lived = play(Foreseeing(), UNMAP).difference
    assert lived.crash is None and lived.facts == (("end", "goes on", "BUG foreseen"),)


def test_shortening_gives_up_options_that_are_not_needed():
    def lie(name, seen):
        two = name == "access" and len(seen.vcpus) == 2
        return changed(seen, pf_taken=seen.state.pf_taken + 1) if two else seen

    sides = ModelSides(lie=lie)
    options = {**UNMAP.options, "vcpus": 2, "nx_huge_pages": 1, "manual_protect": 3}
    long = Script(UNMAP.steps, options)
    short, _ = shorten(sides, long, play(sides, long).difference)
    assert short.options == {**UNMAP.options, "vcpus": 2}
