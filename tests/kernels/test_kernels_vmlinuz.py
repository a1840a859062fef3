# SPDX-License-Identifier: GPL-2.0-only
"""Kernel images: every compression, truncated ones, and other files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import subprocess
from pathlib import Path

import pytest
import zstandard
from packing import lz4

from conformance.errors import ConformanceError
from conformance.kernels.unpacking import unpacked
from conformance.kernels.vmlinuz import btf_of, vmlinux_of

INSIDE = b"\x7fELF" + bytes(range(256)) * 40

PACKERS = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data) + b"\x04\x28\x00\x00",
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4,
    "nothing": lambda data: data,
}


def image(payload: bytes, length: int | None = None) -> bytes:
    """A bzImage with two sectors of setup, and data before its payload."""
    data = bytearray(3 * 512 + 16)
    data[0x1F1] = 2
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x206, 0x20F)
    struct.pack_into("<II", data, 0x248, 16, len(payload) if length is None else length)
    return bytes(data) + payload


@pytest.mark.parametrize("name", PACKERS)
def test_the_elf_in_an_image(name):
    assert vmlinux_of(image(PACKERS[name](INSIDE)), "vmlinuz") == INSIDE


def test_vmlinux_itself_and_a_packed_one():
    assert vmlinux_of(INSIDE, "vmlinux") == INSIDE
    assert vmlinux_of(gzip.compress(INSIDE), "vmlinux.gz") == INSIDE


@pytest.mark.parametrize("name", ["gzip", "xz", "bzip2", "zstd", "lz4"])
def test_packed_data_that_is_cut_off(name):
    with pytest.raises(ConformanceError, match=r"^kvm\.ko cannot be unpacked: it is cut off or damaged"):
        unpacked(PACKERS[name](INSIDE)[:-60], "kvm.ko")


@pytest.mark.parametrize(
    "data, complaint",
    [
        (b"", "is no kernel image"),
        (b"text", "is no kernel image"),
        (bytes(2000), "is no kernel image"),
        (image(b"")[:0x240], "is no kernel image"),
        (image(b""), "is cut off"),
        (image(b"", 5000), "is cut off"),
        (image(b"\x89LZO" + bytes(20)), r"packed in a way that is not known \(it begins with 89 4c 5a 4f\)"),
    ],
)
def test_no_kernel_image(data, complaint):
    with pytest.raises(ConformanceError, match=f"^vmlinuz.*{complaint}"):
        vmlinux_of(data, "vmlinuz")


def test_types_alone_are_taken_as_they_are(tmp_path: Path):
    (tmp_path / "btf").write_bytes(b"\x9f\xeb\x01")
    assert btf_of(tmp_path / "btf") == b"\x9f\xeb\x01"


def test_the_types_of_an_elf(tmp_path: Path):
    subprocess.run(["gcc", "-c", "-x", "c", "/dev/null", "-o", tmp_path / "vmlinux"], check=True)
    with pytest.raises(ConformanceError, match=r"has no type information \(BTF\).*CONFIG_DEBUG_INFO_BTF"):
        btf_of(tmp_path / "vmlinux")
    (tmp_path / "btf").write_bytes(b"types")
    section = f".BTF={tmp_path / 'btf'}"
    subprocess.run(["objcopy", "--add-section", section, tmp_path / "vmlinux"], check=True)
    assert btf_of(tmp_path / "vmlinux") == b"types"


def test_an_elf_that_is_damaged(tmp_path: Path):
    (tmp_path / "vmlinux").write_bytes(INSIDE)
    with pytest.raises(ConformanceError, match="the ELF file is damaged"):
        btf_of(tmp_path / "vmlinux")
    with pytest.raises(ConformanceError, match="cannot be read: No such file"):
        btf_of(tmp_path / "nothing")
