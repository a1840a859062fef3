# SPDX-License-Identifier: GPL-2.0-only
"""The model says what the seed documents say."""

from __future__ import annotations

import itertools

import pytest

from conformance.model.changes import CHANGES
from conformance.model.layout import PT_WRITABLE_MASK
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import BACKPORTS, profile_of
from conformance.model.shadow_mmu import translation
from conformance.model.spte import access, mmio, predicates, spte_update, states, tdp_write, writability
from conformance.model.spte.spte_update import ATOMIC, PLAIN

RELEASES = [(5, 10), (6, 1), (6, 12), (7, 2), (7, 3)]


def kernel(release, mode="ept-ad"):
    return kernel_in(MODES[mode], profile_of(release))


def leaf(k, state, *, accessed=True, dirty=True):
    return (
        k.layout.spte_mmu_present_mask
        | k.shadow_present_mask
        | state.bits(k)
        | (k.shadow_accessed_mask if accessed else 0)
        | (k.shadow_dirty_mask if dirty else 0)
        | 0x1000
    )


# The first seed: four legal states, and the other four combinations are bugs.


@pytest.mark.parametrize("mode", MODES)
def test_invariants_hold_in_exactly_the_four_states(mode):
    k = kernel((6, 1), mode)
    masks = (k.shadow_host_writable_mask, k.shadow_mmu_writable_mask, PT_WRITABLE_MASK)
    legal = 0
    for chosen in itertools.product((0, 1), repeat=3):
        spte = k.layout.spte_mmu_present_mask | sum(
            mask for mask, on in zip(masks, chosen, strict=True) if on
        )
        k.events.clear()
        writability.check_spte_writable_invariants(k, spte)
        warned = any(truth for _, truth in k.events)
        assert (states.state_of(k, spte) is None) == warned
        assert states.is_legal_state(k, spte) != warned
        legal += not warned
    assert legal == len(states.STATES) == 4


@pytest.mark.parametrize("release", RELEASES)
def test_no_update_of_a_legal_state_changes_host_writable(release):
    k = kernel(release)
    for state in states.STATES:
        old = leaf(k, state)
        for change in (
            spte_update.spte_write_protect(k, old, old, True),
            spte_update.spte_write_protect(k, old, old, False),
            spte_update.spte_clear_dirty(k, old, old),
        ):
            assert states.host_writable_kept(k, old, change.memory)
            assert states.state_of(k, change.memory) is not None
        assert states.host_writable_kept(k, old, access.mark_spte_for_access_track(k, old))


# The second seed: gfn above, access below.


def test_translation_is_packed_and_read_back():
    k = kernel((6, 1), "shadow")
    page = translation.ShadowPage(1, False, False, 7, 0x1000, 0)
    slot = translation.kvm_mmu_page_set_translation(k, page, 5, 0xABCDE, 0b110)
    assert slot == 0xABCDE << 12 | 0b110
    written = translation.ShadowPage(1, False, False, 7, 0x1000, slot)
    assert translation.kvm_mmu_page_get_gfn(k, written, 5) == 0xABCDE
    assert translation.kvm_mmu_page_get_access(k, written, 5) == 0b110


def test_direct_offset_is_an_int():
    k = kernel((6, 1), "shadow")
    page = translation.ShadowPage(4, True, False, 7, 0, 0)
    assert translation.kvm_mmu_page_get_gfn(k, page, 15) == 15 << 27
    assert translation.kvm_mmu_page_get_gfn(k, page, 16) == 0xFFFFFFFF80000000


def test_direct_mismatch_warns():
    k = kernel((6, 1), "shadow")
    page = translation.ShadowPage(1, True, False, 7, 0x1000, 0)
    for gfn, access_bits, warnings in ((0x1003, 7, 0), (0x1004, 7, 1), (0x1003, 1, 1), (0, 0, 2)):
        k.events.clear()
        translation.kvm_mmu_page_set_translation(k, page, 3, gfn, access_bits)
        assert sum(bool(truth) for _, truth in k.events) == warnings


# The fifth seed: volatile leaves are replaced by XCHG, and what came in between is seen.


def test_a_racing_dirty_bit_is_seen_since_the_xchg():
    for release, seen in (((5, 10), False), ((6, 1), True), ((7, 3), True)):
        k = kernel(release)
        old = leaf(k, states.STATES[0], dirty=False)
        raced = old | k.shadow_dirty_mask
        done = tdp_write.kvm_tdp_mmu_write_spte(k, raced, old, 0, 1)
        assert done.accesses == (ATOMIC if seen else PLAIN)
        assert bool(done.value & k.shadow_dirty_mask) == seen


def test_non_leaf_and_not_volatile_are_written_plainly():
    k = kernel((6, 1))
    quiet = leaf(k, states.STATES[0])
    table = leaf(k, states.STATES[1])
    assert tdp_write.kvm_tdp_mmu_write_spte(k, quiet, quiet, 0, 1).accesses == PLAIN
    assert tdp_write.kvm_tdp_mmu_write_spte(k, table, table, 0, 2).accesses == PLAIN
    assert tdp_write.kvm_tdp_mmu_write_spte(k, table, table, 0, 1).accesses == ATOMIC


# The fourth seed: write-protection for shadow paging flushes even if W is clear already.


@pytest.mark.parametrize("release", RELEASES)
def test_write_protection_for_shadow_paging_always_flushes(release):
    k = kernel(release)
    protected = leaf(k, states.STATES[1])
    assert spte_update.spte_write_protect(k, protected, protected, True).value == 1
    assert spte_update.spte_write_protect(k, protected, protected, False).accesses == 0


# What research measured.


def test_volatile_as_measured():
    for release in RELEASES:
        k = kernel(release)
        not_accessed = leaf(k, states.STATES[0], accessed=False)
        assert access.spte_has_volatile_bits(k, not_accessed) == (release < (7, 0))
        assert access.spte_has_volatile_bits(k, leaf(k, states.STATES[1]))


@pytest.mark.parametrize("release", RELEASES)
def test_mmio_generation_survives(release):
    k = kernel(release, "shadow")
    generation = 0x15555 & k.layout.mmio_gen_mask
    spte = mmio.make_mmio_spte(k, 0xFEE00, 7, generation)
    assert mmio.get_mmio_spte_generation(k, spte) == generation
    assert mmio.get_mmio_spte_gfn(k, spte) == 0xFEE00
    assert predicates.is_mmio_spte(k, spte) and not predicates.is_shadow_present_pte(k, spte)
    assert mmio.check_mmio_spte(k, spte, generation)
    assert not mmio.check_mmio_spte(k, spte, generation | 1 << 63)


# The registry.


def test_changes_are_named_once_and_cite_a_commit():
    commits = [change.commit for change in CHANGES.values()]
    assert all(len(commit) == 12 and int(commit, 16) for commit in commits)
    assert len(set(CHANGES.values())) == len(CHANGES)
    assert all(change.title.upper().startswith("KVM") for change in CHANGES.values())
    assert all(change.effect.endswith(".") for change in CHANGES.values())


def test_every_change_is_asked_for_or_bounds_a_property_story_or_mode():
    import conformance.differential.properties as properties
    import conformance.model as model
    import conformance.scenarios as scenarios

    rooms = [room.__path__[0] for room in (model, properties, scenarios)]
    text = "\n".join(
        path.read_text()
        for room in rooms
        for path in __import__("pathlib").Path(room).rglob("*.py")
        if path.parent.name != "changes"
    )
    unused = [name for name in CHANGES if name not in text]
    assert not unused, f"changes that decide nothing: {unused}"


def test_profiles_grow():
    for before, after in itertools.pairwise(RELEASES):
        backports = {backport.change for backport in BACKPORTS}
        assert profile_of(before).changes - backports < profile_of(after).changes
