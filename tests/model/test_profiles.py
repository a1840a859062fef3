# SPDX-License-Identifier: GPL-2.0-only
"""Profiles: by mainline's release, and backports by point release."""

import copy
import pickle
import subprocess
import sys

import pytest

from conformance.kernels import SERIES
from conformance.kernels.pins import pinned_release
from conformance.model.changes import CHANGES, MMIO_CACHE_OF_ADDRESS_SPACE, RACES, UNSYNC_SKIP_IFF_LEAF
from conformance.model.profiles import BACKPORTS, Backport, profile_of


def test_a_backport_counts_from_its_point_release_on() -> None:
    backport = Backport(UNSYNC_SKIP_IFF_LEAF, "6.12.10", "")
    assert [backport.has(release) for release in ((6, 12, 9), (6, 12, 10), (6, 12, 11), (6, 12))] == [
        False,
        True,
        True,
        True,
    ]
    assert not any(backport.has(release) for release in ((6, 1, 200), (6, 13, 0), (7, 2)))


@pytest.mark.parametrize("backport", BACKPORTS, ids=lambda one: f"{one.since}-{one.change.commit}")
def test_backports_are_of_known_series_and_older_than_their_mainline(backport: Backport) -> None:
    release = tuple(map(int, backport.since.split(".")))
    assert f"{release[0]}.{release[1]}" in SERIES
    assert len(release) == 3
    assert release < backport.change.release
    assert backport.source
    before = (*release[:2], release[2] - 1)
    assert profile_of(release).has(backport.change)
    assert not profile_of(before).has(backport.change)


def test_one_point_release_is_unlike_another() -> None:
    assert not profile_of(pinned_release("6.12")).has(MMIO_CACHE_OF_ADDRESS_SPACE)
    assert profile_of((6, 12, 118)).has(MMIO_CACHE_OF_ADDRESS_SPACE)


def test_an_unknown_series_has_what_mainline_had() -> None:
    everything = {*CHANGES.values(), *RACES.values()}
    assert profile_of((7, 4, 0)).changes == profile_of((99, 0, 0)).changes == everything
    assert profile_of((6, 6, 30)).changes == {change for change in everything if change.release <= (6, 6)}


def test_a_change_from_another_process_is_the_one_of_this_process() -> None:
    profile = pickle.loads(pickle.dumps(profile_of((6, 12))))
    assert profile == profile_of((6, 12)) and copy.deepcopy(profile) == profile
    code = (
        "import pickle, sys; profile = pickle.load(sys.stdin.buffer);"
        "from conformance.model.changes import TDP_XCHG; print(profile.has(TDP_XCHG))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(profile), capture_output=True)
    assert done.stdout.split() == [b"True"]
