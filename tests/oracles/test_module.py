# SPDX-License-Identifier: GPL-2.0-only
"""Opening a kvm.ko: packed or not; and plain sentences about every file that is none."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess

import pytest
import zstandard
from btf_made import KVM_C, Made, kernel_types, module

from conformance.differential.machine_code import of_module
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.errors import ConformanceError
from conformance.oracles.binary import module as binary_module
from conformance.oracles.binary.module import open_module


@pytest.fixture
def base(tmp_path):
    (tmp_path / "vmlinux").write_bytes(kernel_types().data())
    return tmp_path / "vmlinux"


@pytest.fixture
def kvm(tmp_path):
    made = Made(kernel_types())
    made.whole("struct", "kvm_mmu_page", 8, [("gfn", 2, 0)])
    return module(tmp_path, made.data())


def refused(path, base=None) -> str:
    with pytest.raises(ConformanceError) as refusal:
        assert open_module(path, base).btf
    told = str(refusal.value)
    assert told.startswith(str(path))
    assert len(told.split(". ")) <= 2
    return told.removeprefix(str(path))


def test_what_a_module_tells(kvm, base):
    found = open_module(kvm, base)
    assert (found.release, found.series) == ("6.1.0-1-amd64", "6.1")
    assert found.facts["license"] == "GPL"
    assert {"sp", "kvm_mmu_set_ept_masks"} <= found.symbols
    assert found.has_btf
    assert not found.has_dwarf
    assert found.btf.member(found.btf.aggregate("kvm_mmu_page"), "gfn").bits == 64


@pytest.mark.parametrize(
    "pack", [lzma.compress, gzip.compress, bz2.compress, zstandard.ZstdCompressor().compress]
)
def test_packed(kvm, base, pack):
    kvm.write_bytes(pack(kvm.read_bytes()))
    assert open_module(kvm, base).btf.aggregate("kvm_mmu_page") is not None


def test_cut_off_anywhere(kvm, base):
    whole = kvm.read_bytes()
    for length in range(4, len(whole), 97):
        kvm.write_bytes(whole[:length])
        assert "is cut off: it ends before" in refused(kvm, base)


def test_packed_and_cut_off(kvm, base):
    packed = lzma.compress(kvm.read_bytes())
    kvm.write_bytes(packed[: len(packed) // 2])
    assert "cannot be unpacked: it is cut off or damaged" in refused(kvm, base)


def test_no_module(tmp_path, base):
    (tmp_path / "kvm.ko").write_text("text")
    assert "is no kernel module: it is no ELF file" in refused(tmp_path / "kvm.ko", base)
    assert "cannot be read: No such file" in refused(tmp_path / "nothing.ko", base)
    assert "cannot be read: Is a directory" in refused(tmp_path, base)


def test_another_architecture(kvm, base):
    data = bytearray(kvm.read_bytes())
    data[18] = 183
    kvm.write_bytes(data)
    assert "is not for x86-64 (ELF machine 183, 64 bits)" in refused(kvm, base)
    data[4:6] = 1, 2
    kvm.write_bytes(data)
    assert "is not for x86-64" in refused(kvm, base)


def test_linked(tmp_path, base):
    made = module(tmp_path, source=KVM_C + "void _start(void) {}", flags=("-nostdlib", "-no-pie"))
    assert "it is linked already" in refused(made, base)


def test_stripped(kvm, base):
    subprocess.run(["strip", kvm], check=True)
    assert "is stripped: it has no symbol table" in refused(kvm, base)


def test_another_module(tmp_path, base):
    made = module(
        tmp_path, source="int kvm_mmu_set_ept_masks(int); int f(void) { return kvm_mmu_set_ept_masks(1); }"
    )
    assert "is not KVM: it does not define kvm_mmu_set_ept_masks()" in refused(made, base)


def test_without_types(tmp_path, base):
    assert "has no type information (no .BTF)" in refused(module(tmp_path), base)


def test_without_its_kernel(kvm):
    assert "Pass the vmlinux or vmlinuz of 6.1.0-1-amd64 with --vmlinux" in refused(kvm)


def test_of_the_running_kernel(kvm, base, monkeypatch):
    monkeypatch.setattr(binary_module, "RUNNING", base)
    monkeypatch.setattr(binary_module.platform, "release", lambda: "6.1.0-1-amd64")
    assert open_module(kvm).btf.aggregate("kvm_mmu_page") is not None
    monkeypatch.setattr(binary_module.platform, "release", lambda: "6.1.0-2-amd64")
    assert "with --vmlinux" in refused(kvm)


def test_beside_another_kernel(kvm, tmp_path):
    other = Made()
    other.int("a name that is longer than any there", 4)
    (tmp_path / "other").write_bytes(other.data())
    assert f"does not fit that of {tmp_path / 'other'}" in refused(kvm, tmp_path / "other")


def test_without_a_version(tmp_path):
    made = module(tmp_path, source="int kvm_mmu_set_ept_masks(int a) { return a; }")
    with pytest.raises(ConformanceError, match=r"does not say which kernel it belongs to \(no vermagic\)"):
        assert open_module(made).series


def test_any_single_damaged_byte_is_read_or_refused(kvm, base):
    whole = kvm.read_bytes()
    for at in [*range(0, 64, 3), *range(len(whole) - 800, len(whole), 11)]:
        kvm.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            assert open_module(kvm, base).btf is not None
        except ConformanceError as problem:
            assert str(problem).startswith(str(kvm))


def test_a_run_refuses_a_module_before_it_builds_anything(kvm, base, tmp_path):
    (tmp_path / "plain").mkdir()
    plain = module(tmp_path / "plain")
    for given, types, said in (
        (kvm, None, "with --vmlinux"),
        (plain, base, "has no type information (no .BTF)"),
        (base, base, "is no kernel module"),
    ):
        with pytest.raises(ConformanceError) as refusal:
            of_module(PropertyPlan(module=given, vmlinux=types))
        assert said in str(refusal.value)
    assert of_module(PropertyPlan(module=kvm, vmlinux=base)).kernels == ("6.1",)


@pytest.mark.kernel
def test_a_module_of_another_kernel_than_is_named(kvm, base):
    with pytest.raises(ConformanceError, match=r"of Linux 6\.1\.0-1-amd64, and 7\.3 is .* of another kernel"):
        run(PropertyPlan(module=kvm, vmlinux=base, kernels=("7.3",)), progress=print)
