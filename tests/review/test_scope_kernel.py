# SPDX-License-Identifier: GPL-2.0-only
"""Changes outside of functions, on a real kernel: each is named, and judged by what uses it or not."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from planting import patch_for

from conformance.kernels import open_kernel
from conformance.kernels.manifest import Manifest
from conformance.kernels.substitutions import (
    ITER_H,
    KVM_MAIN_C,
    MMU_C,
    SPTE_C,
    SPTE_H,
    Substitution,
    write_patch,
)
from conformance.model.layout import Layout
from conformance.model.profiles import profile_of
from conformance.review import ReviewPlan, Standing, compare, judging_series
from conformance.review.constants import layout_of
from conformance.review.outcome import Outcome, outcome_of
from conformance.review.series import read_series
from conformance.review.texts import Texts

pytestmark = pytest.mark.kernel

FIRST = "#define INVALID_INDEX (-1)\n"


@pytest.fixture(scope="module")
def base():
    return open_kernel("6.1")


@pytest.fixture
def reviewed(base, tmp_path):
    """Review the kernel with texts of a file replaced, as one patch."""

    def call(file, *replaced):
        substitutions = [Substitution(file, old, new) for old, new in replaced]
        return compare(
            base, open_kernel("6.1", [write_patch(base, substitutions, tmp_path / "change.patch")])
        )

    return call


@pytest.mark.parametrize(
    ("file", "old", "new", "name"),
    [
        (MMU_C, "on_reuse, bool, 0644)", "on_reuse, bool, 0444)", "module_param_named(flush_on_reuse)"),
        (MMU_C, "EXPORT_SYMBOL_GPL(kvm_mmu_free_roots)", "EXPORT_SYMBOL(kvm_mmu_free_roots)",
         "EXPORT_SYMBOL(kvm_mmu_free_roots)"),
        ("arch/x86/kvm/mmu/mmutrace.h", "printk(\"addr %llx pferr", "printk(\"an addr %llx pferr",
         "TRACE_EVENT(kvm_mmu_pagetable_walk)"),
        (MMU_C, FIRST, f"{FIRST}#define UNUSED_INDEX (-2)\n", "macro UNUSED_INDEX"),
        (KVM_MAIN_C, "halt_poll_ns, uint, 0644", "halt_poll_ns, uint, 0444",
         "module_param(halt_poll_ns)"),
        ("arch/x86/kvm/vmx/vmx.c", "module_param(dump_invalid_vmcs, bool, 0644)",
         "module_param(dump_invalid_vmcs, bool, 0444)", "the whole file"),
    ],
)  # fmt: skip
def test_what_nothing_looks_at_is_named(reviewed, file, old, new, name):
    review = reviewed(file, (old, new))
    assert name in [one.name for one in review.unlooked]
    assert (review.changed, outcome_of(review, promised=True)) == ((), Outcome.UNOBSERVED)


def test_comments_outside_of_functions_are_proved_to_change_nothing(reviewed):
    review = reviewed(MMU_C, (FIRST, f"/* Not a level. */\n\n{FIRST}"))
    assert [(one.name, one.file) for one in review.scope] == [("comments", MMU_C)]
    assert outcome_of(review, promised=True) is Outcome.PROVED


def test_a_variable_of_the_same_data_is_proved_to_change_nothing(reviewed):
    review = reviewed(MMU_C, ("bool tdp_enabled = false;", "bool tdp_enabled;"))
    assert [(one.name, one.proved) for one in review.scope] == [
        ("variable tdp_enabled", "its data are the same, relocations included")
    ]
    assert review.proved and review.changed == ()


def test_a_prototype_is_proved_by_machine_code(reviewed):
    line = "static void mark_unsync(u64 *spte);\n"
    review = reviewed(MMU_C, (line, f"{line}static void mark_unsync(u64 *sptep);\n"))
    assert [one.name for one in review.scope] == ["declaration mark_unsync"]
    assert review.proved


@pytest.mark.slow
def test_a_variable_that_begins_otherwise_changes_what_uses_it(reviewed):
    review = reviewed(SPTE_C, ("enable_mmio_caching = true;", "enable_mmio_caching = false;"))
    (item,) = [one for one in review.scope if one.name == "variable enable_mmio_caching"]
    assert "kvm_mmu_set_mmio_spte_mask" in item.users
    told = {one.name: one for one in review.changed}
    # Whether MMIO SPTEs are cached is set for every host that is tried: what it was before is never read.
    assert told["kvm_mmu_set_mmio_spte_mask"].standing is Standing.UNOBSERVED
    assert told["kvm_mmu_set_mmio_spte_mask"].through == ("enable_mmio_caching",)
    assert outcome_of(review, promised=True) is Outcome.UNOBSERVED


@pytest.mark.slow
def test_a_field_that_moves_changes_the_functions_whose_code_it_changes(reviewed):
    level = "\t/* The level of the root page given to the iterator */\n\tint root_level;\n"
    gfn = "\t/* The lowest GFN mapped by the current SPTE */\n\tgfn_t gfn;\n"
    review = reviewed(ITER_H, (f"{gfn}{level}", f"{level}{gfn}"))
    assert not review.proved
    told = {one.name: one for one in review.changed}
    assert told["tdp_iter_next"].through == ("type struct tdp_iter",)
    assert {one.aspect for one in review.constants} == {"first bit"}


@pytest.fixture
def edited(base, tmp_path):
    """The prepared kernel with one file edited in place; nothing is generated anew."""

    def call(file, old, new):
        root = tmp_path / "kernel"
        shutil.copytree(base.root, root)
        path = root / "src" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        Manifest.take(root).save(root)
        return dataclasses.replace(base, root=root, title="edited", fingerprint="edited")

    return call


PAGE_TYPES = "arch/x86/include/asm/page_types.h"


def test_a_header_of_the_rest_of_the_kernel(base, edited):
    after = edited(PAGE_TYPES, "#define PAGE_SHIFT\t\t12", "#define PAGE_SHIFT\t\t(11 + 1)")
    review = compare(base, after)
    assert [(one.name, one.file, one.observed) for one in review.scope] == [
        ("the whole file", PAGE_TYPES, False)
    ]
    assert "the machine code of the MMU's functions is the same" in review.scope[0].reason
    assert len(review.functions) > 400


@pytest.mark.slow
def test_a_header_of_the_rest_of_the_kernel_that_changes_code(base, edited):
    after = edited(
        "include/linux/kvm_types.h", "typedef u64            gfn_t;", "typedef u32            gfn_t;"
    )
    texts = Texts(base, after)
    assert [one.item.title for one in texts.items] == ["type gfn_t"]
    review = compare(base, after, ReviewPlan(budget=0.1, modes=("npt",)))
    assert [one for one in review.changed if one.through == ("gfn_t",)]


def test_files_that_are_not_compiled(tmp_path, base):
    """A patch to a driver does not concern the MMU; one to a Kconfig file of KVM's is not said not to."""
    texts = {"drivers/net/tun.c": Outcome.UNCONCERNED}
    for path, outcome in texts.items():
        file = tmp_path / "a.patch"
        file.write_text(f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n")
        found = judging_series.judge(read_series([str(file)]), "6.1", None, lambda text: None)  # type: ignore[arg-type]
        assert found.parts[0].outcome is outcome


def test_a_kconfig_file_of_kvms_is_looked_at_by_nothing(base):
    path = "arch/x86/kvm/Kconfig"
    found = judging_series._judged(
        "a", None, [path], base, base, lambda: pytest.fail("nothing is to be compared")
    )
    assert found.outcome is Outcome.UNOBSERVED
    assert [one.file for one in found.review.unlooked] == [path]
    assert judging_series._judged("a", None, ["drivers/a.c"], base, base, None).outcome is Outcome.UNCONCERNED


def test_the_constants_of_a_kernel_are_its_own(base, tmp_path):
    lines = (base.root / "src" / SPTE_H).read_text().splitlines()
    old = next(line for line in lines if line.startswith("#define EPT_SPTE_HOST_WRITABLE"))
    moved = Substitution(SPTE_H, old, "#define EPT_SPTE_HOST_WRITABLE\tBIT_ULL(60)")
    kernel = open_kernel("6.1", [patch_for(moved, tmp_path)])
    own, patched = (layout_of(each, profile_of((6, 1))) for each in (base, kernel))
    assert own == Layout.of(profile_of((6, 1)))
    assert patched == dataclasses.replace(own, ept_host_writable=1 << 60)
