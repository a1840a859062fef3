# SPDX-License-Identifier: GPL-2.0-only
"""Random stories: every kind of step, the same again by seed, differences found and saved to a file."""

import random

import pytest
from model_sides import ModelSides, ProcessSides, drop_flushes

from conformance.errors import ConformanceError
from conformance.interface.observation import Observation, SlotView
from conformance.interface.options import OPTIONS, check_options
from conformance.interface.steps import KINDS
from conformance.scenarios import saved
from conformance.scenarios.comparing import Match
from conformance.scenarios.drawing_guests import DATA, TABLES
from conformance.scenarios.lockstep import drawn, taken, walk
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.preconditions import check
from conformance.scenarios.shrinking import shorten
from conformance.scenarios.steps import parse
from conformance.scenarios.story import Script
from conformance.scenarios.walks import WALKS, walks


def walked_in(name, *, seed, budget, lie=None):
    kind = WALKS[name]
    return walk(ModelSides(kind.mode, lie=lie), kind, seed, budget)


@pytest.mark.parametrize("name", TDP_MODES)
def test_every_kind_of_step_is_drawn(name):
    walked = walked_in(name, seed=3, budget=4)
    assert walked.found is None
    assert set(walked.steps) == {*WALKS[name].kinds, "destroy"}
    assert f"{walked.steps.total():,} steps in {walked.stories:,} stories" in walked.summary
    assert "never" not in walked.summary


@pytest.mark.parametrize("name", ["legacy-ept-ad", "shadow", "nested-ept-ad", "nested-npt"])
def test_random_stories_of_shadow_pages_are_played(name):
    walked = walked_in(name, seed=3, budget=3)
    assert walked.found is None and walked.lacking is None
    opening = {"mmap", "set_memory_region", "store", "set_sregs"}
    assert {*walked.steps} <= {*WALKS[name].kinds, *opening, "destroy"} and walked.steps.total() > 50


def test_each_mode_has_its_kinds_of_steps():
    of = {name: {*kind.kinds} for name, kind in WALKS.items()}
    assert {"access", "walk_next"} <= of["npt"] and not {"execute", "enter_l2"} & of["npt"]
    assert "access" in of["legacy-npt"] and "walk_next" not in of["legacy-npt"]
    assert {"execute", "invlpg", "set_cr4"} <= of["shadow"] and not {"access", "enter_l2"} & of["shadow"]
    assert {"execute", "enter_l2", "invept"} <= of["nested-npt"] and "invlpg" not in of["nested-npt"]
    drawn = set().union(*of.values())
    # Host memory of drawn stories has no address to move a page to, and nothing reads the host's marks.
    assert drawn | {"destroy", "mremap", "take_marks"} == {*KINDS}


@pytest.mark.parametrize("name", ["shadow", "nested-ept-ad", "nested-npt"])
def test_stories_of_guests_with_tables_are_possible_and_meet_again(name):
    """Every step may follow those before it; the guest's tables map themselves, each other and data."""
    rng, kinds, shapes = random.Random(1), set(), set()
    for _ in range(40):
        options = check_options({"vcpus": 2})
        scene = WALKS[name].scene(options)
        steps = []
        for made in drawn(scene, rng.getrandbits(48), [rng.getrandbits(48) for _ in range(60)]):
            steps.append(made)
            scene.note(made, Observation([0], [], slots=[SlotView(0, 0, 0, 0x400, 0, ())]))
            if made.kind == "store":
                target = made.arguments["value"] >> 12 & 0xFFFFF
                shapes.add((made.arguments["gfn"] == target, target in TABLES, target in DATA))
        check(steps, options, [WALKS[name].mode])
        kinds |= {made.kind for made in steps}
    assert kinds >= {*WALKS[name].kinds} - {"notifier_end", "smm"}
    assert shapes >= {(True, True, False), (False, True, False), (False, False, True)}


def test_an_unknown_mode_is_refused():
    assert [kind.name for kind in walks(["npt", "nested-npt"])] == ["npt", "nested-npt"]
    assert len(walks([])) == len(WALKS)
    with pytest.raises(ConformanceError, match="no random stories have mode npt-me; there are ept-ad"):
        walks(["npt-me"])


def test_a_difference_is_found_and_shortened_and_repeats_by_seed():
    found = []
    for _ in range(2):
        sides = ModelSides(lie=drop_flushes)
        walked = walk(sides, WALKS["ept-ad"], seed=5, budget=20)
        script, played = walked.found
        check(script.steps, script.options, ["ept-ad"])
        found.append(shorten(sides, script, played.difference))
    (first, played), (second, _) = found
    assert first == second
    assert [step.kind for step in first.steps] == ["madvise_dontneed"] and played.difference is not None


def test_no_step_is_begun_or_kept_after_a_difference_although_the_model_goes_ahead():
    told = []
    for sides in (ModelSides(lie=drop_flushes), ProcessSides(lie=drop_flushes)):
        rng, stories = random.Random(2), []
        for _ in range(12):
            options = check_options({})
            scene = WALKS["ept-ad"].scene(options)
            words = [rng.getrandbits(48) for _ in range(31)]
            with Match(sides, options, spare=True) as match:
                steps = [*taken(match, scene, drawn(scene, words[0], words[1:]))]
            played = match.played
            assert played.steps == steps and len(played.kernel) == len(played.model) == len(steps)
            if isinstance(sides, ProcessSides):
                assert sides.begun == [(step.kind, step.arguments) for step in steps]
            assert played.difference is None or played.difference.at == len(steps) - 1
            stories.append((steps, played.difference))
        told.append(stories)
    assert told[0] == told[1]
    assert {difference is None for _, difference in told[0]} == {True, False}


def test_what_never_came_is_told():
    walked = walked_in("ept-ad", seed=1, budget=1e-9)
    assert walked.stories == 1 and walked.steps.total() > 0
    assert " steps in 1 stories: " in walked.summary and "; never: " in walked.summary


STEPS = tuple(
    map(
        parse,
        ("mmap page=0 npages=16", "set_memory_region gfn=0 npages=16 page=0", "access gfn=1 kind=write"),
    )
)


def test_a_saved_story_is_read_as_it_was(tmp_path):
    options = {name: argument.default for name, argument in OPTIONS.items()} | {"vcpus": 2}
    path = tmp_path / "found.scenario"
    saved.write(path, Script(STEPS, options), "npt", "lockstep, seed 7")
    again = saved.read(str(path))
    assert again.script == Script(STEPS, options) and again.modes == ("npt",)
    assert again.name == str(path)
    assert path.read_text().splitlines()[:4] == [
        "# conformance scenario 1", "# lockstep, seed 7", "mode npt", "option vcpus=2"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a scenario file"),
        ("mmap page=0\n", "is not a scenario file"),
        ("# conformance scenario 1\n", "has no steps"),
        ("# conformance scenario 1\n\nmap page=0\n", "line 3: there is no step map"),
        ("# conformance scenario 1\noption cpus=2\n", "line 2: there is no option cpus"),
        ("# conformance scenario 1\nmode npt-me\n", "line 2: there is no mode npt-me for scenarios"),
        ("# conformance scenario 1\nwalk_next\n", "no reader walks"),
        ("# conformance scenario 1\noption pml=1\ngrace_period\n", "pml=1 needs ept-ad or legacy-ept-ad"),
        ("# conformance scenario 1\n" + "grace_period\n" * 2001, "has more than 2,000 steps"),
        ("# conformance scenario 1\n" + "x" * 4097, "it has a line of 4,097 characters"),
        ("# conformance scenario 1\n" + "x" * 4000, r"there is no step x{183} \.\.\. "),
        ("# conformance scenario 1\n" * 100_000, "larger than 1 MiB"),
        ("# conformance scenario 1\ntouch page=²\n", "page=² is not a number"),
        ("# conformance scenario 1\ntouch page=" + "9" * 3000, "is not a number"),
        ("\udcff", "it is not text"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_a_sentence(tmp_path, text, complaint):
    path = tmp_path / "bad.scenario"
    path.write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(ConformanceError, match=complaint):
        saved.read(str(path))


def test_a_mode_that_is_named_often_counts_once(tmp_path):
    (tmp_path / "many.scenario").write_text(
        "# conformance scenario 1\n" + "mode npt\n" * 500 + "grace_period\n"
    )
    assert saved.read(str(tmp_path / "many.scenario")).modes == ("npt",)


def test_a_file_that_is_not_there():
    with pytest.raises(ConformanceError, match="cannot be read: No such file"):
        saved.read("./nowhere.scenario")
    assert (
        saved.is_file_name("x.scenario")
        and saved.is_file_name("./x")
        and not saved.is_file_name("first_read")
    )
