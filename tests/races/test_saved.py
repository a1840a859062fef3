# SPDX-License-Identifier: GPL-2.0-only
"""Race files: read as they were written, and what is none is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.races.replaying import follow
from conformance.races.saved import Saved, read
from conformance.races.schedule import Leg
from conformance.races.stories import RACES

GOOD = Saved(
    "fault_against_release",
    "kvm",
    "ept-ad",
    "e930bffe95e1",
    "released memory is out of reach",
    (Leg("vcpu0", "f reads spte 4K gfn=0x102", 2), Leg("host"), Leg("vcpu0")),
)


def written(tmp_path, text):
    path = tmp_path / "a.race"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_was_written_is_read(tmp_path):
    assert GOOD.race in RACES
    assert read(written(tmp_path, "\n".join(GOOD.lines(["| a picture |"])))) == GOOD


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it has no schedule"),
        (b"\xff\xfe\x00", "it is not text"),
        ("hello world\nschedule\n", "'hello' in line 1 is none of race, on, mode"),
        ("race nothing\non kvm\nmode ept-ad\nschedule\n", "no race is called 'nothing'"),
        ("race fault_against_release\non paper\nmode ept-ad\nschedule\n", "not on 'paper'"),
        ("race fault_against_release\non kvm\nmode dos\nschedule\n", "has no mode 'dos'"),
        ("race fault_against_release\non kvm\nmode npt\nschedule\n  rm -rf /\n", "is no line of a schedule"),
        ("race fault_against_release\non kvm\nmode npt\nschedule\n  vcpu9 to its end\n", "no thread vcpu9"),
    ],
)
def test_what_is_no_race_file(tmp_path, text, sentence):
    with pytest.raises(ConformanceError, match=sentence):
        read(written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConformanceError, match="cannot be read"):
        read(tmp_path / "none")


@pytest.mark.kernel
def test_a_race_without_two_changes_is_followed_without_both(tmp_path):
    lines = GOOD.lines()
    lines[1:4] = ["on model", "mode npt", "without e930bffe95e1 TDP_CMPXCHG"]
    found = follow(written(tmp_path, "\n".join(lines)), ("6.1",), (), lambda message: None)
    assert found.saved.without == "e930bffe95e1 TDP_CMPXCHG"
    assert found.outcome.trouble == ""


HEAD = "race fault_against_release\non kvm\nmode npt\nschedule\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEAD + "  vcpu0 until x" + " " * 100_000 + "y\n", "it has a line of 100,016 characters"),
        (HEAD + "  vcpu0 to its end\n" * 10_001, "its schedule has more than 10,000 lines"),
        (HEAD + "  vcpu0 until x #" + "1" * 4000 + "\n" * 2, None),
        ("\n" * (1 << 20) + HEAD, "larger than 1 MiB"),
        ("race " + "x" * 3000 + "\nschedule\n", "no race is called 'x"),
    ],
)
def test_a_race_file_of_giants(tmp_path, text, sentence):
    path = written(tmp_path, text)
    if sentence is None:
        assert read(path).legs[0].nth == 1
        return
    with pytest.raises(ConformanceError, match=sentence) as refusal:
        read(path)
    assert len(str(refusal.value)) < 500


def test_a_name_that_no_file_has():
    with pytest.raises(ConformanceError, match="cannot be read: embedded null byte"):
        read(Path("a\0b"))
