# SPDX-License-Identifier: GPL-2.0-only
"""The shim: what it observes, and that kernel code which dies is a finding."""

from __future__ import annotations

import re

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.verdict import Verdict
from conformance.kernels import BuildError, Cache, open_kernel
from conformance.kernels.substitutions import SPTE_C, SPTE_H, Substitution, write_patch
from conformance.model.modes import MODES
from conformance.oracles.child import NR_EVENTS, KernelDied
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.interface import CDEF
from conformance.oracles.shim.oracle import ShimOracle

pytestmark = pytest.mark.kernel
HOST = MODES["npt"].host()


def batch(*columns):
    return np.array(columns, np.uint64)


def test_it_answers_for_the_kernel(oracle):
    oracle.configure(HOST)
    answer = oracle.run(oracle.entries["is_writable_pte"], batch([0, 1, 2, 3]))
    assert answer[0].tolist() == [0, 0, 1, 1]
    assert answer[1].tolist() == [0, 0, 0, 0]


def test_plain_and_atomic_are_told_apart(oracle):
    entries = oracle.entries
    oracle.configure(HOST)
    if "kvm_tdp_mmu_write_spte_atomic" not in entries:
        pytest.skip("this kernel writes plainly only")
    atomic = oracle.run(entries["kvm_tdp_mmu_write_spte_atomic"], batch([7], [9]))[:, 0].tolist()
    plain = oracle.run(entries["__kvm_tdp_mmu_write_spte"], batch([7], [9]))[:, 0].tolist()
    assert atomic == [7, 9, 1 << 8, 0]
    assert plain[1:] == [9, 1, 0]


def test_a_race_is_seen_by_atomic_writes_only(oracle):
    oracle.configure(HOST, ["WARN check_spte_writable_invariants", "call kvm_set_pfn_dirty"])
    entry = oracle.entries["mmu_spte_update"]
    present = 1 << 11 | 1
    raced = present | 1 << 5
    done = oracle.run(entry, batch([present], [raced], [present]))
    assert done[1, 0] == present
    assert done[2, 0] in (1, 1 << 8)


def test_events_have_names_and_the_unexpected_is_told(oracle):
    entry = oracle.entries["kvm_mmu_reset_all_pte_masks"]
    case = batch([46], [52], [1], [1])
    oracle.configure(HOST, ["WARN kvm_mmu_reset_all_pte_masks"])
    assert int(oracle.run(entry, case)[-1, 0]) & 0xFF == 1
    oracle.configure(HOST, ["WARN something_else"])
    assert int(oracle.run(entry, case)[-1, 0]) >> 56 == 1
    assert oracle.unexpected == "WARN kvm_mmu_reset_all_pte_masks"


def test_mask_setters_leave_the_mode_as_it_was(oracle):
    oracle.configure(MODES["ept-ad"].host())
    entry = oracle.entries["is_accessed_spte"]
    spte = batch([1 << 11 | 7 | 1 << 8, 1 << 11 | 7])
    before = oracle.run(entry, spte).copy()
    oracle.run(oracle.entries["kvm_mmu_reset_all_pte_masks"], batch([46], [44], [1], [0]))
    assert (oracle.run(entry, spte) == before).all()


def test_the_library_shows_nothing_but_its_interface(library):
    with library.open("rb") as file:
        symbols = list(ELFFile(file).get_section_by_name(".dynsym").iter_symbols())
    shown = {symbol.name for symbol in symbols if symbol["st_shndx"] != "SHN_UNDEF" and symbol.name}
    needed = {symbol.name for symbol in symbols if symbol["st_shndx"] == "SHN_UNDEF" and symbol.name}
    assert shown == set(re.findall(r"((?:shim|conformance)_\w+)\(", CDEF))
    weak = {"_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__cxa_finalize", "__gmon_start__"}
    assert needed <= weak, "no function of libc answers for the kernel"


def test_wrong_calls_are_refused(oracle):
    with pytest.raises(ValueError, match="columns"):
        oracle.run(oracle.entries["is_writable_pte"], batch([1], [2]))
    with pytest.raises(ValueError, match="events"):
        oracle.configure(HOST, [f"WARN f{n}" for n in range(NR_EVENTS + 1)])


def patched(kernel, tmp_path, file, old, new):
    """A patch that makes a substitution in the kernel."""
    return write_patch(kernel, [Substitution(file, old, new)], tmp_path / "planted.patch")


LARGE = "return pte & PT_PAGE_SIZE_MASK;"


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("if (pte >> 60 == 9) *(volatile int *)8 = 0;", "died of SIGSEGV"),
        ("if (pte >> 60 == 9) for (;;) barrier();", "did not come back"),
        ("if (pte >> 60 == 9) BUG();", "died of SIG"),
    ],
)
def test_kernel_code_that_dies_is_a_finding(kernel, tmp_path, monkeypatch, code, how):
    monkeypatch.setitem(ShimOracle.__init__.__kwdefaults__, "patience", 1.0)
    patch = patched(kernel, tmp_path, SPTE_H, LARGE, f"{code} {LARGE}")
    plan = PropertyPlan(
        kernels=(kernel.selector,),
        patches=(patch,),
        only=("is_large_pte", "is_writable_pte"),
        budget=8,
        seed=1,
        profile="ci",
    )
    report = run(plan, progress=lambda line: None)
    results = report.kernels[0].results
    died = [r for r in results if r.property == "is_large_pte" and r.verdict is Verdict.FAIL]
    assert report.status == 1
    assert died and all(how in result.counterexample.crash for result in died)
    assert all(result.counterexample.inputs["spte"] >> 60 == 9 for result in died)
    others = [result.verdict for result in results if result.property == "is_writable_pte"]
    assert Verdict.PASS in others and set(others) <= {Verdict.PASS, Verdict.SKIP}, "the run goes on"


def test_mask_setters_that_die_are_a_finding(kernel, tmp_path):
    reset = "void kvm_mmu_reset_all_pte_masks(void)\n{"
    guard = "static void planted(void) { BUG_ON(boot_cpu_data.x86_phys_bits == 47); }\n"
    patch = patched(kernel, tmp_path, SPTE_C, reset, f"{guard}{reset}\n\tplanted();")
    plan = PropertyPlan((kernel.selector,), (patch,), ("is_mmu_writable_spte",), budget=8, profile="ci")
    report = run(plan, progress=lambda line: None)
    assert report.status == 1
    failed = {result.mode for result in report.kernels[0].results if result.verdict is Verdict.FAIL}
    assert failed == {"npt-me"}


def test_a_dead_child_is_replaced(kernel, tmp_path):
    patch = patched(kernel, tmp_path, SPTE_H, LARGE, f"if (pte == 5) *(volatile int *)8 = 0; {LARGE}")
    library = build_shim(open_kernel(kernel.selector, [patch]), Cache(), lambda line: None)
    with ShimOracle(library) as oracle:
        oracle.configure(HOST)
        with pytest.raises(KernelDied) as died:
            oracle.run(oracle.entries["is_large_pte"], batch([1, 2, 5, 3]))
        assert died.value.at == 2
        assert oracle.run(oracle.entries["is_large_pte"], batch([1 << 7]))[0, 0] == 1


def test_what_nothing_stands_in_for_is_named(kernel, tmp_path):
    patch = patched(
        kernel,
        tmp_path,
        SPTE_H,
        LARGE,
        f"extern int nobody_knows(void); if (nobody_knows()) return 1; {LARGE}",
    )
    with pytest.raises(BuildError, match="nobody_knows"):
        build_shim(open_kernel(kernel.selector, [patch]), Cache(), lambda line: None)


def test_what_does_not_compile_shows_the_first_error(kernel, tmp_path):
    patch = patched(kernel, tmp_path, SPTE_H, LARGE, "return pte & PT_PAGE_SIZE_MASKS;")
    plan = PropertyPlan(kernels=(kernel.selector,), patches=(patch,), only=("is_large_pte",), seed=1)
    report = run(plan, progress=lambda line: None)
    assert report.status == 2
    assert "PT_PAGE_SIZE_MASKS" in report.kernels[0].error and "spte.h" in report.kernels[0].error
