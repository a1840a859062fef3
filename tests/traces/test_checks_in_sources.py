# SPDX-License-Identifier: GPL-2.0-only
"""The table of WARNs and BUGs against a kernel's source: it has all of the MMU's, and claims no others."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from warns import Warn, warns_of

from conformance.kernels.parsing import extents
from conformance.traces.checks import CHECKS, Check
from conformance.traces.checks.callers import DIRECT

MMU = "arch/x86/kvm/mmu"
OTHERS = (
    *(f"virt/kvm/{name}" for name in ("kvm_main.c", "dirty_ring.c", "pfncache.c")),
    "arch/x86/kvm/x86.c",
    "include/linux/kvm_host.h",
)
BUGS = ("BUG", "BUG_ON", "VM_BUG_ON", "KVM_BUG_ON_DATA_CORRUPTION")
CALL = re.compile(r"\b(FNAME\(\w+\)|\w+)\s*\(")


def mmu_files(kernel):
    src = kernel.root / "src"
    return [*sorted((src / MMU).glob("*.[ch]")), src / "arch/x86/kvm/mmu.h"]


def matching(table, warn: Warn, series: str) -> list[Check]:
    return [
        check
        for check in table
        if series in check.kernels
        and check.file == warn.file
        and warn.function in check.functions
        and check.tests(warn.condition)
    ]


def unknown(table, warns: list[Warn], series: str) -> list[str]:
    """The WARNs that no check is, or more than one; and those that share a check which names nothing."""
    checks = {warn: matching(table, warn, series) for warn in warns}
    places = Counter(check for found in checks.values() for check in found)
    return [
        str(warn)
        for warn, found in checks.items()
        if len(found) != 1 or (not found[0].names and places[found[0]] > 1)
    ]


def warns_of_mmu(kernel) -> list[Warn]:
    found = [warn for path in mmu_files(kernel) for warn in warns_of(path)]
    assert len(found) > 90
    return found


@pytest.mark.kernel
def test_each_warn_of_the_mmu_is_one_check_of_the_table(kernel, counted):
    warns = warns_of_mmu(kernel)
    assert unknown(CHECKS, warns, kernel.series) == []
    counted("WARNs of the MMU's source")[f"in {kernel.series}"] += len(warns)


@pytest.mark.kernel
def test_a_warn_that_the_table_lacks_is_noticed(kernel):
    (sync,) = (check for check in CHECKS if check.function == "kvm_unlink_unsync_page")
    warns = warns_of_mmu(kernel)
    (missing,) = unknown([check for check in CHECKS if check is not sync], warns, kernel.series)
    (doubled,) = unknown([*CHECKS, replace(sync)], warns, kernel.series)
    assert missing == doubled and "kvm_unlink_unsync_page" in missing


@pytest.mark.kernel
def test_a_warn_of_the_source_that_is_new_is_noticed(kernel, tmp_path):
    lines = (kernel.root / "src" / MMU / "mmu.c").read_text().splitlines()
    place = next(
        number
        for number, line in enumerate(lines)
        if line.startswith("static void kvm_unlink_unsync_page(") and line.endswith(")")
    )
    path = tmp_path / "mmu.c"
    path.write_text("\n".join([*lines[: place + 2], "\tWARN_ON_ONCE(sp->planted);", *lines[place + 2 :]]))
    new, old = unknown(CHECKS, [*warns_of(path)], kernel.series)
    assert "planted" in new and all("kvm_unlink_unsync_page" in warn for warn in (new, old))


@pytest.mark.kernel
def test_the_table_claims_only_what_the_source_has(kernel):
    src = kernel.root / "src"
    places = defaultdict(list)
    for path in (*mmu_files(kernel), *(src / name for name in OTHERS if (src / name).is_file())):
        for warn in warns_of(path):
            for check in matching(CHECKS, warn, kernel.series):
                places[check].append(warn)
    claimed = [check for check in CHECKS if kernel.series in check.kernels]
    assert [f"{check.file} {check.function}: {check.what}" for check in claimed if not places[check]] == []
    for check, warns in places.items():
        assert check.names or len(warns) == 1, warns
        macros = {warn.macro for warn in warns}
        assert check.bug or macros.isdisjoint(BUGS), check
        assert check.ends_vm or not any(macro.startswith("KVM_BUG") for macro in macros), check
        assert check.debug or not any("MMU_WARN" in macro or macro[:3] == "VM_" for macro in macros), check


@pytest.mark.kernel
def test_the_callers_are_those_of_the_source(kernel):
    calls = defaultdict(set)
    static = set()
    for path in mmu_files(kernel):
        lines = path.read_text().splitlines()
        for first, last, name in extents(path):
            head, _, body = "\n".join(lines[first - 1 : last]).partition("{")
            if head.startswith("static"):
                static.add(name)
            for called in CALL.findall(re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)):
                if name and called != name:
                    calls[called].add(name)
    assert {name: missing for name in DIRECT if (missing := calls[name] - DIRECT[name])} == {}
    checking = {name for check in CHECKS for name in check.functions}
    assert {name for name in checking & static & calls.keys() if name not in DIRECT} == set()
