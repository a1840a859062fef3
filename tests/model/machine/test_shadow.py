# SPDX-License-Identifier: GPL-2.0-only
"""The three races of the fast page fault's notes on locking: found without the precaution, not with it."""

import pytest
from exploring import READ, WRITE, clean, explore, replay, revoked, unlogged

from conformance.model import changes as C
from conformance.model.profiles import profile_of
from conformance.races.model.shadow import RacingShadow

PAGE, OTHER = 1, 2
LOG, GET_LOG = ("log", {"on": 1}), ("get_dirty_log", {})


def access(kind):
    return "access", {"vcpu": 0, "page": PAGE, "kind": kind}


SWAP_OUT = ("swap_out", {"gfn": PAGE})
CHANGE_GPTE = ("set_gpte", {"page": PAGE, "gfn": OTHER})

STORIES = {
    "the frame comes back under another gfn": (
        C.FAST_FAULT_DIRECT_ONLY,
        unlogged,
        {
            "direct": False,
            "setup": [LOG, access(READ), GET_LOG],
            "threads": {"vcpu0": [access(WRITE)], "host": [SWAP_OUT, CHANGE_GPTE, GET_LOG]},
            "closing": [GET_LOG],
        },
    ),
    "W was clear when it was looked at": (
        C.FLUSH_IF_MMU_WRITABLE,
        revoked,
        {
            "direct": True,
            "setup": [LOG, access(WRITE), GET_LOG],
            "threads": {"vcpu0": [access(WRITE), access(WRITE)], "vcpu1": [("shadow_gfn", {"gfn": PAGE})]},
        },
    ),
    "Dirty is set between a look and a store": (
        C.VOLATILE_IF_MMU_WRITABLE,
        clean,
        {
            "direct": True,
            "setup": [LOG, access(READ), GET_LOG],
            "threads": {"vcpu0": [access(WRITE)], "host": [SWAP_OUT]},
            "closing": [SWAP_OUT],
        },
    ),
}


@pytest.mark.parametrize("release", [(6, 1), (7, 3)])
@pytest.mark.parametrize("name", STORIES)
def test_a_story_of_seed_4(name, release):
    missing, judge, given = STORIES[name]
    profile = profile_of(release)
    historic = RacingShadow(profile.without(missing), **given)
    found = explore(historic, judge)
    assert found.bad
    names, ending = replay(historic, found.schedule)
    assert tuple(judge(ending)) == found.bad
    assert any("fast_page_fault compares and exchanges spte 4K gfn=0x1" in name for name in names)
    today = explore(RacingShadow(profile, **given), judge)
    assert not today.bad and today.exhausted and not today.deadlocks


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no such step of shadow paging: mmap"):
        RacingShadow(profile_of((6, 1)), direct=True, setup=[("mmap", {})], threads={})
