# SPDX-License-Identifier: GPL-2.0-only
"""Random stories of a live kernel: what its host can do, and where they end without a verdict."""

from __future__ import annotations

from dataclasses import replace

from model_sides import ModelSides, drop_flushes

from conformance.differential.verdict import Verdict
from conformance.interface.live import HOST_STEPS, NOT_LIVE
from conformance.interface.options import check_options
from conformance.scenarios.comparing import Incomparable
from conformance.scenarios.drawing_live import RealHost
from conformance.scenarios.judging_scenario import Facts, judge
from conformance.scenarios.lockstep import walk
from conformance.scenarios.shrinking import shorten
from conformance.scenarios.steps import parse
from conformance.scenarios.stories import STORIES
from conformance.scenarios.walks import WALKS

LIVE = replace(WALKS["npt"], live=True)
HUGE = "mmap page=0x400 npages=0x400 level=2M"


def host(*lines):
    """A real host after some steps."""
    made = RealHost()
    for step in map(parse, lines):
        if step.kind == "mmap":
            given = step.arguments
            made.mapped(given["page"], given["npages"], given["level"], bool(given["writable"]))
        else:
            made.note(step)
    return made


def like(line, *before):
    found = host(*before).like(parse(line))
    return None if found is None else str(found)


def test_system_calls_are_made_inside_of_areas():
    assert like("touch page=1 write=1") is None
    assert like("touch page=0x400 write=1", HUGE) is not None
    assert like("madvise_dontneed page=0x7ff npages=0x40", HUGE) == "madvise_dontneed page=0x7ff npages=0x1"
    assert like("enter vcpu=0") == "enter vcpu=0"


def test_the_last_pages_of_a_split_huge_page_are_not_discarded():
    split = (HUGE, "touch page=0x400 write=1", "madvise_dontneed page=0x401 npages=0x1ff")
    assert like("madvise_dontneed page=0x400", *split) is None
    assert like("madvise_dontneed page=0x400 npages=0x200", *split) is None
    assert like("madvise_dontneed page=0x600 npages=0x200", *split) is not None
    assert like("madvise_dontneed page=0x401 npages=0x8", *split) is not None
    assert like("madvise_dontneed page=0x400 npages=0x200", *split, "collapse page=0x400") is not None


def test_only_split_huge_pages_are_collapsed():
    used = (HUGE, "touch page=0x400 write=1")
    assert like("collapse page=0x5ff", *used) is None
    assert like("collapse page=0x5ff", *used, "madvise_dontneed page=0x500") == "collapse page=0x5ff"
    assert like("collapse page=0x600", *used, "madvise_dontneed page=0x500") == "collapse page=0x400"
    assert like("collapse page=0x600", *used, "madvise_dontneed page=0x600") is None
    assert like("collapse page=0x1f0", "mmap page=0x1f0 npages=0x40", "touch page=0x1f0 write=1") is None


def test_fork_protects_whole_huge_pages_that_were_written():
    written = (HUGE, "touch page=0x400 write=1")
    assert like("wrprotect page=0x401", HUGE, "touch page=0x400 write=0") is None
    assert like("wrprotect page=0x401", *written) == "wrprotect page=0x400 npages=0x200"
    assert like("wrprotect page=0x401", *written, "madvise_dontneed page=0x500") is None
    small = ("mmap page=0x1f0 npages=0x40", "touch page=0x1f0 write=1")
    assert like("wrprotect page=0x1f8 npages=0x8", *small) == "wrprotect page=0x1f8 npages=0x8"


def test_ksm_merges_one_small_page_that_was_written():
    small = ("mmap page=0x1f0 npages=0x40", "touch page=0x1f8 write=1", "touch page=0x1f9 write=1")
    assert like("ksm_merge page=0x1f8", *small) == "ksm_merge page=0x1f8"
    assert like("ksm_merge page=0x1f7", *small) is None
    assert like("ksm_merge page=0x1f8", *small, "madvise_dontneed page=0x1f8") is None
    merged = (*small, "ksm_merge page=0x1f8")
    assert like("ksm_merge page=0x1f9", *merged) is None
    # Its area has three parts.
    for before, after in ((0x1F0, 8), (0x1F8, 1), (0x1F9, 0x37)):
        found = like(f"madvise_dontneed page={before:#x} npages=0x40", *merged)
        assert found == f"madvise_dontneed page={before:#x} npages={after:#x}"


def test_aging_and_fork_are_not_drawn():
    assert not {"clear_young", "wrprotect"} & {*LIVE.kinds}
    assert "grace_period" in LIVE.kinds
    assert "grace_period" not in replace(LIVE, without=frozenset({"grace_period"})).kinds


def test_a_huge_page_is_not_split_between_fork_and_a_write():
    shared = (HUGE, "touch page=0x400 write=1", "wrprotect page=0x400 npages=0x200")
    assert like("madvise_dontneed page=0x500", *shared) is None
    assert like("madvise_dontneed page=0x400 npages=0x200", *shared) is not None
    assert like("madvise_dontneed page=0x500", *shared, "touch page=0x5ff write=1") is not None


def test_random_stories_are_what_a_live_kernel_can_take():
    seen = []

    def look(name, observation):
        seen.append(name)

    for seed in range(20):
        walked = walk(ModelSides("npt", lie=look), LIVE, seed, 3)
        assert walked.found is None and walked.lacking is None
        assert not NOT_LIVE.keys() & {*seen}
        if {*HOST_STEPS} & {*LIVE.kinds} <= {*seen}:
            return
    raise AssertionError(f"only {sorted({*seen})} were drawn")


def test_drawn_steps_are_permitted_again_and_others_are_not():
    sides = ModelSides("npt", lie=drop_flushes)
    walked = walk(sides, LIVE, 5, 20)
    script, played = walked.found

    def permits(shorter, observations):
        return LIVE.scene(shorter.options).permits(shorter.steps, observations)

    assert permits(script, played.kernel)
    short, shown = shorten(sides, script, played.difference, permits)
    assert permits(short, shown.kernel) and short.steps[-1].kind == "madvise_dontneed"
    scene = LIVE.scene(check_options({}))
    assert not scene.permits([parse("madvise_dontneed page=1")], [])
    assert not scene.permits([parse("smm vcpu=0 on=0")], [])
    assert not scene.permits([parse("access vcpu=0 gfn=0 kind=read")], [])


def refuses(name, observation):
    """A host that can neither fork nor collapse."""
    if name in ("wrprotect", "collapse"):
        raise Incomparable(f"{name} returned -12 on the host of the live kernel")


def test_a_story_ends_uncounted_where_the_host_does_otherwise():
    walked = walk(ModelSides("npt", lie=refuses), LIVE, 5, 3)
    assert walked.found is None and walked.lacking is None
    assert walked.incomparable.total() > 0 and not walked.steps["collapse"]
    assert "stories ended early: collapse returned -12" in walked.summary


def test_a_scenario_is_skipped_where_the_host_does_otherwise():
    name = "host_forks"
    found = judge(
        ModelSides("npt", lie=refuses), name, STORIES[name].script, Facts(None, "6.1", ()), golden=False
    )
    assert found.verdict is Verdict.SKIP and found.reason.startswith("wrprotect returned -12")
