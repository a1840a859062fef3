# SPDX-License-Identifier: GPL-2.0-only
"""The machine in Bochs: what it boots from, its configuration, its memory; without a kernel."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest

from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.kernels.bootable import Bootable
from conformance.oracles.lacking import Lacking
from conformance.oracles.live import bochs
from conformance.oracles.live.agent import without_signature
from conformance.oracles.live.bochs import Bochs, configuration
from conformance.oracles.live.firmware import SECTOR, boot_medium, build_firmware
from conformance.oracles.live.pvh import pvh_kernel, start_info
from conformance.oracles.live.symbols import place_in_module, root_table

MEMORY = 1 << 30
TEXT = b"\xf4" * 1000


def vmlinux(*, address=0x1000000, entry=0x1000010, size=None, name=b"Xen\0", kind=18) -> bytes:
    """An ELF file with a segment and a PVH note."""
    note = struct.pack("<III", 4, 4, kind) + name + struct.pack("<I", entry)
    head = bytearray(64)
    head[:6] = b"\x7fELF\2\1"
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, 2)
    at = 64 + 2 * 56
    segments = struct.pack("<IIQQQQQQ", 1, 5, at, 0, address, size or len(TEXT), 5000, 4096)
    segments += struct.pack("<IIQQQQQQ", 4, 4, at + len(TEXT), 0, 0, len(note), len(note), 4)
    return bytes(head) + segments + TEXT + note


def test_a_kernel_is_what_its_segments_and_its_note_say():
    kernel = pvh_kernel(vmlinux(), "vmlinux", MEMORY)
    assert (kernel.loads, kernel.entry, kernel.end) == (((0x1000000, TEXT),), 0x1000010, 0x1000000 + 5000)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x7fELF", "it is damaged"),
        (vmlinux(size=1 << 40), "it is damaged"),
        (vmlinux()[:150], "it is damaged"),
        (vmlinux(name=b"GNU\0"), "it has no PVH entry"),
        (vmlinux(kind=17), "CONFIG_PVH"),
        (vmlinux(address=0x1000), "its segments are not between"),
        (vmlinux(address=MEMORY - 4096), "the end of the machine's memory"),
    ],
)
def test_what_is_no_kernel_is_refused(data, why):
    with pytest.raises(ConformanceError, match=f"vmlinux cannot be booted: .*{why}"):
        pvh_kernel(data, "vmlinux", MEMORY)


def test_the_rom_names_what_lies_on_the_disk(tmp_path):
    (tmp_path / "vmlinux").write_bytes(vmlinux())
    initrd = b"initrd" * 1000
    rom, disk = boot_medium(b"CODE" * 1024, tmp_path / "vmlinux", initrd, "console=ttyS0", MEMORY)
    whole = b"".join(disk)
    assert len(rom) == 1 << 16
    assert rom.endswith(b"CODE")
    assert len(whole) % (16 * 63 * SECTOR) == 0
    loads = [*struct.iter_unpack("<II", rom[:24])]
    assert loads[:2] == [(2, 0x1000000), (12, 0x10000000)]
    count, place = loads[2]
    assert struct.unpack_from("<III", rom, 24) == (0, 0x1000010, place)
    assert whole.startswith(TEXT)
    assert whole[2 * SECTOR :].startswith(initrd)
    info = whole[14 * SECTOR :][: count * SECTOR]
    (magic, *_, modules, options, _, areas, n, _) = struct.unpack_from("<IIIIQQQQII", info)
    assert (magic, n) == (0x336EC578, 2)
    assert struct.unpack_from("<QQ", info, modules - place) == (0x10000000, len(initrd))
    assert info[options - place :].startswith(b"console=ttyS0\0")
    assert struct.unpack_from("<QQ", info, areas - place + 24) == (1 << 20, MEMORY - (1 << 20))


def test_an_initrd_that_does_not_fit_is_refused(tmp_path):
    (tmp_path / "vmlinux").write_bytes(vmlinux())
    with pytest.raises(ConformanceError, match="the initrd does not fit into the memory"):
        boot_medium(b"", tmp_path / "vmlinux", b"x" * 4096, "", 0x10000000)


def test_the_start_info_fits_into_what_is_reserved():
    assert len(start_info(0x10000, (0, 0), MEMORY, "x" * 2048)) < 0x10000


def test_the_firmware_starts_at_the_reset_vector():
    code = build_firmware(Cache())
    assert len(code) == 4096
    jump, offset = struct.unpack_from("<Bh", code, 4096 - 16)
    # A jump to the start of the code, where interrupts are disabled first.
    assert (jump, 4096 - 16 + 3 + offset, code[0]) == (0xE9, 0, 0xFA)


def test_the_configuration_names_inherited_files():
    names = ("console", "rom", "display", "disk", "log", "requests", "answers")
    text = configuration({name: 100 + n for n, name in enumerate(names)}, 1 << 30)
    assert "memory: guest=1024," in text
    assert "com1: enabled=1, mode=file, dev=/proc/self/fd/100\n" in text
    assert "com2: enabled=1, mode=term, dev=/proc/self/fd/105\n" in text
    assert "parport1: enabled=1, file=/proc/self/fd/106\n" in text
    assert "{" not in text


def test_modules_lose_their_signature_only():
    signed = b"module" + b"s" * 300 + bytes(8) + struct.pack(">I", 300) + b"~Module signature appended~\n"
    assert without_signature(signed) == b"module"
    assert without_signature(b"module") == b"module"


def test_a_variable_of_a_module_is_found(tmp_path):
    (tmp_path / "m.c").write_text("int other = 1;\nint vm_list = 2;\nint unknown(void);\n")
    subprocess.run(["gcc", "-c", "m.c", "-o", "m.ko"], cwd=tmp_path, check=True)
    assert place_in_module(tmp_path / "m.ko", "vm_list") == (".data", 4)
    with pytest.raises(ConformanceError, match=r"m\.ko has no symbol vm_lists, so that"):
        place_in_module(tmp_path / "m.ko", "vm_lists")


def test_the_root_table_is_named_by_the_note():
    note = b"\0\1OSRELEASE=6.12\nSYMBOL(init_top_pgt)=ffffffff82c22000\nNUMBER(phys_base)=0\n\0"
    assert root_table(note, "6.12") == 0xFFFFFFFF82C22000
    with pytest.raises(ConformanceError, match=r"6\.12: its note for crash dumps does not name"):
        root_table(b"\0" * 100, "6.12")


class Asked(Bochs):
    """A machine whose agent answers at once; the content of a page is its number and that of the request."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._disk = self._made = 0
        self._pages = bochs._Pages(self)

    def fetch(self, frames):
        self.asked.append(" ".join(f"{frame:x}" for frame in frames))
        made = len(self.asked)
        return {n: None if n == 0x99 else struct.pack("<QQ", n, made).ljust(4096, b".") for n in frames}


def test_pages_are_fetched_once_a_request_and_lately_read_ones_together():
    machine = Asked()
    assert machine.read(0x1000, 8) == struct.pack("<Q", 1)
    assert machine.read(0x1FF8, 16) == b"." * 8 + struct.pack("<Q", 2)
    assert machine.read(0x1000, 16) == struct.pack("<QQ", 1, 1)
    assert machine.asked == ["1", "2"]
    machine._pages.forget()
    assert machine.read(0x2000, 16) == struct.pack("<QQ", 2, 3)
    assert machine.read(0x1000, 16) == struct.pack("<QQ", 1, 3)
    assert machine.asked == ["1", "2", "2 1"]
    for _ in range(20):
        machine._pages.forget()
    machine.read(0x3000, 1)
    assert machine.asked[-1] == "3"
    with pytest.raises(ValueError, match="0x99000 is no memory"):
        machine.read(0x99000, 1)


def test_a_missing_bochs_is_a_plain_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConformanceError, match=r"bochs is not installed.*apt-get install bochs"):
        Bochs(Bootable("k", tmp_path / "v", None, tmp_path, ()), tmp_path)


@pytest.mark.skipif(shutil.which("bochs") is None, reason="Bochs is not installed")
def test_a_bochs_that_does_not_start_is_no_finding(monkeypatch, tmp_path):
    (tmp_path / "vmlinux").write_bytes(vmlinux())
    (tmp_path / "initrd").write_bytes(b"x")
    monkeypatch.setattr(bochs, "PROCESSOR", "no_such_processor")
    with pytest.raises(Lacking, match="bochs could not be started"):
        Bochs(Bootable("k", tmp_path / "vmlinux", None, tmp_path, ()), tmp_path / "initrd")
