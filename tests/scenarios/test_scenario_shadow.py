# SPDX-License-Identifier: GPL-2.0-only
"""Shadow pages are paired, named, shown and claimed by their places, whatever their serial numbers."""

from types import SimpleNamespace

import pytest

from conformance.interface.access import End, Exit
from conformance.interface.observation import (
    Counters,
    MemoryWord,
    Observation,
    PageEntry,
    PagingView,
    RmapView,
    RoleView,
    ShadowPageView,
    ShadowTlbEntry,
    ShadowView,
    SlotView,
    State,
)
from conformance.model.modes import VM_MODES, kernel_in
from conformance.model.profiles import profile_of
from conformance.model.spte.predicates import spte_to_pfn
from conformance.scenarios.comparing import differing
from conformance.scenarios.observation_text import outcome
from conformance.scenarios.pairing import Pairing
from conformance.scenarios.preconditions import check
from conformance.scenarios.steps import parse
from conformance.scenarios.transcript import transcript
from conformance.scenarios.view import View

K = kernel_in(VM_MODES["shadow"], profile_of((6, 1)))
ROLE = RoleView(*(0,) * len(RoleView._fields))._replace(access=7, efer_nx=1, cr0_wp=1)
LEAF = 1 << 11 | 0x10 << 12 | 0x67
TABLE = 1 << 11 | 0x27


def shadow(first=1, *, order=(0, 1), unsync=0, at=5):
    """A root and a table below it, numbered from ``first``, that translate 0x5000."""
    pages = [
        ShadowPageView(
            first, 0x200, ROLE._replace(level=2), 0, unsync, 1, 0, 0, 0, 0,
            (PageEntry(0, TABLE, first + 1, 0, 0, unsync),),
        ),
        ShadowPageView(
            first + 1, 0x201, ROLE._replace(level=1), unsync, 0, 0, 1, 0, 0, 0,
            (PageEntry(at, LEAF, 0, 0x10, 7, 0),),
        ),
    ]  # fmt: skip
    cached = ShadowTlbEntry(0, 0, 5, 1, 0x10, 3, 1)
    vcpu = PagingView(
        1, 2, 3, 4, 0, ROLE._replace(level=2), first, 0x200000, ((0, 0),) * 3, (0,) * 4, 0, 0, (cached,)
    )
    return ShadowView(
        Counters(*range(10)), [vcpu], [pages[n] for n in order], [RmapView(0, 1, 0x10, 1, 0, 0)]
    )  # fmt: skip


def seen(view, memory=()):
    slots = [SlotView(0, 0, 0, 0x400, 0, ())]
    return Observation([0], [], State(), tlb=[()], slots=slots, memory=memory, shadow=view)


def test_serial_numbers_are_paired_and_order_counts():
    pairing = Pairing()
    assert pairing.same(seen(shadow(1)), seen(shadow(1)))
    assert not pairing.same(seen(shadow(1)), seen(shadow(7))), "1 was 1 before"
    pairing = Pairing()
    assert pairing.same(seen(shadow(1)), seen(shadow(7)))
    assert pairing.same(seen(shadow(1)), seen(shadow(7)))
    assert not pairing.same(seen(shadow(1)), seen(shadow(9))), "the page is another one"
    for other in (shadow(7, order=(1, 0)), shadow(7, unsync=1), shadow(7, at=6), None):
        assert not Pairing().same(seen(shadow(1)), seen(other))
    assert not Pairing().same(seen(shadow(1)), seen(shadow(1), [MemoryWord(1, 0, 5)]))


def test_a_state_that_has_agreed_is_known_by_the_object_that_shows_it():
    pairing, one, other = Pairing(), shadow(1), shadow(7)
    assert pairing.same(seen(one), seen(other)) and pairing.same(seen(one), seen(other))
    assert not pairing.same(seen(one), seen(shadow(7, at=6))), "the other side has changed"
    assert not pairing.same(seen(shadow(1, at=6)), seen(other)), "this side has changed"
    assert not pairing.same(seen(one), seen(other, [MemoryWord(1, 0, 5)])), "something else has changed"


def test_translations_of_roots_are_compared_without_their_numbers():
    def with_roots(view, *roots):
        tlb = tuple(sorted(ShadowTlbEntry(root, 0, 5, 1, 0x10, 3, 0) for root in roots))
        return seen(view._replace(vcpus=[view.vcpus[0]._replace(tlb=tlb)]))

    one, other = shadow(1), shadow(7, order=(0, 1))
    assert Pairing().same(with_roots(one, 1, 2), with_roots(other, 8, 7))
    assert not Pairing().same(with_roots(one, 1), with_roots(other, 8))


def test_facts_name_pages_by_place_and_show_what_is_set():
    step = parse("grace_period")
    found = differing(K, step, seen(shadow(1)), seen(shadow(7, unsync=1)))
    place = "shadow page of gfn 0x201, level 1, access WXU, efer_nx, cr0_wp"
    names = {name: (here, there) for name, here, there in found}
    assert names[place] == (
        "level 1, access WXU, efer_nx, cr0_wp, parents 1",
        "level 1, access WXU, efer_nx, cr0_wp, unsync, parents 1",
    )
    assert not any("7" in name or "8" in name for name in names)
    moved = differing(K, step, seen(shadow(1)), seen(shadow(1, order=(1, 0))))
    assert [name for name, *_ in moved] == ["order of shadow pages"]


def test_a_transcript_names_pages_alike_in_every_run():
    steps = [parse("store gfn=0x10 index=3 value=9"), parse("grace_period"), parse("grace_period")]
    pfn = int(spte_to_pfn(K, LEAF))
    runs = [
        [
            seen(shadow(first, at=6), [MemoryWord(pfn, 3, 9)]),
            seen(shadow(first, unsync=1)),
            seen(shadow(first, unsync=1)),
        ]
        for first in (1, 40)
    ]
    lines = transcript(K, steps, runs[0])
    assert lines == transcript(K, steps, runs[1])
    text = "\n".join(lines)
    assert "    + memory H(0,0x10,1)[0x3]  0x0000000000000009" in lines
    assert "    + P(2,0x200,1)[0x0]  0x0000000000000827 -> P(1,0x201,1)" in lines
    assert "    + P(1,0x201,1)  level 1, access WXU, efer_nx, cr0_wp, unsync, parents 1" in lines
    assert "P(1,0x201,1)[0x5]  0x0000000000010867 H(0,0x10,1) present, RWX, user" in text
    assert ", shadows gfn 0x10 WXU" in text
    assert "      shadow   mmu_pte_write 0 -> 1, " in text
    assert lines[-1] == "      outcome  0", "what did not change is not shown"


def test_claims_walk_shadow_pages():
    before = View(K, seen(None), None)
    now = View(K, seen(shadow(1, unsync=1), [MemoryWord(0x10, 5, 0x10067)]), before)
    assert now.shadow.mapped(0x5000).gfn == 0x10 and now.shadow.leaf(0x6000) is None
    assert now.shadow.mapped(0x5000).writable and now.shadow.mapped(0x5000).dirty
    assert now.shadow.page(0x201).unsync and now.shadow.unsync == {0x201}
    assert [leaf.level for leaf in now.shadow.mapping(0x10)] == [1] and not now.shadow.mapping(0x11)
    assert now.shadow.rmap(0x10).sptes == 1 and now.shadow.rmap(0x11).sptes == 0
    assert now.shadow.cached(0x5123).dirty and now.shadow.cached(0x6000) is None
    assert now.shadow.grown.mmu_pte_write == 1 and now.gpte(5, 0x10) == 0x10067
    assert [page.gfn for page in now.shadow.pages(access=7)] == [0x200, 0x201]
    for wrong in (
        lambda: now.shadow.mapped(0x6000), lambda: now.shadow.page(0x201, 2), lambda: now.gpte(5, 0x11),
        lambda: before.shadow,
    ):  # fmt: skip
        with pytest.raises(ValueError):
            wrong()


def test_claims_read_direct_shadow_pages_as_they_read_the_tdp_mmu():
    k = kernel_in(VM_MODES["legacy-npt"], profile_of((6, 1)))
    view = shadow()
    pages = [page._replace(role=page.role._replace(direct=1), gfn=0) for page in view.pages]
    pages[1] = pages[1]._replace(entries=(PageEntry(5, LEAF, 0, 0, 0, 0),))
    now = View(k, seen(view._replace(pages=pages)), None)
    assert now.mapped(5).pfn == 0x10 and [leaf.gfn for leaf in now.leaves()] == [5]
    assert now.has_table(1, 5) and now.cached(5) and now.leaf(5, as_id=1) is None


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((3, Exit.FIXED, End.DONE, 1, 0x20, 7), "P+W: fixed, done 4K pfn 0x20, 0x7"),
        ((End.DONE, 2, 0x20, 7), "done 2M pfn 0x20, 0x7"),
        ((7, Exit.UNPROTECTED, End.EMULATED, 0, 0, 7), "P+W+U: unprotected, emulated 0x7"),
        ((4, Exit.EMULATE, End.EXCEPTION, 14, 7, 5), "U: emulate, exception 14, error P+W+U, address 0x5"),
        ((0, -14, End.FAILED, -14, 0, 0), "0: -EFAULT, error -EFAULT"),
        ((1 << 32, Exit.RETRY, End.NESTED_EXIT, 1, 0x5000, 0x181),
         "0x100000000: retry, exit to L1 error P, address 0x5000, qualification 0x181"),
        ((2, Exit.EMULATE, End.USERSPACE, 6, 5, 1), "W: emulate, exit to userspace 6, address 0x5, write"),
        ((End.GAVE_UP, 0, 0, 0), "gave up"),
    ],
)  # fmt: skip
def test_an_instruction_in_a_line(values, text):
    assert outcome(SimpleNamespace(kind="execute"), values) == text


@pytest.mark.parametrize(
    ("mode", "lines", "complaint"),
    [
        ("shadow", ["access gfn=1 kind=read"], "execute takes one"),
        ("npt", ["invlpg address=0"], "does not exit"),
        ("shadow", ["enter_l2 address=0"], "nested guests run in"),
        ("legacy-npt", ["walk_begin gfn=0"], "lockless readers"),
        ("shadow", ["execute address=0xff9 kind=read"], "at a multiple of 4"),
        ("npt", ["execute address=0x1000000000000 kind=read"], "has 48 bits"),
        ("shadow", ["execute address=0x100000000000000 kind=read"], "canonical in 57 bits"),
        ("npt", ["leave_l2"], "not in L2"),
        ("npt", ["enter_l2 address=0", "enter_l2 address=0"], "is in L2"),
        ("npt", ["enter_l2 address=0", "access gfn=0 kind=read"], "is in L2"),
        ("npt", ["enter_l2 address=0", "set_cr4 value=0"], "is in L2"),
        ("shadow", ["invlpg vcpu=1 address=0"], "there is no vCPU 1"),
    ],
)
def test_steps_that_the_mode_or_the_guest_forbids(mode, lines, complaint):
    with pytest.raises(ValueError, match=complaint):
        check([parse(line) for line in lines], {"vcpus": 1}, [mode])


def test_steps_of_shadow_paging_that_may_follow():
    lines = {
        "shadow": ["execute address=0xff8 kind=read", "invlpg address=0",
                   "execute address=0xff00000000000ffc kind=fetch"],
        "npt": ["enter_l2 address=0", "execute address=0 kind=read", "leave_l2", "set_cr4 value=0"],
    }  # fmt: skip
    for mode, each in lines.items():
        check([parse(line) for line in each], {"vcpus": 1}, [mode])
