# SPDX-License-Identifier: GPL-2.0-only
"""The kinds of untrusted files: samples, words that are significant in them, and readers.

A reader does everything that the suite does with a file, except building and running a kernel.
"""

from __future__ import annotations

import base64
import gzip
import lzma
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from btf_made import Made
from btf_made import module as compiled_module
from mail_samples import DIFF, TEXT, mail

from conformance.coverage import goldens as coverage
from conformance.differential import fingerprints
from conformance.errors import ConformanceError
from conformance.kernels.mails import read_mails
from conformance.kernels.vmlinuz import btf_of
from conformance.layout.looking import _theirs
from conformance.model.machine import KernelBug
from conformance.model.machine import Machine as ModelMachine
from conformance.model.modes import VM_MODES
from conformance.model.profiles import profile_of
from conformance.oracles.binary import entry_declarations as entries
from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.declarations import declare
from conformance.oracles.binary.linking import BugEntry, link
from conformance.oracles.binary.module import open_module
from conformance.oracles.binary.objects import read_object
from conformance.paths import GOLDEN
from conformance.races import race_file
from conformance.races.goldens import golden_files
from conformance.races.run_races import change_named
from conformance.review.series import read_series
from conformance.scenarios import goldens, saved
from conformance.scenarios.stories import STORIES
from conformance.traces.sptes import numbers, search

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True)
class Kind:
    """``prepare`` writes samples into a directory; ``read`` reads a file, given that directory."""

    prepare: Callable[[Path], None]
    read: Callable[[Path, Path], Any]
    words: Sequence[bytes]


def _store(place: Path, samples: Sequence[bytes | str]) -> None:
    for number, sample in enumerate(samples):
        (place / f"sample{number:03}").write_bytes(sample.encode() if isinstance(sample, str) else sample)


# Mails


def _prepare_mails(place: Path) -> None:
    encoded = base64.encodebytes(DIFF.encode())
    attached = (
        b"--b\nContent-Type: text/plain\n\nNo functional change intended.\n--b\n"
        b"Content-Type: text/x-patch; charset=utf-8; name*=utf-8''a.patch\n"
        b"Content-Transfer-Encoding: base64\n\n" + encoded + b"--b--\n"
    )
    box = b"".join(
        b"From 0123 Mon Sep 17 00:00:00 2001\n" + mail(Subject=f"[PATCH v2 {n}/2] KVM: part {n}") + b"\n"
        for n in range(3)
    )
    inner = "From: K <k@invalid>\nDate: Tue, 2 Jan 2024 03:04:05\nSubject: [PATCH] inner\n\nInner.\n---\n\n"
    bare = DIFF.split("\n", 1)[1].replace("a/arch", "linux.orig/arch\t2024-01-02 03:04:05")
    renamed = (
        "diff --git a/virt/a b/virt/b\nsimilarity index 90%\nrename from virt/a\nrename to virt/b\n"
        "index 0123456..89abcde 100644\n--- a/virt/a\n+++ b/virt/b\n@@ -1 +1 @@\n-a\n+b\n"
        "diff --git a/virt/c b/virt/c\nnew file mode 100644\n--- /dev/null\n+++ b/virt/c\n@@ -0,0 +1 @@\n+c\n"
    )
    within = mail(mail(), Content_Type="message/rfc822")
    _store(
        place,
        [
            mail(),
            mail(f"> Quoted.\n\n-- >8 --\n{inner}{DIFF}", Subject="Re: [PATCH 1/2] x"),
            mail(
                attached, Content_Type="multipart/mixed; boundary=b", Subject="=?utf-8?q?=5BPATCH_1/2=5D_x?="
            ),
            mail(encoded, Content_Type="text/plain; charset=latin-1", Content_Transfer_Encoding="base64"),
            mail(TEXT.replace("=", "=3D"), Content_Transfer_Encoding="quoted-printable"),
            box,
            DIFF,
            bare,
            renamed,
            within,
            DIFF.encode("utf-16"),
        ],
    )


def _read_mail(path: Path, place: Path) -> None:
    for one in read_mails(path.read_bytes()):
        one.subject.encode()
    for part in read_series([str(path)]).parts:
        part.title.encode()
        assert part.paths is not None and part.may_concern is not None
        for file in part.touched or ():
            file.text()


_MAIL_WORDS = (
    b"From ", b"Subject: ", b"Content-Type: ", b"Content-Transfer-Encoding: ", b"[PATCH 1/2]", b"Re: ",
    b"multipart/mixed; boundary=b", b"message/rfc822", b"--b\n", b"--b--\n", b"charset=", b"base64",
    b"\n---\n", b"=?utf-8?q?a?=", b"=?utf-7?b?KzJBQS0=?=", b"diff --git a/x b/x\n", b"@@ -1,2 +1,2 @@\n",
    b"GIT binary patch\n", b"new file mode 120000\n", b"rename from a\n", b"/dev/null", b"a/../../x",
    b"No functional change", b"quoted-printable", b"utf-16", b"punycode", b"unicode_escape", b"utf-7",
    b"\"", b"boundary*0=", b"-- >8 --\n", b"Content-Type: multipart/digest;",
)  # fmt: skip


# Modules

_LINKED = """
    typedef unsigned long u64;
    extern u64 answered(u64), absent(void);
    static u64 hidden(u64 x) { return x + 1; }
    u64 replaced(u64 x) { return x; }
    struct kvm_mmu_page { u64 gfn; u64 *spt; union { struct { u64 level:4, bad:1; }; u64 word; } role; } sp;
    u64 kvm_mmu_set_ept_masks(u64 x) { return 2 * x; }
    u64 value = 7, *pointer = &value, big[64];
    u64 __attribute__((section(".data.once"))) once = 1;
    u64 complain(u64 x)
    {
        if (x)
            __asm__ volatile("1: ud2\\n.pushsection __bug_table, \\"aw\\"\\n"
                ".long 1b - ., %c0 - .\\n.word 42, 1\\n.popsection" : : "i"("kvm/file.c"));
        once += *pointer;
        return answered(hidden(x)) + absent() + sp.gfn + big[x];
    }
    u64 (*const keep[])(u64) = { hidden, replaced, kvm_mmu_set_ept_masks, complain };
    const char info[] __attribute__((section(".modinfo"))) = "vermagic=6.1.0-1-amd64 SMP\\0license=GPL";
"""
_OURS = """
    typedef unsigned long u64;
    struct entry { const char *name; unsigned int in, out; void (*run)(const u64 *, u64 *, u64); };
    extern u64 hidden(u64), complain(u64);
    u64 answered(u64 x) { return x ^ 1; }
    u64 replaced(u64 x) { return x + x; }
    static void run(const u64 *in, u64 *out, u64 n) { out[0] = complain(hidden(in[0])); }
    static const struct entry one = { "one", 1, 1, run };
    static const struct entry *const listed __attribute__((used, section("shim_entries"))) = &one;
"""
_FLAGS = ("-c", "-O1", "-mcmodel=small", "-fno-inline", "-fno-ipa-ra", "-fcf-protection=none")


def _types() -> tuple[Made, Made]:
    """The types of a kernel and its module."""
    base = Made()
    word, byte = base.int("long long unsigned int", 8), base.int("unsigned char", 1)
    boolean, number = base.int("_Bool", 1), base.int("int", 4, signed=True)
    gfn = base.to("typedef", word, "gfn_t")
    for name in ("kvm_pfn_t", "hpa_t", "tdp_ptep_t"):
        base.to("typedef", word, name)
    base.enum("e820_type", {"E820_TYPE_RAM": 1, "E820_TYPE_RESERVED": 2})
    base.enum64("wide", {"WIDE": 1 << 40})
    inner = base.whole("struct", "", 16, [("rsvd_bits_mask", base.array(word, 2), 0)])
    made = Made(base)
    bits = [("level", number, 0, 4), ("bad", number, 4, 1)]
    role = made.whole("union", "kvm_mmu_page_role", 4, bits, bitfields=True)
    spt = ("spt", made.to("pointer", word), 256)
    sp = made.whole(
        "struct", "kvm_mmu_page", 40, [("gfn", gfn, 0), ("role", role, 64), ("", inner, 128), spt]
    )
    pointer, anything = made.to("pointer", sp), made.to("pointer", made.to("const", 0))
    kvm = made.whole("struct", "kvm", 16, [("vm_bugged", boolean, 0), ("next", anything, 64)])
    given = [("vcpu", made.to("pointer", kvm)), ("sp", pointer), ("level", number)]
    made.function("make_spte", boolean, given)
    made.function("kvm_mmu_set_ept_masks", 0, [("has_ad_bits", boolean), ("has_exec_only", byte)])
    made.function("tdp_iter_start", 0, [("iter", pointer), ("", 0)])
    made.add("forward", "rcu_head")
    made.to("typedef", made.add("prototype", "", word, [(0, 0)]), "callback")
    return base, made


def _prepare_modules(place: Path) -> None:
    base, made = _types()
    (place / "base").write_bytes(base.data())
    (place / "ours.c").write_text(_OURS)
    subprocess.run(["gcc", "-fno-pic", *_FLAGS, "-o", place / "ours.o", place / "ours.c"], check=True)
    whole = compiled_module(place, made.data(), _LINKED, _FLAGS).read_bytes()
    samples = [whole, whole, compiled_module(place, None, _LINKED, (*_FLAGS, "-g")).read_bytes()]
    samples += [lzma.compress(whole), gzip.compress(whole), zstandard.ZstdCompressor().compress(whole)]
    _store(place, samples)


def _read_module(path: Path, place: Path) -> None:
    found = open_module(path, place / "base")
    assert found.compiler is not None and found.facts is not None and found.numbers is not False
    with suppress(ConformanceError):
        assert found.series
    with suppress(ConformanceError):
        _theirs(found)
    ours = read_object((place / "ours.o").read_bytes(), "ours")
    link(found.object, [ours], lambda file, line, symbol: f"{symbol}@{file}:{line}", BugEntry())
    if found.has_btf:
        entries.entry_declarations(found.object, found.btf)


# Types


def _prepare_types(place: Path) -> None:
    base, made = _types()
    (place / "base").write_bytes(base.data())
    _store(place, [base.data(), made.data(), made.data()])


def _read_types(path: Path, place: Path) -> None:
    try:
        _ask_types(Btf(btf_of(path), "btf"))
        return
    except ConformanceError:
        pass  # It may be a module's BTF, which continues that of its kernel.
    _ask_types(Btf(path.read_bytes(), "btf", Btf((place / "base").read_bytes(), "base")))


def _ask_types(btf: Btf) -> None:
    for number in range(min(len(btf), 3000)):
        with suppress(ConformanceError):
            kind = btf.type(number).kind
            btf.size(number)
            if kind in ("struct", "union"):
                sum(member.bits for member in btf.named_members(number))
            elif kind in ("enum", "enum64"):
                btf.values(number)
            elif kind in ("function", "prototype"):
                btf.prototype(number)
    functions = ("make_spte", "kvm_mmu_set_ept_masks", "tdp_iter_start")
    declare(
        btf,
        entries._FIELDS,
        typedefs=entries._TYPEDEFS,
        enums=("e820_type",),
        functions=functions,
    )
    entries.features(btf, set())


# Races, stories, golden files, text with SPTEs


def _prepare_races(place: Path) -> None:
    _store(place, [path.read_bytes() for path in golden_files()[:12]])


def _read_race(path: Path, place: Path) -> None:
    found = race_file.read(path)
    assert found.lines()
    for word in found.without.split():
        change_named(word)


def _prepare_stories(place: Path) -> None:
    for number, story in enumerate([*STORIES.values()][::4]):
        saved.write(place / f"sample{number:03}", story.script, story.modes[0], "a sample")


_PROFILE = profile_of((6, 12, 0))


def _read_story(path: Path, place: Path) -> None:
    scenario = saved.read(str(path))
    script = scenario.script
    machine = ModelMachine(_PROFILE, VM_MODES[scenario.modes[0]], **script.options)
    with suppress(ValueError, KernelBug):  # As in judge(): the story is invalid, or ends the kernel.
        for step in script.steps:
            machine.step(step.kind, **step.arguments)


def _prepare_goldens(place: Path) -> None:
    (place / "golden/6.1").mkdir(parents=True)
    paths = [
        *sorted((GOLDEN / "6.1").glob("*.ept-ad.txt"))[:8],
        GOLDEN / "6.1/semantics.txt",
        GOLDEN / "7.3/semantics.txt",
        GOLDEN / "6.1/coverage.txt",
    ]
    _store(place, [path.read_bytes() for path in paths])


def _read_golden(path: Path, place: Path) -> None:
    goldens.GOLDEN = fingerprints.GOLDEN = coverage.GOLDEN = place / "golden"  # type: ignore[misc]
    text = path.read_bytes()
    name = re.search(rb"^scenario +(\w{1,60})", text, re.MULTILINE)
    golden = goldens.Golden(name[1].decode() if name else "x", "6.1", "ept-ad", "6.1.192-2", ("a", "b"))
    for file, blessed in (("semantics", fingerprints.blessed), ("coverage", coverage.blessed)):
        shutil.copy(path, place / f"golden/6.1/{file}.txt")
        try:
            blessed("6.1")
            return
        except ConformanceError:
            pass  # It may be one of another kind.
    shutil.copy(path, golden.path)
    goldens.difference(golden)
    golden.drift()
    golden.path.unlink(missing_ok=True)


_LOG = """[  12.345678] kvm: new_spte 0x600000200100b77 level 2 gfn 0x102 sptep ffff888100000810
 kvm_mmu_set_spte: gfn 102 spte 600000200100b77 (rwxu) level 1 at 10240
fast_page_fault: vcpu 0 gva 1000 error_code W sptep 000000001234 old 0x1 new 0x2 spurious 0 fixed 1
spte[3]=0x1 spte[2] = 0x2 -> 0x3, 0x4 shadow PTE: 0x5 SPTE is not MMU-writable: 600000200100b77
"""


def _prepare_logs(place: Path) -> None:
    _store(place, [_LOG, "0x0600000000000975\n600000000000975 level 2\n"])


def _read_log(path: Path, place: Path) -> None:
    for text in path.read_bytes().decode("utf-8", "replace").splitlines():
        for decimal in (False, True):
            with suppress(ConformanceError):
                assert numbers(text, decimal=decimal, strict=False) is not None
            with suppress(ConformanceError):
                assert search(text, decimal=decimal) is not None


_MODULE_WORDS = (b".BTF\0", b".symtab", b"\x7fELF", struct.pack("<I", 8), b"\x9f\xeb\1", b"kvm")
_TYPE_WORDS = (b"\x9f\xeb\1", b"kvm\0", struct.pack("<I", 4 << 24 | 2), b"\0\0\0\4")
_RACE_WORDS = (b"schedule\n", b"race ", b"  vcpu0 until x #2\n", b" to its end\n", b"without ", b"until")
_STORY_WORDS = (
    b"mode ept-ad\n", b"option pml=1\n", b"npages=0x1000000", b"level=1G", b"flags=log",
    b"access vcpu=0 gfn=0 kind=write\n",
)  # fmt: skip
_GOLDEN_WORDS = (b"package ", b"schema", b"series", b"died-at-1", b"#")
_LOG_WORDS = (b"spte=", b"0x", b"->", b"level ", b"gfn ", b"sptep ", b"old ", b"_")

KINDS: Mapping[str, Kind] = {
    "mails": Kind(_prepare_mails, _read_mail, _MAIL_WORDS),
    "modules": Kind(_prepare_modules, _read_module, _MODULE_WORDS),
    "types": Kind(_prepare_types, _read_types, _TYPE_WORDS),
    "races": Kind(_prepare_races, _read_race, _RACE_WORDS),
    "stories": Kind(_prepare_stories, _read_story, _STORY_WORDS),
    "goldens": Kind(_prepare_goldens, _read_golden, _GOLDEN_WORDS),
    "logs": Kind(_prepare_logs, _read_log, _LOG_WORDS),
}
