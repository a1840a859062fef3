# SPDX-License-Identifier: GPL-2.0-only
"""Linking tiny modules made here: relocations, symbols both ways, complaints, what nobody defines."""

from __future__ import annotations

import struct
import subprocess

import pytest

from conformance.errors import ConformanceError
from conformance.kernels.elf import Elf
from conformance.oracles.binary.linking import BASE, NOWHERE, BugEntry, link
from conformance.oracles.binary.objects import read_object

MODULE = """
    typedef unsigned long u64;
    extern u64 answered(u64), nobody(void);
    static u64 hidden(u64 x) { return x + 1; }
    u64 twice(u64 x) { return 2 * x; }
    u64 doubled_by_ours(u64 x) { return x; }
    u64 value = 7, *pointer = &value;
    u64 __attribute__((section(".data.once"))) once = 1;
    u64 complain(u64 x)
    {
        if (x) {
            __asm__ volatile("1: ud2\\n"
                ".pushsection __bug_table, \\"aw\\"\\n"
                ".long 1b - ., %c0 - .\\n.word 42, 1\\n.popsection" : : "i"("kvm/file.c"));
        }
        once += *pointer;
        return answered(hidden(x));
    }
    u64 lost(void) { return nobody(); }
    u64 (*const keep[])(u64) = { hidden, twice, doubled_by_ours, complain };
"""

OURS = """
    typedef unsigned long u64;
    struct entry { const char *name; unsigned int in, out; void (*run)(const u64 *, u64 *, u64); };
    extern u64 hidden(u64), complain(u64), lost(void);
    u64 answered(u64 x) { return x ^ 1; }
    u64 doubled_by_ours(u64 x) { return x + x; }
    static void run(const u64 *in, u64 *out, u64 n) { out[0] = complain(hidden(in[0])) + lost(); }
    static const struct entry one = { "one", 1, 1, run };
    static const struct entry *const listed __attribute__((used, section("shim_entries"))) = &one;
"""


def compiled(tmp_path, name, source, *flags):
    (tmp_path / f"{name}.c").write_text(source)
    common = ["-O1", "-fno-pic", "-mcmodel=small", "-fno-inline", "-fno-ipa-ra", "-fcf-protection=none"]
    command = ["gcc", *common, *flags, "-c", f"{name}.c", "-o", f"{name}.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    return read_object((tmp_path / f"{name}.o").read_bytes(), name)


@pytest.fixture
def image(tmp_path):
    module, ours = compiled(tmp_path, "module", MODULE), compiled(tmp_path, "ours", OURS)
    return link(module, [ours], lambda file, line, symbol: f"{symbol}@{file}:{line}")


def content(image, address, size):
    for segment in image.segments:
        if segment.address <= address < segment.address + len(segment.content):
            at = address - segment.address
            return segment.content[at : at + size]
    raise AssertionError(f"nothing at {address:#x}")


def test_pointers_and_calls_lead_where_they_should(image):
    (target,) = struct.unpack("<Q", content(image, image.symbols["pointer"].address, 8))
    assert target == image.symbols["value"].address
    assert all(BASE <= segment.address < NOWHERE for segment in image.segments)
    assert not any(segment.writable and segment.executable for segment in image.segments)


def test_a_function_of_ours_takes_the_place_of_the_modules(tmp_path, image):
    module, ours = (read_object((tmp_path / f"{n}.o").read_bytes(), n) for n in ("module", "ours"))
    (own,) = ours.named("doubled_by_ours")
    (theirs,) = module.named("doubled_by_ours")
    places = {segment.address: segment for segment in image.segments}
    jumps = [
        segment.address + at + 5 + struct.unpack_from("<i", segment.content, at + 1)[0]
        for segment in places.values()
        for at in range(len(segment.content) - 5)
        if segment.content[at] == 0xE9
    ]
    assert own.size and theirs.size
    assert image.symbols["doubled_by_ours"].address in jumps


def test_entries_sites_and_what_is_fresh(image):
    assert (image.entries["one"].nr_in, image.entries["one"].nr_out) == (1, 1)
    ((address, site),) = image.sites.items()
    assert content(image, address, 2) == b"\x0f\x0b"
    assert (site.kind, site.file, site.line) == ("WARN", "kvm/file.c", 42)
    assert site.function == "complain@kvm/file.c:42"
    assert image.fresh == ((image.symbols["once"].address, 8),)


def test_what_nobody_defines_lies_nowhere(image):
    assert image.symbols["nobody"].address >= NOWHERE


def test_names_that_are_not_there_or_not_unique_are_refused(tmp_path):
    module = compiled(tmp_path, "module", MODULE)
    ours = compiled(tmp_path, "ours", "extern int absent(void); int call(void) { return absent(); }")
    with pytest.raises(ConformanceError, match="module: it has no absent"):
        link(module, [ours], lambda *site: "")


def test_relocations_that_are_not_known_are_refused(tmp_path):
    module = compiled(tmp_path, "module", MODULE)
    code = "extern __thread int own; int get(void) { return own; }"
    with pytest.raises(ConformanceError, match=r"ours: relocation type \d+ in \.text is not known"):
        link(module, [compiled(tmp_path, "ours", code)], lambda *site: "")


@pytest.mark.parametrize("keep", [0, 40, 300, 1000])
def test_files_that_are_cut_off_are_told(tmp_path, keep):
    compiled(tmp_path, "module", MODULE)
    with pytest.raises(ConformanceError, match=r"^cut\b"):
        read_object((tmp_path / "module.o").read_bytes()[:keep], "cut")


def test_stripped_modules_are_told(tmp_path):
    compiled(tmp_path, "module", MODULE)
    subprocess.run(["strip", "-s", "module.o"], cwd=tmp_path, check=True)
    with pytest.raises(ConformanceError, match="stripped"):
        read_object((tmp_path / "module.o").read_bytes(), "module")


def changed(tmp_path, section: str, at: int, form: str, value: int) -> bytes:
    """The object of MODULE with a number in the header of a section changed."""
    compiled(tmp_path, "module", MODULE)
    data = bytearray((tmp_path / "module.o").read_bytes())
    (table,) = struct.unpack_from("<Q", data, 40)
    names = [one.name for one in Elf(bytes(data), "module").sections]
    struct.pack_into(form, data, table + 64 * names.index(section) + at, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("section", "at", "form", "value", "told"),
    [
        (".bss", 32, "<Q", 1 << 40, r"its sections take 1,099,511,\d\d\d,\d\d\d bytes of memory"),
        (".data", 48, "<Q", 1 << 62, "section .data is aligned to"),
        (".data", 48, "<Q", 3, "section .data is aligned to"),
        (".symtab", 40, "<I", 60_000, "its symbols have no names"),
        (".rela.text", 44, "<I", 3, "a relocation of .data beyond its end"),
        (".strtab", 4, "<I", 8, "a name without end"),
    ],
)
def test_sections_that_lie(tmp_path, section, at, form, value, told):
    source = changed(tmp_path, section, at, form, value)
    with pytest.raises(ConformanceError, match=rf"^module\b.*{told}"):
        read_object(source, "module")


@pytest.mark.parametrize("at, value", [(0, 1 << 40), (12, 1 << 20)])
def test_relocations_beyond_sections_and_symbols(tmp_path, at, value):
    compiled(tmp_path, "module", MODULE)
    data = bytearray((tmp_path / "module.o").read_bytes())
    place = Elf(bytes(data), "module").section(".rela.text").offset + at
    struct.pack_into("<Q" if at == 0 else "<I", data, place, value)
    with pytest.raises(ConformanceError, match=r"a relocation of \.text beyond its end"):
        read_object(bytes(data), "module")


def table_of(tmp_path, old: str, new: str):
    return compiled(tmp_path, "module", MODULE.replace(old, new)), compiled(tmp_path, "ours", OURS)


@pytest.mark.parametrize(
    "old, new, told",
    [
        (".long 1b - ., %c0 - .", ".long 1b - ., 0x70000000", "names a file beyond its memory"),
        (".long 1b - ., %c0 - .", ".long 1b - ., -0x70000000", "names a file beyond its memory"),
        (".word 42, 1", ".word 42, 1\\n.zero 12*70000", "it complains in 70,001 places"),
    ],
)
def test_a_table_of_complaints_that_lies(tmp_path, old, new, told):
    module, ours = table_of(tmp_path, old, new)
    with pytest.raises(ConformanceError, match=rf"^module is damaged: .*{told}"):
        link(module, [ours], lambda *site: "")


@pytest.mark.parametrize("entry", [BugEntry(size=0), BugEntry(size=1 << 20), BugEntry(line=12)])
def test_a_bug_entry_that_there_is_not(image, tmp_path, entry):
    module, ours = table_of(tmp_path, "", "")
    with pytest.raises(ConformanceError, match="struct bug_entry of its kernel's types"):
        link(module, [ours], lambda *site: "", entry)
