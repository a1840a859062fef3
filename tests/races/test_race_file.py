# SPDX-License-Identifier: GPL-2.0-only
"""Race files: reading is the inverse of writing, and other files are refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.races.race_file import RaceFile, read
from conformance.races.replaying import replay_file
from conformance.races.schedule import Segment
from conformance.races.stories import RACES

GOOD = RaceFile(
    "fault_against_release",
    "kvm",
    "ept-ad",
    "e930bffe95e1",
    "released memory is out of reach",
    (Segment("vcpu0", "f reads spte 4K gfn=0x102", 2), Segment("host"), Segment("vcpu0")),
)


def written(tmp_path, text):
    path = tmp_path / "a.race"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reading_is_the_inverse_of_writing(tmp_path):
    assert GOOD.race in RACES
    assert read(written(tmp_path, "\n".join(GOOD.lines(["| a diagram |"])))) == GOOD


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it has no schedule"),
        (b"\xff\xfe\x00", "it is not text"),
        ("hello world\nschedule\n", "'hello' in line 1 is not one of race, on, mode"),
        ("race nothing\non kvm\nmode ept-ad\nschedule\n", "no race is called 'nothing'"),
        ("race fault_against_release\non paper\nmode ept-ad\nschedule\n", "not on 'paper'"),
        ("race fault_against_release\non kvm\nmode dos\nschedule\n", "has no mode 'dos'"),
        ("race fault_against_release\non kvm\nmode npt\nschedule\n  rm -rf /\n", "is no line of a schedule"),
        ("race fault_against_release\non kvm\nmode npt\nschedule\n  vcpu9 to its end\n", "no thread vcpu9"),
    ],
)
def test_other_files_are_refused(tmp_path, text, sentence):
    with pytest.raises(ConformanceError, match=sentence):
        read(written(tmp_path, text))


def test_a_missing_file(tmp_path):
    with pytest.raises(ConformanceError, match="cannot be read"):
        read(tmp_path / "none")


@pytest.mark.kernel
def test_a_race_file_without_two_changes_is_replayed_without_both(tmp_path):
    lines = GOOD.lines()
    lines[1:4] = ["on model", "mode npt", "without e930bffe95e1 TDP_CMPXCHG"]
    found = replay_file(written(tmp_path, "\n".join(lines)), ("6.1",), (), lambda message: None)
    assert found.race_file.without == "e930bffe95e1 TDP_CMPXCHG"
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
def test_huge_race_files(tmp_path, text, sentence):
    path = written(tmp_path, text)
    if sentence is None:
        assert read(path).segments[0].nth == 1
        return
    with pytest.raises(ConformanceError, match=sentence) as refusal:
        read(path)
    assert len(str(refusal.value)) < 500


def test_a_name_with_a_null_byte():
    with pytest.raises(ConformanceError, match="cannot be read: embedded null byte"):
        read(Path("a\0b"))
