# SPDX-License-Identifier: GPL-2.0-only
"""Planted bugs: what is shown is an input that callers can give, the broken rule, a command that works."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
from planting import patch_for

from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.verdict import Verdict
from conformance.kernels.substitutions import ITER_H, MMU_C, SPTE_C, Substitution

LARGE = "child_spte &= ~PT_PAGE_SIZE_MASK;"
BUGS = {
    "nx-child-6.1": (
        "make_huge_page_split_spte",
        Substitution(SPTE_C, "\tif (role.level == PG_LEVEL_4K) {\n\t\tchild_spte",
               "\tif (role.level > PG_LEVEL_4K)\n\t\tchild_spte = make_spte_executable(child_spte);\n"
               "\tif (role.level == PG_LEVEL_4K) {\n\t\tchild_spte"),
        "a 2 MiB child became executable with NX huge pages on",
    ),
    "dirty-of-child-6.12": (
        "make_huge_page_split_spte",
        Substitution(SPTE_C, LARGE, "child_spte &= ~(PT_PAGE_SIZE_MASK | shadow_dirty_mask);", "6.12"),
        "Dirty was lost",
    ),
    "small-child-7.3": (
        "make_huge_page_split_spte",
        Substitution(SPTE_C, "if (is_nx_huge_page_enabled(kvm))\n\t\t\tchild", "if (0)\n\t\t\tchild", "7.3"),
        "a 4 KiB child stayed non-executable",
    ),
    "nx-huge-7.2": (
        "make_huge_spte",
        Substitution(SPTE_C, "if (is_nx_huge_page_enabled(kvm))\n\t\thuge_spte",
                     "if (0)\n\t\thuge_spte", "7.2"),
        "became executable with NX huge pages on",
    ),
    "host-writable-6.1": (
        "make_spte",
        Substitution(SPTE_C, "\telse\n\t\tpte_access &= ~ACC_WRITE_MASK;\n", ""),
        "the SPTE became writable although Host-writable is clear",
    ),
    "flush-6.1": (
        "mmu_spte_update",
        Substitution(MMU_C, "if (is_mmu_writable_spte(old_spte) &&\n\t      !is_writable_pte(new_spte))",
               "if (is_writable_pte(old_spte) &&\n\t      !is_writable_pte(new_spte))"),
        "TLB flush",
    ),
    "plain-write-6.1": (
        "kvm_tdp_mmu_write_spte",
        Substitution(ITER_H, "    spte_has_volatile_bits(old_spte))", "    is_writable_pte(old_spte))"),
        "a volatile SPTE was written without an atomic exchange",
    ),
    "volatile-7.3": (
        "spte_has_volatile_bits",
        Substitution(SPTE_C, "if (!spte_ad_enabled(spte))\n\t\treturn true;", "", "7.3"),
        "counts as stable",
    ),
    "saved-bits-6.1": (
        "mark_spte_for_access_track",
        Substitution(SPTE_C, "spte |= (spte & SHADOW_ACC_TRACK_SAVED_BITS_MASK) <<\n\t\t",
                     "spte |= 0ull <<\n\t\t"),
        "an access-tracked SPTE lost its saved bits",
    ),
}  # fmt: skip
ILLEGAL_ONLY = Substitution(SPTE_C, "if (WARN_ON_ONCE(!is_large_pte(huge_spte)))\n\t\treturn 0;", "")


def judged(name, mutant, directory):
    plan = PropertyPlan(
        kernels=(mutant.kernel,),
        patches=(patch_for(mutant, directory),),
        only=(name,),
        engines=("fuzz", "bulk", "exhaustive"),
        budget=20,
        seed=1,
        profile="ci",
    )
    (report,) = run(plan, progress=lambda line: None).kernels
    assert report.error is None, report.error
    return [each.counterexample for each in report.results if each.verdict is Verdict.FAIL]


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_shown_by_what_callers_can_give_and_by_its_rule(bug, tmp_path):
    name, mutant, rule = BUGS[bug]
    found = judged(name, mutant, tmp_path)
    assert found
    best = min(found, key=lambda each: each.weight)
    assert best.legal is True
    assert best.precondition == ""
    assert rule in best.rule
    assert best.source
    complaints = f"{best.kernel.get('events')} {best.model.get('events')}"
    assert "WARN" not in complaints and "BUG" not in complaints
    again = [sys.executable, "-m", *shlex.split(best.again)]
    done = subprocess.run(again, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    assert rule in " ".join(done.stdout.split())


@pytest.mark.kernel
@pytest.mark.slow
def test_a_bug_that_no_caller_can_reach_is_marked_so(tmp_path):
    found = judged("make_huge_page_split_spte", ILLEGAL_ONLY, tmp_path)
    assert found
    for each in found:
        assert each.legal is False
        assert "this input breaks the precondition: huge_spte is not" in each.precondition
        assert "no legal input that differs was found in" in each.precondition
        assert each.rule == ""
