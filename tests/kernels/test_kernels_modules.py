# SPDX-License-Identifier: GPL-2.0-only
"""KVM's modules for a shipped kernel: its headers, the configuration, symbols, what is refused."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, module_headers, open_kernel
from conformance.kernels.elf import Elf
from conformance.kernels.images import Shipped, shipped
from conformance.kernels.module_linking import Symbols, description
from conformance.kernels.module_recipe import adapted, module_flags, names_of, units_of
from conformance.kernels.modules import build_modules, lay_out
from conformance.kernels.substitutions import MMU_C, Substitution, write_patch

HEADERS = {
    "common": {
        "include/linux/module.h": "struct module;\n",
        "include/linux/kvm_host.h": "struct kvm;\n",
        "include/linux/Kbuild": "",
        "arch/x86/include/asm/io.h": "int io;\n",
        "arch/arm/include/asm/io.h": "",
        "Makefile": "",
    },
    "amd64": {
        ".config": "CONFIG_KVM=m\n",
        "Module.symvers": "0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n",
        "arch/x86/module.lds": "SECTIONS { }\n",
        "include/generated/autoconf.h": "#define CONFIG_KVM_MODULE 1\n",
        "include/config/KVM": "",
        "vmlinux": "",
    },
}

IMAGE = Shipped(
    Path("modules"),
    Path("vmlinuz"),
    Path("btf"),
    Path("config"),
    "linux-image-6.1.0-51-amd64",
    "6.1.1-2",
    None,
)


class FakeArchive:
    """Serves the two packages of HEADERS from its second suite."""

    def __init__(self, place: Path, progress) -> None:
        self.suites: list[str] = []

    def add(self, suite: str) -> bool:
        self.suites.append(suite)
        return suite != "away"

    def named(self, pattern: str) -> dict[str, list[str]]:
        names = [f"linux-headers-6.1.0-51-{kind}" for kind in HEADERS if "stable" in self.suites]
        return {name: ["6.1.1-1", "6.1.1-2"] for name in names if re.fullmatch(pattern, name)}

    def download(self, package: str, version: str, into: Path) -> Path:
        root = into / package
        for name, content in HEADERS[package.rpartition("-")[2]].items():
            path = root / "usr/src" / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN/control").write_text(
            f"Package: {package}\nVersion: 1\nArchitecture: amd64\n"
            "Maintainer: made <made@example.org>\nDescription: made for a test\n"
        )
        subprocess.run(["dpkg-deb", "-b", root, into / "made.deb"], check=True, capture_output=True)
        return into / "made.deb"


@pytest.fixture
def archive(monkeypatch):
    monkeypatch.setattr(module_headers, "Archive", FakeArchive)
    monkeypatch.setattr(module_headers, "likely_first", lambda version, first: ("away", "old", "stable"))


def test_the_headers_of_a_shipped_kernel(archive, cache: Cache, said):
    root = module_headers.module_headers(IMAGE, cache, said)
    found = {str(path.relative_to(root)) for path in root.rglob("*.h")}
    assert found == {
        "src/include/linux/module.h", "src/include/linux/kvm_host.h", "src/arch/x86/include/asm/io.h",
        "gen/include/generated/autoconf.h",
    }  # fmt: skip
    assert (root / "gen/.config").read_text() == "CONFIG_KVM=m\n"
    assert (root / "gen/module.lds").is_file() and (root / "gen/Module.symvers").is_file()


def test_headers_that_the_archive_does_not_have(archive, cache: Cache, said):
    with pytest.raises(
        ConformanceError, match=r"does not have linux-headers-6\.1\.0-51-common and .* 6\.1\.1-3"
    ):
        module_headers.module_headers(replace(IMAGE, version="6.1.1-3"), cache, said)
    assert cache.entries(module_headers.KIND) == []


def test_headers_without_what_is_needed(archive, cache: Cache, said, monkeypatch):
    monkeypatch.delitem(HEADERS["amd64"], "Module.symvers")
    with pytest.raises(ConformanceError, match=r"have no gen/Module\.symvers"):
        module_headers.module_headers(IMAGE, cache, said)
    assert cache.entries(module_headers.KIND) == []


def kernel_with(tmp_path: Path, **files: str) -> SimpleNamespace:
    """A kernel of a few headers."""
    root = tmp_path / "kernel"
    for name, text in {"gen/include/generated/autoconf.h": "", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return SimpleNamespace(root=root, title="6.1 + fix.patch", version="6.1.1-1", need_gcc=lambda what: None)


def test_a_patch_to_more_than_kvm_is_refused(archive, cache: Cache, said, tmp_path):
    headers = module_headers.module_headers(IMAGE, cache, said)
    changed = {"src/include/linux/kvm_host.h": "struct kvm { int more; };\n", "src/include/linux/new.h": ""}
    lay_out(kernel_with(tmp_path, **changed), headers, tmp_path / "tree")
    assert "more" in (tmp_path / "tree/src/include/linux/kvm_host.h").read_text()
    changed["src/include/linux/module.h"] = "struct module { };\n"
    with pytest.raises(ConformanceError, match=r"fix\.patch: include/linux/module\.h differs .* --image"):
        lay_out(kernel_with(tmp_path, **changed), headers, tmp_path / "another")


def test_another_version_than_the_source_is_refused(cache: Cache, tmp_path):
    with pytest.raises(ConformanceError, match=r"source is 6\.1\.1-1, .* Use debian:6\.1\.1-2\."):
        build_modules(kernel_with(tmp_path), IMAGE, cache)


def defined(*names: str) -> str:
    return "".join(f"#define CONFIG_{name} 1\n" for name in names)


def test_the_configuration_is_the_shipped_one_but_for_the_compiler():
    shipped_one = defined(
        "SMP", "CC_HAS_COUNTED_BY", "RETHUNK", "HAVE_JUMP_LABEL_HACK", "USE_X86_SEG_SUPPORT"
    )
    shipped_one += "#define CONFIG_GCC_VERSION 140200\n"
    prepared = defined("CC_HAS_INT128", "MODULES") + "#define CONFIG_GCC_VERSION 120200\n"
    assert adapted(shipped_one, prepared) == (
        defined("SMP", "CC_HAS_INT128") + "#define CONFIG_GCC_VERSION 120200\n"
    )
    capable = adapted(shipped_one, prepared + defined("CC_HAS_NAMED_AS"))
    assert defined("USE_X86_SEG_SUPPORT") in capable


def test_units_and_flags_depend_on_the_configuration(tmp_path):
    for name in ("kvm/x86.c", "kvm/xen.c", "kvm/kvm-asm-offsets.c", "kvm/mmu/mmu.c", "kvm/vmx/vmx.c"):
        (tmp_path / "arch/x86" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "arch/x86" / name).write_text("")
    assert units_of(tmp_path, "kvm", {}) == ["arch/x86/kvm/x86.c", "arch/x86/kvm/mmu/mmu.c"]
    assert "arch/x86/kvm/xen.c" in units_of(tmp_path, "kvm", {"KVM_XEN": "y"})
    assert units_of(tmp_path, "kvm-intel", {}) == ["arch/x86/kvm/vmx/vmx.c"]
    assert "-fcf-protection=branch" in module_flags({"X86_KERNEL_IBT": "y"})
    assert "-fcf-protection=branch" not in module_flags({})
    assert '-DKBUILD_MODNAME="kvm_amd"' in names_of("kvm-amd")


def symbols_of(tmp_path: Path) -> Symbols:
    (tmp_path / "Module.symvers").write_text(
        "0x00000011\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n"
        "0x00000012\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n"
        "0x00000013\tkvm_old\tarch/x86/kvm/kvm\tEXPORT_SYMBOL_GPL\t\n"
        "0x00000014\tirq_bypass\tvirt/lib/irqbypass\tEXPORT_SYMBOL_GPL\t\n"
    )
    return Symbols.read(tmp_path / "Module.symvers")


KVM_SYMBOLS = """
                 U __this_module
                 U irq_bypass
                 U printk
0000000000000000 r __ksymtab_kvm_new
0000000000000000 r __ksymtab_kvm_old
"""
KVM_SECTIONS = "  [ 1] ___ksymtab_gpl+kvm_old PROGBITS\n  [ 2] ___ksymtab+kvm_new PROGBITS\n"


def test_the_description_of_a_module(tmp_path):
    symbols = symbols_of(tmp_path)
    text = description("kvm", KVM_SYMBOLS, KVM_SECTIONS, symbols, {"MODVERSIONS"})
    assert 'MODULE_INFO(depends, "irqbypass");' in text
    assert "EXPORT(kvm_new);\nEXPORT(kvm_old);\n" in text
    assert 'SYMBOL_CRC(kvm_old, 0x00000013, "_gpl");' in text
    assert re.search(r'SYMBOL_CRC\(kvm_new, 0x[0-9a-f]{8}, ""\);', text)
    assert [*re.findall(r'\{ (0x\d+), "(\w+)" \}', text)] == [
        ("0x00000011", "module_layout"), ("0x00000014", "irq_bypass"), ("0x00000012", "printk"),
    ]  # fmt: skip
    using = description("kvm-amd", "                 U kvm_new\n", "", symbols, {"MODVERSIONS"})
    assert 'MODULE_INFO(depends, "kvm");' in using
    assert f'{{ {symbols.version("kvm_new")}, "kvm_new" }}' in using
    assert "__versions" not in description("kvm", KVM_SYMBOLS, KVM_SECTIONS, symbols, {})


def test_a_symbol_that_nothing_exports(tmp_path):
    with pytest.raises(LookupError, match="kvm_new"):
        description("kvm-amd", "                 U kvm_new\n", "", symbols_of(tmp_path), {})


MODULES = ("kvm", "kvm-amd", "kvm-intel")


def versions(data: bytes) -> dict[str, int]:
    """The versions of what a module imports."""
    rows = Elf(data, "module").named("__versions") or b""
    each = (rows[at : at + 64] for at in range(0, len(rows), 64))
    return {row[8:].partition(b"\0")[0].decode(): int.from_bytes(row[:8], "little") for row in each}


def facts(data: bytes) -> set[str]:
    content = Elf(data, "module").named(".modinfo") or b""
    return {line for line in content.decode().split("\0") if line.startswith(("vermagic=", "name=", "parm="))}


@pytest.mark.kernel
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("series", ["6.1", "6.12", "7.2", "7.3"])
def test_modules_are_as_the_shipped_ones(series):
    image, cache = shipped(series), Cache()
    made = build_modules(open_kernel(series), image, cache)
    for name in MODULES:
        ours, theirs = ((place / f"{name}.ko").read_bytes() for place in (made, image.modules))
        assert facts(ours) == facts(theirs)
        elves = [Elf(data, name) for data in (ours, theirs)]
        exports = [
            {one.name for table in elf.sections if table.kind == 2 for one in elf.symbols(table)}
            for elf in elves
        ]
        mark = re.compile(r"__ksymtab_\w+")
        assert {n for n in exports[0] if mark.match(n)} == {n for n in exports[1] if mark.match(n)}
        known = versions(theirs)
        assert {n: at for n, at in versions(ours).items() if n in known}.items() <= known.items()
        assert bool(known) == (series in ("6.1", "6.12"))


@pytest.mark.kernel
@pytest.mark.network
@pytest.mark.slow
def test_a_patch_that_needs_more_of_the_kernel(tmp_path):
    entry = "int kvm_mmu_vendor_module_init(void)\n{\n"
    using = Substitution(MMU_C, entry, f"extern void lru_add_drain(void);\n{entry}\tlru_add_drain();\n")
    patch = write_patch(open_kernel("6.1"), [using], tmp_path / "more.patch")
    with pytest.raises(BuildError, match=r"more\.patch: kvm\.ko needs lru_add_drain, .* --image"):
        build_modules(open_kernel("6.1", [patch]), shipped("6.1"), Cache())
