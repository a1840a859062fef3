# SPDX-License-Identifier: GPL-2.0-only
"""``conformance layout``: what is equal and what is not, its JSON and exit status; and real kernels."""

from __future__ import annotations

import json

import pytest

from conformance import layout
from conformance.errors import ConformanceError
from conformance.kernels import SERIES, open_kernel
from conformance.kernels.images import shipped
from conformance.layout import Constant, Found, Row, Structure
from conformance.model.spte.decode.fields import Field

PAGE = Structure(
    "struct kvm_mmu_page",
    [Row("all", (0, 1472), (0, 1472)), Row("gfn", (320, 64), (320, 64)), Row("spt", (384, 64), (384, 64))],
)
ROLE = Structure("union kvm_mmu_page_role", [Row("level", (0, 4), (0, 4)), Row("smm", (24, 8), (24, 8))])
MOVED = Structure("struct kvm_page_fault", [Row("gfn", (192, 64), (256, 64)), Row("hva", (448, 64), None)])
MASK = Constant("SPTE_MMU_PRESENT_MASK", 0x800, 0x800)


def found(structures=(PAGE, ROLE), constants=(MASK,), unjudged=None, options=()) -> Found:
    bits = [("present SPTE, npt", [Field(63, 63, "NX", 0, "", "NX"), Field(1, 1, "write", 0, "", "W")])]
    return Found(
        "6.1", "linux-image-1 6.1.192-2", "BTF" if unjudged is None else "", [], unjudged,
        structures, options, constants, bits,
    )  # fmt: skip


@pytest.fixture
def looked(monkeypatch):
    """What was looked at; ``looked.found`` is what is seen of each kernel in turn."""

    class Looked(list):
        found = (found(),)

    seen = Looked()

    def look(selector, progress, *, module=None, vmlinux=None):
        seen.append((selector, module and str(module), vmlinux and str(vmlinux)))
        return seen.found[(len(seen) - 1) % len(seen.found)]

    monkeypatch.setattr(layout, "look", look)
    return seen


def test_all_is_equal(cli, looked):
    done = cli("layout")
    assert done.exit_code == 0
    assert looked == [("6.1", None, None)]
    rows = [row.split() for row in done.output.splitlines()]
    assert "linux-image-1 6.1.192-2, by its BTF, and the shim of 6.1" in done.output
    assert ["gfn", "0x028", "+", "8", "equal"] in rows
    assert ["level", "3:0", "equal"] in rows
    assert ["smm", "31:24", "equal"] in rows
    assert ["SPTE_MMU_PRESENT_MASK", "0x800", "equal"] in rows
    assert "┌63─┬62" in done.output
    assert "EQUAL  5 places and 1 constants" in done.output


def test_a_difference_is_reported(cli, looked):
    odd = Constant("ACC_ALL", 0x7, 0xF)
    looked.found = (found([PAGE, MOVED], [MASK, odd], options=[("HYPERV", "y", "n")]),)
    done = cli("layout")
    assert done.exit_code == 1
    rows = [row.split() for row in done.output.splitlines()]
    assert ["differs", "gfn", "0x018", "+", "8", "0x020", "+", "8"] in rows
    assert ["differs", "hva", "0x038", "+", "8", "-"] in rows
    assert ["differs", "ACC_ALL", "0x7", "0xf"] in rows
    assert "DIFFER  struct kvm_page_fault: gfn, hva; ACC_ALL" in done.output
    assert "options that differ, shipped/shim: HYPERV y/n" in done.output


def test_without_types_nothing_is_compared(cli, looked):
    bare = Structure("struct kvm_mmu_page", [Row("gfn", None, (320, 64))])
    looked.found = (found([bare], unjudged="its kvm.ko has no BTF"),)
    done = cli("layout", "--kernel", "5.10")
    assert done.exit_code == 2
    assert "ERROR  its kvm.ko has no BTF" in " ".join(done.output.split("\n"))
    assert "6.1.192-2, without types, and the shim" in done.output
    assert "differs" not in done.output
    assert "EQUAL" not in done.output


@pytest.mark.parametrize(
    "each, status",
    [
        ([found(), found([MOVED])], 1),
        ([found(unjudged="x"), found()], 2),
        ([found(unjudged="x"), found([MOVED])], 1),
    ],
)
def test_status_over_kernels(cli, looked, each, status):
    looked.found = each
    assert cli("layout", "--kernel", "6.1", "--kernel", "6.12").exit_code == status
    assert [selector for selector, *_ in looked] == ["6.1", "6.12"]


def test_all_kernels(cli, looked):
    assert cli("layout", "--kernel", "all").exit_code == 0
    assert [selector for selector, *_ in looked] == list(SERIES)


def test_json(cli, looked, tmp_path):
    looked.found = (found([PAGE, MOVED]),)
    assert cli("layout", "--json", tmp_path / "out.json").exit_code == 1
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["schema"] == 1
    (kernel,) = written["kernels"]
    assert (kernel["kernel"], kernel["source"], kernel["status"]) == ("6.1", "BTF", 1)
    assert kernel["structures"]["struct kvm_page_fault"] == [
        {"member": "gfn", "shipped": [192, 64], "shim": [256, 64]},
        {"member": "hva", "shipped": [448, 64], "shim": None},
    ]
    assert kernel["constants"] == [{"name": "SPTE_MMU_PRESENT_MASK", "model": "0x800", "shim": "0x800"}]
    assert kernel["bits"]["present SPTE, npt"][0] == {"high": 63, "low": 63, "name": "NX"}
    printed = cli("layout", "--json", "-")
    assert json.loads(printed.stdout) == written
    assert "struct kvm_mmu_page" in printed.stderr


def test_a_module_and_its_kernel(cli, looked):
    assert cli("layout", "--module", "a/kvm.ko", "--vmlinux", "b/vmlinux").exit_code == 0
    assert cli("layout", "--module", "a/kvm.ko", "--kernel", "6.12").exit_code == 0
    assert looked == [(None, "a/kvm.ko", "b/vmlinux"), ("6.12", "a/kvm.ko", None)]


@pytest.mark.parametrize(
    "given, complaint",
    [
        (["--kernel", "9.9"], "There is no kernel '9.9'"),
        (["--vmlinux", "x"], "--vmlinux belongs to a module"),
        (["--module", "x", "--kernel", "all"], "--module is compared with one kernel"),
        (["--module", "x", "--kernel", "6.1", "--kernel", "6.12"], "--module is compared with one kernel"),
        (["--json", ""], "--json was given an empty file name"),
        (["--json", "/nowhere/x"], "/nowhere"),
    ],
)
def test_refused_options(cli, looked, given, complaint):
    done = cli("layout", *given)
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert looked == []


def test_files_that_are_no_modules(cli, tmp_path):
    (tmp_path / "kvm.ko").write_text("text")
    done = cli("layout", "--module", tmp_path / "kvm.ko")
    assert (done.exit_code, "is no kernel module: it is no ELF file" in done.stderr) == (2, True)
    done = cli("layout", "--kernel", f"tree:{tmp_path}")
    assert (done.exit_code, "of a tree there is no shipped kernel" in done.stderr) == (2, True)


@pytest.mark.kernel
@pytest.mark.network
class TestReal:
    def test_the_shipped_kernel(self, cli, kernel):
        done = cli("layout", "--kernel", kernel.selector)
        if kernel.series == "5.10":
            assert done.exit_code == 2
            assert "has neither BTF" in " ".join(done.output.split())
        else:
            assert done.exit_code == 0, done.output
            assert "EQUAL" in done.output

    def test_another_kernel_s_module_differs(self, cli):
        there = shipped("6.1")
        done = cli("layout", "--module", there.module, "--vmlinux", there.base, "--kernel", "6.12")
        assert done.exit_code == 1
        assert "DIFFER" in done.output

    def test_dwarf_stands_in_for_types(self, tmp_path):
        """A unit compiled with -g takes the debug module's part."""
        from conformance.layout.looking import look

        kernel = open_kernel("6.1")
        unit, headers = tmp_path / "kvm.c", tmp_path / "headers.h"
        headers.write_text('#include <linux/kvm_host.h>\n#include "mmu/mmu_internal.h"\n')
        unit.write_text(
            "struct kvm_mmu_page *a; union kvm_mmu_page_role *b; struct kvm_page_fault *c;\n"
            "void kvm_mmu_set_ept_masks(bool x, bool y) {}\n"
            'const char info[] __attribute__((used, section(".modinfo"))) = "vermagic=6.1.0-1-amd64";\n'
        )
        (made,) = kernel.compile([unit], tmp_path / "o", flags=("-g", "-w"), force_include=[headers])
        seen = look(None, lambda line: None, module=made)
        assert (seen.source, seen.status) == ("DWARF", 0)
        assert [structure.name for structure in seen.structures] == [
            "struct kvm_mmu_page", "union kvm_mmu_page_role", "struct kvm_page_fault",
        ]  # fmt: skip

    def test_a_module_of_no_series(self, cli, tmp_path):
        there = shipped("6.1")
        data = there.module.read_bytes().replace(b"vermagic=6.1.0-", b"vermagic=6.5.0-")
        (tmp_path / "kvm.ko").write_bytes(data)
        done = cli("layout", "--module", tmp_path / "kvm.ko", "--vmlinux", there.base)
        assert done.exit_code == 2
        assert "is of Linux 6.5, which is none of the series" in done.stderr


def test_a_refusal_is_a_plain_sentence(cli, monkeypatch):
    def refuse(*words, **named):
        raise ConformanceError("6.1: the archive does not answer.")

    monkeypatch.setattr(layout, "look", refuse)
    done = cli("layout")
    assert (done.exit_code, done.stderr) == (2, "conformance: 6.1: the archive does not answer.\n")
