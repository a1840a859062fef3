# SPDX-License-Identifier: GPL-2.0-only
"""The NX huge page mitigation: which tables it makes, and what may replace them."""

import pytest
from machine_story import FIXED, RELEASES, Story

from conformance.model.changes import NX_TAG_DECIDES
from conformance.model.profiles import profile_of


@pytest.mark.parametrize("release", RELEASES)
def test_a_table_made_for_a_fetch_stays(release):
    story = Story(release, nx_huge_pages=1).area(512, level=2, populate=True).slot()
    assert story.fetch(0x40004) == [FIXED, 0]
    assert story.read(0x40010) == [FIXED, 0]
    assert story.state("pages_4k", "pages_2m", "nx_lpage_splits") == (2, 0, 1)


@pytest.mark.parametrize("release", RELEASES)
def test_a_table_made_for_small_pages_goes(release):
    """Until v6.2 any table was taken for one that the mitigation needs."""
    story = Story(release, nx_huge_pages=1).area(populate=True).slot()
    story.read(0x40000)
    story.collapse(page=0)
    assert story.read(0x40010) == [FIXED, 0]
    huge = profile_of(release).has(NX_TAG_DECIDES)
    assert story.state("pages_4k", "pages_2m") == ((0, 1) if huge else (1, 0))


@pytest.mark.parametrize("release", RELEASES)
def test_small_host_pages_are_not_to_be_recovered(release):
    story = Story(release, nx_huge_pages=1).area(populate=True).slot()
    assert story.fetch(0x40000) == [FIXED, 0]
    assert story.state("nx_lpage_splits") == 0
    story.recover_nx_huge_pages()
    assert story.state("pages_4k") == 1


def test_a_huge_page_is_not_executable():
    story = Story(nx_huge_pages=1).area(512, level=2, populate=True).slot()
    story.read(0x40000)
    assert not story.entries(2)[0x40000] & 4
    story.set_nx_huge_pages(on=0)
    assert story.state("pages_2m") == 0, "a change of mind drops everything"
    story.read(0x40000)
    assert story.entries(2)[0x40000] & 4
    story.set_nx_huge_pages(on=0)
    assert story.state("pages_2m") == 1


@pytest.mark.parametrize(("on", "flushes"), [(0, 1), (1, 2)])
def test_recovery_that_yields_flushes_for_each_table(on, flushes):
    story = Story(nx_huge_pages=1).area(1024, level=2, populate=True).slot(1024)
    story.fetch(0x40000)
    story.fetch(0x40200)
    assert story.state("nx_lpage_splits", "flush_requests") == (2, 0)
    story.resched(on=on)
    story.recover_nx_huge_pages()
    assert story.state("nx_lpage_splits", "pages_4k", "flush_requests") == (0, 0, flushes)
