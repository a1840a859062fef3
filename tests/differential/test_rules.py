# SPDX-License-Identifier: GPL-2.0-only
"""Rules: each is named for a difference that breaks it, on whichever side, and none is made up."""

from __future__ import annotations

import numpy as np
import pytest
from model_side import KernelLike
from model_side import compared as compare_models

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.counterexamples import counterexample
from conformance.differential.engines.bulk import bulk
from conformance.differential.properties import PROPERTIES
from conformance.differential.rules import CHANGES, RULES, broken, facts
from conformance.differential.shrinking import smallest
from conformance.model.changes import WRITABLE_NOT_VOLATILE
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import profile_of

SIX_ONE = profile_of((6, 1))
EPT = kernel_in(MODES["ept-ad"], SIX_ONE)
HOST, MMU = EPT.shadow_host_writable_mask, EPT.shadow_mmu_writable_mask
A, D, W, X, LARGE = 0x100, 0x200, 2, 4, 0x80
LEAF = HOST | MMU | 0x831
HUGE = LEAF | LARGE
TRACKED = 0x0050000000000830
"""Access-tracked, in 6.1: A/D-disabled in bit 52, R saved in bit 54, and no R, W or X."""


def compared(name, mode="ept-ad", profile=SIX_ONE):
    return compare_models(PROPERTIES[name], MODES[mode], profile)


def _at(comparison, name):
    return [output.name for output in comparison.property.gives].index(name)


def rule_of(name, case, mode="ept-ad", **changed):
    """The rule that is broken if the kernel gives other words than the model."""
    comparison = compared(name, mode)
    cases = np.array([case], np.uint64).T.copy()
    model = [int(row[0]) for row in comparison.answer(comparison.right, cases)]
    kernel = list(model)
    for output, change in changed.items():
        at = len(model) - 1 if output == "events" else _at(comparison, output.replace("_after", " after"))
        kernel[at] = change(model[at])
    found = Difference(tuple(case), tuple(kernel), tuple(model))
    breach = broken(comparison, found)
    return breach.rule.sentence_about(breach.scene) if breach.rule else "facts: " + facts(breach.scene)


def xor(mask):
    return lambda word: word ^ mask


SPLIT = "make_huge_page_split_spte"
UPDATE = "mmu_spte_update"


@pytest.mark.parametrize(
    ("name", "case", "changed", "said"),
    [
        (SPLIT, (HUGE, 2, 7, 0, 1, 0), {"value": xor(X)}, "a 2 MiB child became executable with NX"),
        (SPLIT, (HUGE, 2, 7, 0, 1, 1), {"value": xor(X)}, "the SPTE became executable"),
        (SPLIT, (HUGE, 1, 7, 0, 1, 0), {"value": xor(X)}, "a 4 KiB child stayed non-executable, though"),
        (SPLIT, (HUGE | D, 1, 7, 0, 0, 0), {"value": xor(D)}, "Dirty was lost"),
        (SPLIT, (HUGE | A, 1, 7, 0, 0, 0), {"value": xor(A)}, "Accessed was lost"),
        (SPLIT, (HUGE, 1, 7, 0, 0, 0), {"value": xor(LARGE)}, "the SPTE of a 4 KiB page says"),
        (SPLIT, (HUGE, 1, 7, 0, 0, 0), {"value": xor(1 << 50)}, "the SPTE points outside MAXPHYADDR"),
        (SPLIT, (HUGE, 1, 7, 3, 0, 0), {"value": xor(0x1000)}, "the SPTE points to pfn 0x2, not to 0x3"),
        (SPLIT, (HUGE, 2, 7, 0, 0, 0), {"value": xor(0x1000)}, "the address in a huge SPTE is not"),
        (SPLIT, (HUGE, 1, 7, 0, 0, 0), {"value": xor(HOST)}, "MMU-writable without Host-writable"),
        (SPLIT, (0x8B1, 1, 7, 0, 0, 0), {"value": xor(W)}, "the SPTE became writable although Host-"),
        (SPLIT, (HUGE | W, 1, 7, 0, 0, 0), {"value": xor(MMU)}, "W without MMU-writable"),
        (SPLIT, (HUGE, 1, 7, 0, 0, 0), {"value": xor(0x800)}, "the SPTE is not shadow-present any more"),
        (SPLIT, (HUGE, 1, 7, 0, 0, 0), {"value": xor(0x18)}, "the memory type is another"),
        (SPLIT, (0x800, 1, 7, 0, 0, 0), {"events": lambda word: 0}, "facts: WARN make_huge"),
        ("kvm_tdp_mmu_write_spte", (LEAF, LEAF, LEAF, 1), {"accesses": lambda word: 1},
         "a volatile SPTE was written without an atomic exchange"),
        ("kvm_tdp_mmu_write_spte", (0, 0, LEAF, 1), {"accesses": lambda word: 0x100},
         "an SPTE without volatile bits was written atomically"),
        ("spte_has_volatile_bits", (LEAF | A,), {"value": xor(1)},
         "an SPTE counts as stable, though fast_page_fault() may set its W"),
        ("spte_has_volatile_bits", (0x931,), {"value": xor(1)},
         "an SPTE counts as volatile, though nothing changes it outside of mmu_lock"),
        (UPDATE, (LEAF | W | A, LEAF | W | A, LEAF & ~MMU | A), {"value": xor(1)},
         "MMU-writable was taken away without a TLB flush: stale writable entries may remain"),
        (UPDATE, (LEAF | A, LEAF | A, LEAF | W | A), {"value": xor(1)}, "a TLB flush more is asked for"),
        (UPDATE, (LEAF | D | A, LEAF | D | A, LEAF | A), {"events": lambda word: 0},
         "the host does not learn that the page is dirty"),
        ("make_mmio_spte", (0x100, 7, 5), {"value": xor(0x1000)}, "the MMIO SPTE is for another gfn"),
        ("make_mmio_spte", (0x100, 7, 5), {"value": xor(8)}, "the MMIO SPTE keeps another generation"),
        ("is_large_pte", (LEAF,), {"value": xor(1)}, "facts: value"),
    ],
)  # fmt: skip
def test_the_broken_rule_is_named(name, case, changed, said):
    assert rule_of(name, case, **changed).startswith(said)


@pytest.mark.parametrize(
    ("name", "case", "changed", "said"),
    [
        ("mark_spte_for_access_track", (1 << 52 | 0x831,), xor(1 << 54), "an access-track"),
        ("restore_acc_track_spte", (TRACKED,), xor(1), "an access-tracked SPTE lost"),
        ("mark_spte_for_access_track", (1 << 52 | 0x831,), lambda word: 1 << 52 | 0x831, "the SPTE is not"),
    ],
)  # fmt: skip
def test_access_tracking(name, case, changed, said):
    assert rule_of(name, case, "ept-noad", value=changed).startswith(said)


def test_in_a_review_the_accused_side_is_named():
    comparison = compared(SPLIT)
    comparison.review = True
    dirty, clean = (LEAF | D, 0), (LEAF, 0)
    case = (HUGE | D, 1, 7, 0, 0, 0)
    lost = broken(comparison, Difference(case, dirty, clean))
    assert (lost.where, lost.rule.sentence_about(lost.scene)) == ("after: ", "Dirty was lost")
    gained = broken(comparison, Difference(case, clean, dirty))
    assert (gained.where, gained.rule.sentence_about(gained.scene)) == ("after: ", "Dirty was set")
    plain, atomic = (0, LEAF, 1, 0), (0, LEAF, 0x100, 0)
    written = compared("kvm_tdp_mmu_write_spte")
    written.review = True
    mended = broken(written, Difference((LEAF, LEAF, LEAF, 1), plain, atomic))
    assert mended.where == "before: "
    assert (
        mended.rule.sentence_about(mended.scene) == "a volatile SPTE was written without an atomic exchange"
    )


@pytest.mark.parametrize(("old_spte", "said"), [
    (0, "before: the SPTE became writable although its gfn is write-protected"),
    (LEAF | W, "after: write access was lost"),
])  # fmt: skip
def test_what_was_writable_is_not_asked_about_again(old_spte, said):
    comparison = compared("make_spte")
    comparison.review = True
    given = {
        "access": 2,
        "old_spte": old_spte,
        "level": 1,
        "can_unsync": 1,
        "host_writable": 1,
        "unsync_fails": 1,
    }
    case = tuple(given.get(column.name, 0) for column in comparison.property.takes)
    rest = (0,) * (len(comparison.property.gives) - 1)
    at = _at(comparison, "new_spte")
    writable, protected = ((*rest[:at], spte, *rest[at:], 0) for spte in (LEAF | W | A, LEAF & ~MMU | A))
    breach = broken(comparison, Difference(case, writable, protected))
    assert breach.where + breach.rule.sentence_about(breach.scene) == said


def test_every_rule_has_a_source():
    assert all(rule.source for rule in (*RULES, *CHANGES))
    sentences = [rule.sentence for rule in (*RULES, *CHANGES) if isinstance(rule.sentence, str)]
    assert len(sentences) == len(set(sentences))


def test_a_review_shows_a_legal_input_and_says_which_side_breaks_the_rule():
    without = SIX_ONE.without(WRITABLE_NOT_VOLATILE)
    for profiles, where in (((SIX_ONE, without), "after: "), ((without, SIX_ONE), "before: ")):
        before, after = (KernelLike(SIX_ONE, behaves=profile) for profile in profiles)
        comparison = Comparison(
            PROPERTIES["spte_has_volatile_bits"], MODES["ept-ad"], before, after, review=True
        )
        found = bulk(comparison, np.random.default_rng(1))
        found = smallest(comparison, found, np.random.default_rng(1))
        told = counterexample(comparison, found, "again")
        assert told.legal is True and told.again == "again"
        assert (
            told.rule == f"{where}an SPTE counts as volatile, though nothing changes it outside of mmu_lock"
        )
        assert told.written == {"spte": f"{found.case[0]:#018x}"}
