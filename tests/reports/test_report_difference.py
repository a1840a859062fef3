# SPDX-License-Identifier: GPL-2.0-only
"""The text of a difference, whatever is in it."""

import pytest
from report_samples import NASTY, failed, found

from conformance.differential.verdict import Verdict
from conformance.reports.difference import difference, headline
from conformance.reports.text import compact, duration, escaped, line, lines


def test_the_lines_of_a_difference():
    text = difference(failed(engine="-"), "6.1 + fix.mbox", 7, width=90)
    assert text == [
        "FAIL  spte_has_volatile_bits  ept-ad  6.1 + fix.mbox            case 312 of 65536, seed 7",
        "      spte    0x0600000000000975   present, leaf, R-X, host-writable, MMU-writable, W=0,",
        "                                   A=1, D=0",
        "      kernel  false",
        "      model   true",
        "      again   conformance run --kernel 6.1 --patch fix.mbox --only spte_has_volatile_bits"
        " --case 0x600000000000975",
    ]


def test_small_numbers_are_short_and_the_broken_rule_is_named():
    seen = found(
        inputs={"spte": 0x881, "level": 2},
        decoded={"spte": "present"},
        written={"spte": "0x0000000000000881", "level": "2"},
        rule="a 2 MiB child became executable with NX huge pages on",
        source="spte.c",
        legal=True,
    )
    text = difference(failed(engine="-", counterexample=seen), "6.1", 7)
    assert text[1:3] == ["      spte    0x0000000000000881   present", "      level   2"]
    assert text[-2] == "      rule    a 2 MiB child became executable with NX huge pages on (spte.c)"
    assert headline(failed(counterexample=seen)).startswith("a 2 MiB child became executable with NX huge")


def test_an_illegal_input_is_marked_and_has_no_rule():
    why = "this input breaks the precondition: spte is not huge; no legal input was found in 9 tries"
    seen = found(legal=False, precondition=why, differs="WARN f is missing")
    text = difference(failed(engine="-", counterexample=seen), "6.1", 7, width=200)
    assert f"      note    {why}" in text
    assert "      facts   differs in WARN f is missing" in text
    assert why in headline(failed(counterexample=seen))


def test_the_engines_are_listed():
    others = [failed(engine="bulk", mode="npt"), *[failed(mode=f"m{n}") for n in range(5)]]
    text = difference(failed(), "6.1", 7, others=others)
    assert text[-2] == "      found   by fuzz in ept-ad, m0, m1, m2, m3, m4; bulk in npt"
    both = [
        failed(mode="npt"),
        failed(engine="bulk"),
        failed(engine="bulk", mode="npt"),
        failed(engine="prove", mode="-"),
    ]
    text = difference(failed(), "6.1", 7, others=both)
    assert text[-2] == "      found   by fuzz and bulk in ept-ad, npt; prove"
    assert not any(part.lstrip().startswith("found") for part in difference(failed(engine="-"), "6.1", 7))


def test_several_columns_show_what_differs_and_sum_up_the_rest():
    seen = found(
        inputs={"old_spte": 1, "new": 2},
        decoded={},
        kernel={"memory": "0x1", "returns": "true", "access": "plain"},
        model={"memory": "0x2", "returns": "true", "access": "atomic"},
    )
    assert difference(failed(engine="-", counterexample=seen), "6.1", 7)[1:-1] == [
        "      old_spte  0x0000000000000001",
        "      new       0x0000000000000002",
        "      kernel    memory   0x1",
        "                access   plain",
        "      model     memory   0x2",
        "                access   atomic",
        "      both      returns true",
    ]


def test_a_column_only_one_side_has_is_shown_as_missing():
    seen = found(kernel={"returns": "0"}, model={"returns": "0", "warn": "once"})
    text = difference(failed(engine="-", counterexample=seen), "6.1", 7)
    assert "      kernel  warn   (nothing)" in text
    assert "      model   warn   once" in text


def test_a_crash_replaces_the_observation():
    seen = found(crash="killed by SIGSEGV", kernel={})
    text = difference(failed(engine="-", counterexample=seen), "6.1", 7)
    assert "      kernel  did not answer: killed by SIGSEGV" in text
    assert "      model   true" in text
    assert headline(failed(counterexample=seen)).endswith("the kernel did not answer: killed by SIGSEGV")


def test_the_command_is_never_folded_and_keeps_its_spaces():
    again = "conformance run --patch '" + "a  b " * 60 + "'"
    text = difference(failed(counterexample=found(again=again)), "6.1", 7, width=40)
    assert text[-1] == f"      again   {again}"


@pytest.mark.parametrize("width", [40, 80, 100])
def test_all_lines_but_the_command_are_folded(width):
    text = difference(failed(), "6.1", 7, width=max(width, 62))
    assert all(len(part) <= max(width, 62) for part in text[:-1])


def test_a_long_header_moves_the_case_to_its_own_line():
    text = difference(failed(), "6.1 + " + "x" * 80, 7, width=80)
    assert text[1] == "      case 312 of 65536, seed 7"


def test_a_failure_without_a_reason_counts_its_cases():
    assert "after 312 cases, seed 7" in difference(failed(reason=""), "6.1", 7)[0]


def test_a_failure_without_a_counterexample_says_so():
    text = difference(failed(counterexample=None, verdict=Verdict.FAIL), "6.1", 7)
    assert text[1] == "      no counterexample was recorded"


def test_headline_names_input_and_both_sides():
    assert headline(failed()) == "spte=0x600000000000975: returns is false in the kernel, true in the model"


def test_unprintable_characters_are_escaped():
    assert "\n" in NASTY and not NASTY.isprintable()
    for text in (difference(failed(counterexample=found(crash=NASTY, again=NASTY)), NASTY, 7), [line(NASTY)]):
        assert all(part.isprintable() for part in text)
    assert line(NASTY).startswith(r"a\x1b[31mred\x00 b not ok")
    assert escaped("a  b\n") == r"a  b\n"
    assert lines("\nfirst\n\tsecond \x07\n\n") == ["first", r"        second \x07"]


def test_numbers_stay_short():
    counts = (0, 999, 1000, 65536, 999_949, 999_950, 10**9)
    assert [compact(count) for count in counts] == ["0", "999", "1.0k", "65.5k", "999.9k", "1.0M", "1.0G"]
    assert [duration(seconds) for seconds in (0.04, 31.2, 125)] == ["0.0 s", "31 s", "2 min 5 s"]


STORY = {
    "inputs": {},
    "decoded": {},
    "again": "conformance scenario run first_read",
    "steps": ("mmap page=0x0 npages=0x10 writable=1 level=4K", "access vcpu=0 gfn=0x100 kind=read"),
}


def test_a_story_shows_its_steps_and_both_sides_under_each_place():
    place = "root 0 > level 3 gfn 0x0 > level 2 gfn 0x0 > level 1 gfn 0x100"
    seen = found(**STORY, kernel={place: "0x1 one"}, model={place: "0x2 two"})
    result = failed(engine="-", reason="step 2 of 9", counterexample=seen)
    assert difference(result, "6.1", None)[1:] == [
        "      steps   mmap page=0x0 npages=0x10 writable=1 level=4K",
        "              access vcpu=0 gfn=0x100 kind=read",
        f"      at      {place}",
        "      kernel  0x1 one",
        "      model   0x2 two",
        "      again   conformance scenario run first_read",
    ]
    assert headline(result).startswith("2 steps, then access vcpu=0 gfn=0x100 kind=read: root 0 > level 3")


def test_a_story_on_which_kernel_code_died_shows_its_transcript():
    seen = found(**STORY, kernel={}, model={}, crash="BUG", details=("  1 mmap", "      outcome  nothing"))
    text = difference(failed(engine="-", counterexample=seen), "6.1", None)
    assert text[3:6] == [
        "      kernel  did not answer: BUG",
        "        1 mmap",
        "            outcome  nothing",
    ]


def test_the_number_of_places_is_limited():
    kernel, model = ({f"root 0 > level 1 gfn {n:#x} and so on": side for n in range(40)} for side in "12")
    seen = found(**STORY, kernel=kernel, model=model)
    text = difference(failed(engine="-", counterexample=seen), "6.1", 7)
    assert text[-2] == "              and 28 more places"
    assert sum("  at  " in line for line in text) == 12


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (("kernel", "model"), "returns is false in the kernel, true in the model"),
        (("module", "model"), "returns is false in the module, true in the model"),
        (("model", "invariant"), "returns is false in the model, true in the invariant"),
        (("6.1", "6.12"), "returns is false in 6.1, true in 6.12"),
    ],
)
def test_the_names_of_the_sides(sides, said):
    result = failed(engine="-", counterexample=found(sides=sides))
    assert headline(result).endswith(said)
    text = [entry.split() for entry in difference(result, "6.1", 7)]
    assert [sides[0], "false"] in text and [sides[1], "true"] in text
    crashed = failed(counterexample=found(sides=sides, crash="died", kernel={}))
    assert "kernel" not in headline(crashed) or "kernel" in sides
