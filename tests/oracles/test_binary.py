# SPDX-License-Identifier: GPL-2.0-only
"""The shipped module as oracle: it agrees with the shim, changed code is noticed, and deaths are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from patching import patched

from conformance.differential import run_properties
from conformance.differential.comparison import Comparison
from conformance.differential.properties import PROPERTIES
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.sides import OracleSide
from conformance.differential.verdict import Verdict
from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.kernels.images import shipped
from conformance.model.modes import MODES
from conformance.oracles.binary.build import build_binary
from conformance.oracles.binary.image_file import load_image
from conformance.oracles.binary.module import open_module
from conformance.oracles.binary.oracle import BinaryOracle
from conformance.oracles.child import KernelDied
from conformance.oracles.lacking import Lacking

pytestmark = [pytest.mark.kernel, pytest.mark.network]

HOST = MODES["ept-ad"].host()
PRESENT = 1 << 11 | 1


@pytest.fixture(scope="module")
def folder(kernel):
    if kernel.series == "5.10":
        pytest.skip("its kvm.ko was shipped without types")
    found = shipped(kernel.selector)
    return build_binary(open_module(found.module, found.base), kernel, Cache(), lambda message: None)


@pytest.fixture
def binary(folder):
    with BinaryOracle(folder) as oracle:
        yield oracle


def asked(oracle, entry, *columns):
    return oracle.run(oracle.entries[entry], np.array(columns, np.uint64))


def volatile_bits(image):
    """The name that the function has in this kernel."""
    return next(n for n in ("spte_has_volatile_bits", "spte_needs_atomic_update") if n in image.symbols)


def volatile(oracle):
    oracle.configure(HOST)
    sptes = np.random.default_rng(1).integers(0, 1 << 63, 20_000, np.uint64) | np.uint64(PRESENT)
    return asked(oracle, "spte_has_volatile_bits", sptes).copy()


def test_what_must_stand_alone_does(binary):
    reached = {
        "spte_has_volatile_bits",
        "mark_spte_for_access_track",
        "make_spte",
        "make_nonleaf_spte",
        "make_huge_page_split_spte",
        "make_mmio_spte",
        "is_mmio_spte",
        "kvm_mmu_reset_all_pte_masks",
        "kvm_mmu_set_ept_masks",
        "kvm_mmu_set_mmio_spte_mask",
        "kvm_mmu_set_me_spte_mask",
        "tdp_iter",
        "mmu_spte_update",
    }
    assert reached <= set(binary.entries)


def test_what_is_missing_has_a_reason(binary, profile):
    missing = {p.name for p in PROPERTIES.values() if not p.absent(profile)} - set(binary.entries)
    assert all(binary.why_not[name] for name in missing)


def agree(binary, shim, profile, modes, cases):
    """Ask both of all that the module answers; how many answers were compared."""
    compared = 0
    for prop in PROPERTIES.values():
        if prop.name not in binary.entries or prop.absent(profile):
            continue
        for mode in [name for name in prop.modes if name in modes] or prop.modes[:1]:
            sides = (OracleSide(one, profile) for one in (binary, shim))
            comparison = Comparison(prop, MODES[mode], *sides)
            for seed in range(max(1, cases // comparison.capacity)):
                n = min(cases, comparison.capacity)
                batch = comparison.draw(np.random.default_rng(seed), n)
                left, right = (comparison.answer(side, batch) for side in (comparison.left, comparison.right))
                same = left == right
                assert same.all(), (prop.name, mode, batch[:, ~same.all(axis=0)][:, 0].tolist())
                compared += batch.shape[1]
    return compared


def test_it_agrees_with_the_shim(binary, oracle, profile):
    assert agree(binary, oracle, profile, {"ept-ad"}, 500) >= 13 * 500


@pytest.mark.slow
def test_it_agrees_with_the_shim_in_bulk(binary, oracle, profile):
    assert agree(binary, oracle, profile, {"ept-ad", "shadow"}, 1 << 17) >= 13 * (1 << 17)


def test_complaints_have_names_files_and_lines(binary):
    sites = [site for site in binary.image.sites.values() if site.function == "kvm_mmu_reset_all_pte_masks"]
    assert [(site.kind, site.file) for site in sites] == [("WARN", "arch/x86/kvm/mmu/spte.c")]
    assert sites[0].line > 1
    binary.configure(HOST, ["WARN kvm_mmu_reset_all_pte_masks"])
    case = [[46], [52], [1], [1]]
    for _ in range(2):
        assert int(asked(binary, "kvm_mmu_reset_all_pte_masks", *case)[-1, 0]) == 1, "each time, not once"


def test_races_and_kinds_of_writes_are_seen(binary):
    if "kvm_tdp_mmu_write_spte_atomic" not in binary.entries:
        pytest.skip("its TDP writes are not reached")
    binary.configure(HOST)
    assert asked(binary, "kvm_tdp_mmu_write_spte_atomic", [7], [9])[:, 0].tolist() == [7, 9, 1 << 8, 0]
    assert asked(binary, "__kvm_tdp_mmu_write_spte", [7], [9])[1:, 0].tolist() == [9, 1, 0]


def test_a_changed_byte_is_noticed(binary, folder, tmp_path):
    image = load_image(folder)
    name = volatile_bits(image)
    before, seen = volatile(binary), 0
    for at in range(10, image.symbols[name].size, 7):
        (tmp_path / str(at)).mkdir()
        with patched(folder, tmp_path / str(at), name, b"\xff", at) as other:
            try:
                seen += not np.array_equal(volatile(other), before)
            except KernelDied:
                seen += 1
    assert seen, "no change of its code made a difference"


def test_where_it_died_is_told(folder, tmp_path):
    image = load_image(folder)
    name = volatile_bits(image)
    reads_8 = b"\x48\x8b\x04\x25\x08\x00\x00\x00"
    with (
        patched(folder, tmp_path, name, reads_8) as oracle,
        pytest.raises(KernelDied, match=rf"died of SIGSEGV at {name}, reading 0x8"),
    ):
        volatile(oracle)


def test_use_of_what_nothing_stands_in_for_is_no_end_of_the_kernel(folder, tmp_path):
    image = load_image(folder)
    name = volatile_bits(image)
    call = b"\x48\xc7\xc0" + image.symbols["kvfree"].address.to_bytes(4, "little") + b"\xff\xd0"
    with (
        patched(folder, tmp_path, name, call) as oracle,
        pytest.raises(Lacking, match=rf"nothing stands in for kvfree, which {name}\S* wants"),
    ):
        volatile(oracle)


def test_a_run_asks_the_shim_as_well_and_says_so_first(kernel, folder, monkeypatch):
    plan = PropertyPlan(
        (kernel.selector,), only=("make_nonleaf_spte", "is_rsvd_spte"), oracle="binary", budget=8
    )
    report = run(plan, progress=lambda line: None).kernels[0]
    assert report.disagreement is None
    assert report.results[0].engine == "agreement" and report.results[0].verdict is Verdict.PASS
    skipped = [r for r in report.results if r.property == "is_rsvd_spte"]
    assert [r.verdict for r in skipped] == [Verdict.SKIP] and "inlined" in skipped[0].reason

    class Lying(run_properties.ShimOracle):
        def collect(self):
            return super().collect() ^ np.uint64(1)

    monkeypatch.setattr(run_properties, "ShimOracle", Lying)
    report = run(plan, progress=lambda line: None).kernels[0]
    assert report.disagreement and report.disagreement.startswith("shim and binary differ in make_nonleaf")
    verdicts = {r.verdict for r in report.results if r.engine == "agreement"}
    assert verdicts == {Verdict.ERROR}
    assert all(r.verdict is not Verdict.FAIL for r in report.results), "the module is as the model says"


def test_a_module_given_is_asked(kernel, folder):
    found = shipped(kernel.selector)
    plan = PropertyPlan(module=found.module, vmlinux=found.base, only=("make_nonleaf_spte",), budget=8)
    report = run(plan, progress=lambda line: None)
    assert report.status == 0 and report.kernels[0].selector == kernel.series


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"vmlinux": None}, "Pass the vmlinux or vmlinuz of .* with --vmlinux"),
        ({"kernels": ("all",)}, "at most one with --kernel"),
        ({"module": None}, "name it with --module"),
    ],
)
def test_options_that_do_not_go_together_are_told(kernel, folder, changes, told):
    found = shipped(kernel.selector)
    plan = replace(PropertyPlan(module=found.module, vmlinux=found.base), **changes)
    with pytest.raises(ConformanceError, match=told):
        run(plan, progress=lambda line: None)
