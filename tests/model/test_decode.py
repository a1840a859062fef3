# SPDX-License-Identifier: GPL-2.0-only
"""Every SPTE can be decoded, bit by bit, and no SPTE that KVM makes is called illegal."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conformance.model.changes import CHANGED_PTE_CLEARS_MMU_WRITABLE, EPT_AD_MASKS_ALWAYS, NO_CHANGE_PTE
from conformance.model.layout import PT_PAGE_SIZE_MASK, PT_WRITABLE_MASK
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import profile_of
from conformance.model.spte.access import mark_spte_for_access_track, restore_acc_track_spte, spte_ad_enabled
from conformance.model.spte.decode.fields import fields
from conformance.model.spte.decode.kinds import is_leaf
from conformance.model.spte.decode.text import describe
from conformance.model.spte.illegal import complaints, writability
from conformance.model.spte.make_spte import (
    kvm_mmu_changed_pte_notifier_make_spte,
    make_huge_page_split_spte,
    make_nonleaf_spte,
    make_spte,
)
from conformance.model.spte.mmio import make_mmio_spte
from conformance.model.spte.predicates import is_mmio_spte, is_shadow_present_pte
from conformance.model.spte.states import STATES, state_of
from conformance.model.words import ALL

RELEASES = [(5, 10), (6, 1), (6, 12), (7, 2), (7, 3)]
KERNELS = {
    f"{release[0]}.{release[1]} {mode}": kernel_in(MODES[mode], profile_of(release))
    for release in RELEASES
    for mode in MODES
}
words = st.one_of(
    st.integers(0, ALL),
    st.lists(st.integers(0, 63), max_size=12).map(lambda set_: sum(1 << n for n in {*set_})),
)
few = settings(max_examples=25, deadline=None)
every = pytest.mark.parametrize("name", KERNELS)


def no_ad(k):
    """Whether the processor has no A/D bits."""
    return not (k.kvm_ad_enabled if k.has(EPT_AD_MASKS_ALWAYS) else k.shadow_accessed_mask)


def plain(k, *, large=False, **given):
    """A SPTE as make_spte() makes it: readable, writable, of user and supervisor, of RAM."""
    arguments = {
        "access": k.layout.acc_all,
        "gfn": 0x1200,
        "pfn": 0x1200,
        "old_spte": 0,
        "level": 2 if large else 1,
        "prefetch": False,
        "can_unsync": False,
        "host_writable": True,
        "ad_disabled": no_ad(k),
        "guest_mode": False,
        "pml": False,
        "pfn_is_ram": True,
        "unsync_fails": False,
        "dirty_log": False,
        "nx_huge_pages": False,
        "mt_mask": 0x30 if k.shadow_x_mask else 0,
        "rsvd_bits": 0,
        "bad_mt_xwr": 0,
    }
    return make_spte(k, **{**arguments, **given}).new_spte


@every
@few
@given(spte=words)
@example(spte=0)
@example(spte=ALL)
@example(spte=1 << 63)
@example(spte=0x5A0)
def test_each_bit_is_in_one_field(name, spte):
    k = KERNELS[name]
    found = fields(k, spte)
    assert [n for field in found for n in range(field.high, field.low - 1, -1)] == [*range(63, -1, -1)]
    assert sum(field.value << field.low for field in found) == spte
    assert all(field.meaning for field in found)
    assert all(1 <= len(field.label) <= 3 for field in found if field.name)
    assert describe(k, spte).isprintable()
    state, why = writability(k, spte)
    assert state and why
    for sentence in itertools.chain.from_iterable(complaints(k, spte, level) for level in (None, 1, 2, 3, 4)):
        assert sentence.endswith(".") and "{" not in sentence


@every
@few
@given(spte=words)
def test_the_line_says_whether_the_spte_is_present_or_mmio(name, spte):
    k = KERNELS[name]
    text = describe(k, spte)
    present = is_shadow_present_pte(k, spte)
    assert text.startswith("present") == present
    if not present and spte != k.layout.frozen_spte:
        assert text.startswith("MMIO") == bool(is_mmio_spte(k, spte))


@every
@few
@given(data=st.data())
def test_what_make_spte_makes_is_legal(name, data):
    k = KERNELS[name]
    tdp, ept = k.tdp_enabled, bool(k.shadow_x_mask)
    flag = st.booleans()
    large = data.draw(flag)
    others = [0, k.layout.acc_write_mask, k.layout.acc_exec_mask]
    readable = k.layout.acc_user_mask | k.layout.acc_read_mask
    spte = plain(
        k,
        large=large,
        access=readable | data.draw(st.sampled_from(others)) | data.draw(st.sampled_from(others)),
        pfn=data.draw(st.integers(0, (1 << 22) - 1)) << 9 * large,
        prefetch=data.draw(flag),
        can_unsync=data.draw(flag),
        host_writable=data.draw(flag),
        ad_disabled=no_ad(k) or (ept and data.draw(flag)),
        guest_mode=tdp and data.draw(flag),
        pml=True,
        pfn_is_ram=data.draw(flag),
        unsync_fails=data.draw(flag),
        nx_huge_pages=data.draw(flag),
        mt_mask=data.draw(st.sampled_from([0, 0x30, 0x70])) if ept else 0,
    )
    made = {"made": spte}
    if k.shadow_acc_track_mask or spte_ad_enabled(k, spte):
        made["aged"] = mark_spte_for_access_track(k, spte)
    if k.shadow_acc_track_mask and not spte_ad_enabled(k, spte):
        made["restored"] = restore_acc_track_spte(k, made["aged"])
    if large:
        made["split"] = make_huge_page_split_spte(
            k, spte, level=1, access=k.layout.acc_all, index=5, nx_huge_pages=data.draw(flag)
        )
    elif not k.has(NO_CHANGE_PTE):
        made["remapped"] = kvm_mmu_changed_pte_notifier_make_spte(k, spte, 0x77)
    made["write-protected"] = spte & ~PT_WRITABLE_MASK
    made["protected for shadow paging"] = spte & ~PT_WRITABLE_MASK & ~k.shadow_mmu_writable_mask
    for how, word in made.items():
        assert complaints(k, word) == [], (how, hex(word))
        assert complaints(k, word, 1 + bool(word & PT_PAGE_SIZE_MASK)) == [], (how, hex(word))
        assert "unknown" not in describe(k, word)


@every
@few
@given(pfn=st.integers(0, (1 << 31) - 1), aged=st.booleans())
def test_what_points_to_a_table_is_legal(name, pfn, aged):
    k = KERNELS[name]
    spte = make_nonleaf_spte(k, pfn << 12, no_ad(k))
    spte = spte & ~k.shadow_accessed_mask if aged else spte
    assert complaints(k, spte) == complaints(k, spte, 2) == []
    assert not is_leaf(k, spte) and is_leaf(k, spte, 1)
    assert "like a table's" in describe(k, spte) and f"pfn {pfn:#x}" in describe(k, spte)
    assert writability(k, spte)[0] == "none"
    assert any("W is set without MMU-writable" in sentence for sentence in complaints(k, spte, 1))
    assert complaints(k, spte ^ k.shadow_host_writable_mask, 2)


@every
@few
@given(gfn=st.integers(0, (1 << 31) - 1), access=st.integers(0, 15), generation=st.integers(0, (1 << 17) - 1))
def test_mmio_is_read_back(name, gfn, access, generation):
    k = KERNELS[name]
    spte = make_mmio_spte(k, gfn, access, generation)
    if not is_mmio_spte(k, spte):
        return
    assert complaints(k, spte) == []
    text = describe(k, spte)
    assert text.startswith(f"MMIO gfn {gfn:#x} ") and text.endswith(f" generation {generation}")
    if k.shadow_mmio_access_mask:
        assert f"access {'w' if access & 2 else '-'}{'u' if access & 4 else '-'} " in text
    assert writability(k, spte)[0] == "none"


@every
def test_every_combination_of_writability_is_judged(name):
    k = KERNELS[name]
    bits = (k.shadow_host_writable_mask, k.shadow_mmu_writable_mask, PT_WRITABLE_MASK)
    base = plain(k) & ~sum(bits)
    for chosen in itertools.product((0, 1), repeat=3):
        spte = base | sum(mask for mask, on in zip(bits, chosen, strict=True) if on)
        state = state_of(k, spte)
        if state is not None:
            assert writability(k, spte) == (state.name, state.why)
            assert complaints(k, spte, 1) == []
        elif chosen == (0, 1, 0) and not k.has(CHANGED_PTE_CLEARS_MMU_WRITABLE):
            # Not one of the states, but this kernel itself made it.
            assert "change_pte" in writability(k, spte)[1] and complaints(k, spte, 1) == []
        else:
            assert complaints(k, spte, 1)
            if is_leaf(k, spte):
                assert writability(k, spte)[0] == "illegal" and complaints(k, spte)
    assert {state.name for state in STATES} == {writability(k, base | state.bits(k))[0] for state in STATES}


def complaint(k, spte, text, level=1):
    return any(text in sentence for sentence in complaints(k, spte, level))


@every
def test_what_kvm_never_makes(name):
    k = KERNELS[name]
    bits, leaf, large = k.layout, plain(k), plain(k, large=True)
    saved = bits.acc_track_saved_mask << bits.acc_track_saved_shift
    assert complaints(k, leaf) == complaints(k, large, 2) == []

    if bits.spte_mmu_present_mask:
        assert complaint(k, leaf | bits.spte_tdp_ad_mask, "A/D type has no meaning")
    if k.shadow_acc_track_mask:
        tracked = mark_spte_for_access_track(k, plain(k, ad_disabled=True))
        assert "access-tracked, saved R" in describe(k, tracked) and complaints(k, tracked) == []
        assert complaint(k, leaf | saved, "although it is not access-tracked")
        assert complaint(k, leaf & ~1, "W is set without R")
        assert complaint(k, leaf & ~0x38 | 2 << 3, "memory type is reserved")
    else:
        disabled = leaf & ~bits.spte_tdp_ad_mask | bits.spte_tdp_ad_disabled
        assert complaint(k, disabled, "no access tracking to replace Accessed")
        assert complaint(k, leaf & ~1, "which every present SPTE of this mode has")
        assert complaint(k, leaf | 1 << 3, "belong to nothing that KVM knows")
    if no_ad(k):
        assert complaint(k, leaf & ~bits.spte_tdp_ad_mask, "sets neither Accessed nor Dirty")
    if not k.tdp_enabled:
        assert complaint(k, leaf | bits.spte_tdp_ad_wrprot_only, "no TDP")
    if k.shadow_me_mask & ~k.shadow_me_value and k.shadow_me_mask != 1 << 47:
        assert complaint(k, leaf | 1 << 46, "but not in shadow_me_value")
    elif not k.shadow_nonpresent_or_rsvd_mask and k.shadow_nonpresent_or_rsvd_lower_gfn_mask >> 50 == 0:
        assert complaint(k, leaf | 1 << 50, "no such physical address bits")
    assert complaint(k, large | 1 << 12, "not that of a huge page", 2)
    assert not complaint(k, large | 1 << 21, "At 1 GiB", 2) and complaint(k, large | 1 << 21, "At 1 GiB", 3)


@pytest.mark.parametrize(
    ("name", "spte", "text"),
    [
        (
            "6.1 ept-ad",
            0x0600000000000975,
            "present, R-X, host-writable, MMU-writable, W=0, A=1, D=0, pfn 0x0, WB IPAT",
        ),
        (
            "6.1 ept-noad",
            0x0750000001234830,
            "present, ---, access-tracked, saved RX, host-writable, MMU-writable, W=0, pfn 0x1234, WB",
        ),
        (
            "7.2 ept-noad",
            0xD0B0000001234830,
            "present, ---, XU=0, access-tracked, saved R- XU=1, host-writable, MMU-writable, W=0, A=0, D=0,"
            " pfn 0x1234, WB",
        ),
        (
            "6.1 shadow",
            0x8000000000200EE7,
            "present, large, RW-, user, host-writable, MMU-writable, W=1, A=1, D=1, pfn 0x200",
        ),
        (
            "6.1 npt-me",
            0x8000012348A5,
            "present, large, R-X, user, not host-writable, not MMU-writable, W=0, A=1, D=0, pfn 0x1234,"
            " encryption bits 0x800000000000",
        ),
        ("6.1 shadow", 0x00080000FEE0002D, "MMIO gfn 0xfee00 access -u generation 5"),
        ("6.1 ept-ad", 0, "zero, not present"),
        ("6.1 ept-ad", 0x5A0, "removed (frozen)"),
        ("6.12 ept-ad", 1 << 63 | 0x5A0, "frozen"),
        ("6.12 ept-ad", 1 << 63, "zapped (non-present value)"),
        ("6.12 ept-ad", 0, "zero, not present"),
        ("6.12 ept-ad", 0x1000, "not present, bits 0x1000"),
        (
            "6.1 shadow",
            0x9000000000000801,
            "present, R--, supervisor, not host-writable, not MMU-writable, W=0, A=0, D=0, pfn 0x0,"
            " unknown bits 0x1000000000000000",
        ),
    ],
)
def test_the_line(name, spte, text):
    assert describe(KERNELS[name], spte) == text


def test_frozen_with_the_value_of_another_kernel():
    for name, spte in (("6.12 ept-ad", 0x5A0), ("7.2 ept-ad", 1 << 63 | 0x5A0), ("6.1 npt", 0x1A0)):
        k = KERNELS[name]
        assert complaint(k, spte, f"other kernels freeze SPTEs with; here that is {k.layout.frozen_spte:#x}")
        assert complaints(k, k.layout.frozen_spte) == []


def test_zero_matters_only_where_ve_is_suppressed():
    assert complaint(KERNELS["6.12 ept-ad"], 0, "Suppress #VE is clear")
    assert complaints(KERNELS["6.12 npt"], 0) == complaints(KERNELS["6.1 ept-ad"], 0) == []
