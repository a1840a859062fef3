# SPDX-License-Identifier: GPL-2.0-only
"""Hostile files: compressed zeros, ELF files and archives with false sizes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard
from packing import lz4

from conformance.errors import ConformanceError
from conformance.kernels import staging
from conformance.kernels.elf import Elf
from conformance.kernels.prepare import release_by, release_of
from conformance.kernels.reading import read_file
from conformance.kernels.staging import contents_of, unpack, wanted
from conformance.kernels.unpacking import unpacked
from conformance.kernels.vmlinuz import btf_of

ZEROS = bytes(3 << 20)

PACKERS = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor(write_content_size=False).compress,
    "lz4": lz4,
}


@pytest.mark.parametrize("name", PACKERS)
def test_what_grows_beyond_the_limit_is_not_unpacked(name):
    packed = PACKERS[name](ZEROS)
    assert len(packed) < 40_000
    assert unpacked(packed, "kvm.ko", most=len(ZEROS)) == ZEROS
    with pytest.raises(ConformanceError, match=r"^kvm\.ko is not unpacked: it becomes larger than 2 MiB"):
        unpacked(packed, "kvm.ko", most=2 << 20)


def test_a_dictionary_of_gigabytes():
    packed = bytearray(lzma.compress(b"x", lzma.FORMAT_ALONE))
    packed[1:5] = struct.pack("<I", 0xF0000000)
    with pytest.raises(ConformanceError, match="cannot be unpacked"):
        unpacked(bytes(packed), "kvm.ko")


@pytest.fixture
def elf(tmp_path: Path) -> bytearray:
    """An object file with a section .BTF."""
    subprocess.run(["gcc", "-c", "-x", "c", "/dev/null", "-o", tmp_path / "elf"], check=True)
    (tmp_path / "btf").write_bytes(b"types")
    section = f".BTF={tmp_path / 'btf'}"
    subprocess.run(["objcopy", "--add-section", section, tmp_path / "elf"], check=True)
    return bytearray((tmp_path / "elf").read_bytes())


def header(elf: bytearray, name: str) -> int:
    """The offset of a section's header."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    names = [one.name for one in Elf(bytes(elf), "elf").sections]
    return table + 64 * names.index(name)


@pytest.mark.parametrize(
    ("at", "form", "value", "told"),
    [
        (4, "<I", 8, "has no type information"),  # SHT_NOBITS.
        (8, "<Q", 0x800, r"the ELF file is damaged \(a section is compressed that never is\)"),
        (32, "<Q", 1 << 60, "is cut off"),
        (24, "<Q", 1 << 63, "is cut off"),
        (0, "<I", 1 << 30, r"the ELF file is damaged \(a name without end\)"),
    ],
)
def test_a_section_that_lies(tmp_path, elf, at, form, value, told):
    place = header(elf, ".BTF")
    if at == 4:
        struct.pack_into("<Q", elf, place + 32, 1 << 60)
    struct.pack_into(form, elf, place + at, value)
    (tmp_path / "vmlinux").write_bytes(elf)
    with pytest.raises(ConformanceError, match=rf"^{tmp_path}/vmlinux.*{told}"):
        btf_of(tmp_path / "vmlinux")


def test_of_a_kernel_with_gigabytes_of_other_sections_one_is_read(tmp_path, elf):
    place = tmp_path / "vmlinux"
    place.write_bytes(elf)
    with place.open("r+b") as file:
        file.truncate(4 << 30)
    assert btf_of(place) == b"types"


def test_a_file_without_end():
    with pytest.raises(ConformanceError, match="/dev/zero is not read: it is larger than 1 MiB"):
        read_file("/dev/zero", 1 << 20)
    with pytest.raises(ConformanceError, match="cannot be read"):
        read_file("a\0b", 1)


def archive(*members: tuple[str, bytes, int, bytes]) -> io.BytesIO:
    """A tar of members: name, type, the size that the header says, content."""
    made = io.BytesIO()
    for name, kind, size, content in members:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, size
        made.write(info.tobuf(tarfile.GNU_FORMAT) + content.ljust(-len(content) % 512 + len(content), b"\0"))
    made.write(bytes(1024))
    made.seek(0)
    return made


@pytest.fixture
def unpacking(monkeypatch, tmp_path):
    """Unpacks an archive as if dpkg-deb had printed it."""

    def go(tar: io.BytesIO) -> Path:
        class Given:
            stdout = tar

            def __init__(self, *words, **how) -> None:
                pass

        monkeypatch.setattr(staging.processes, "start", Given)
        monkeypatch.setattr(staging.processes, "kill", lambda process: None)
        with contents_of(Path("linux.deb")) as found:
            unpack(found, tmp_path / "tree", wanted)
        return tmp_path / "tree"

    return go


FILE = tarfile.REGTYPE


def test_an_archive(unpacking):
    assert (unpacking(archive(("linux/Makefile", FILE, 1, b"x"))) / "Makefile").read_text() == "x"


@pytest.mark.parametrize(
    "members",
    [
        [("linux/Makefile", FILE, 1 << 40, b"")],
        [("linux/Makefile", tarfile.GNUTYPE_LONGNAME, 1 << 40, b"")],
        [("linux/x", FILE, 1, b"x"), ("linux/y", tarfile.XHDTYPE, 1 << 40, b"")],
        [("linux/Kconfig", FILE, 1, b"x"), ("linux/Kconfig/Kconfig", FILE, 1, b"x")],
    ],
)
def test_an_archive_that_lies(unpacking, members):
    with pytest.raises(ConformanceError, match=r"^The package linux\.deb cannot be unpacked: "):
        unpacking(archive(*members))


def test_an_absolute_path_in_an_archive(unpacking, tmp_path):
    unpacking(archive((f"linux/{tmp_path}/Kconfig", FILE, 1, b"x")))
    assert not (tmp_path / "Kconfig").exists()


@pytest.mark.parametrize(
    "makefile",
    [
        "VERSION = ²\nPATCHLEVEL = 1\n",
        "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = x\n",
        f"VERSION = {'9' * 3000}\nPATCHLEVEL = 1\n",
        "",
    ],
)
def test_a_makefile_that_says_no_version(makefile):
    with pytest.raises(ConformanceError, match="its Makefile gives no VERSION and PATCHLEVEL"):
        release_by(makefile, True, "tree:x")


def test_a_makefile_without_end(tmp_path):
    (tmp_path / "Makefile").symlink_to("/dev/zero")
    with pytest.raises(ConformanceError, match="this is no kernel tree"):
        release_of(tmp_path, "tree:x")
