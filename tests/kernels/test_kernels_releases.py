# SPDX-License-Identifier: GPL-2.0-only
"""Parsing versions, and what they leave open."""

import pytest

from conformance.kernels import SERIES
from conformance.kernels.pins import pinned_release
from conformance.kernels.releases import caution, release_numbers, series_of


def test_numbers() -> None:
    assert release_numbers("6.12.118") == (6, 12, 118)
    assert release_numbers("7.4.0-rc2") == (7, 4, 0)
    assert release_numbers("7.3.4-1~bpo13+1") == (7, 3, 4)
    assert series_of("7.3~rc7-1~exp1") == "7.3"
    assert {series: pinned_release(series)[:2] for series in SERIES} == {
        series: tuple(map(int, series.split("."))) for series in SERIES
    }


@pytest.mark.parametrize("version", ["5.10.223", "6.1.192", "6.12.118", "7.3.0"])
def test_a_release_of_a_known_series_needs_no_caution(version: str) -> None:
    assert caution(version) is None


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("7.4.0-rc2", "Linux 7.4.0-rc2 is newer than every series that the registry of changes knows"),
        ("7.4.0-rc2", "with the profile of 7.3"),
        ("8.0.1", "is newer than every series"),
        ("6.6.30", "Linux 6.6 is unknown to the registry of changes"),
        ("6.6.30", "with the profile of mainline's 6.6"),
        ("5.15.170", "Linux 5.15 is unknown"),
        ("6.18.1", "a change or backport that the registry does not know"),
        ("7.3.0-rc7", "Linux 7.3.0-rc7 is a release candidate"),
    ],
)
def test_open_questions_are_reported(version: str, words: str) -> None:
    assert words in (caution(version) or "")
