# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that a user has built: the image, the folder of its modules, and what is refused."""

from __future__ import annotations

import gzip
import lzma
import struct

import pytest
import zstandard

from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.kernels.bootable import built_by_user


def elf(sections: dict[str, bytes]) -> bytes:
    """An ELF file with these sections."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*sections, ".shstrtab"))
    body, rows = b"", [bytes(64)]
    for name, content in (*sections.items(), (".shstrtab", names)):
        at = names.find(b"\0" + name.encode() + b"\0") + 1
        rows.append(struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, 64 + len(body), len(content), 0, 0, 1, 0))
        body += content
    head = b"\x7fELF\2\1\1" + bytes(9)
    head += struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64 + len(body), 0, 64, 56, 0, 64, len(rows), len(rows) - 1
    )
    return head + body + b"".join(rows)


def module(depends: str = "") -> bytes:
    return elf({".modinfo": f"license=GPL\0depends={depends}\0".encode()})


BTF = b"\x9f\xeb\1\0" + bytes(20)


@pytest.fixture
def image(tmp_path):
    place = tmp_path / "vmlinux"
    place.write_bytes(elf({".BTF": BTF}))
    return place


@pytest.fixture
def folder(tmp_path):
    """kvm_amd needs ccp, which needs cfg80211; both need kvm."""
    place = tmp_path / "modules"
    (place / "arch" / "x86").mkdir(parents=True)
    (place / "arch" / "x86" / "kvm.ko").write_bytes(module("irqbypass"))
    (place / "arch" / "x86" / "kvm-amd.ko.xz").write_bytes(lzma.compress(module("kvm,ccp")))
    (place / "arch" / "x86" / "kvm-intel.ko.zst").write_bytes(zstandard.compress(module("kvm")))
    (place / "ccp.ko.gz").write_bytes(gzip.compress(module()))
    (place / "irqbypass.ko").write_bytes(module())
    (place / "unrelated.ko").write_bytes(module())
    return place


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def test_modules_are_unpacked_and_loaded_in_order(image, folder, cache):
    made = built_by_user(image, folder, cache)
    assert [one.name for one in made.load_order("kvm_amd")] == ["irqbypass", "kvm", "ccp", "kvm_amd"]
    assert [one.name for one in made.load_order("kvm_intel")] == ["irqbypass", "kvm", "kvm_intel"]
    assert made.module("kvm_amd").path.read_bytes() == module("kvm,ccp")
    assert made.vmlinux.read_bytes() == image.read_bytes() and made.base.read_bytes() == BTF
    assert not list(made.modules[0].glob("unrelated*"))


def test_a_changed_module_is_another_kernel(image, folder, cache):
    before = built_by_user(image, folder, cache)
    (folder / "ccp.ko.gz").write_bytes(gzip.compress(module("irqbypass")))
    after = built_by_user(image, folder, cache)
    assert before.digest != after.digest
    assert [one.name for one in after.load_order("kvm_amd")] == ["irqbypass", "kvm", "ccp", "kvm_amd"]


def test_a_folder_without_the_modules_of_kvm(image, folder, cache, tmp_path):
    (folder / "arch" / "x86" / "kvm.ko").unlink()
    with pytest.raises(ConformanceError, match="has no modules kvm and kvm_amd or kvm_intel"):
        built_by_user(image, folder, cache)
    with pytest.raises(ConformanceError, match="is no directory"):
        built_by_user(image, tmp_path / "nowhere", cache)


def test_a_module_that_another_one_needs_is_missing(image, folder, cache):
    (folder / "irqbypass.ko").unlink()
    made = built_by_user(image, folder, cache)
    with pytest.raises(ConformanceError, match="has no module irqbypass"):
        made.load_order("kvm_amd")


def test_modules_that_depend_on_each_other_in_a_circle(image, folder, cache):
    (folder / "irqbypass.ko").write_bytes(module("kvm"))
    with pytest.raises(ConformanceError, match="the module kvm depends on itself"):
        built_by_user(image, folder, cache).load_order("kvm_amd")


def test_a_damaged_module(image, folder, cache):
    packed = folder / "arch" / "x86" / "kvm-amd.ko.xz"
    packed.write_bytes(packed.read_bytes()[:40])
    with pytest.raises(ConformanceError, match=r"kvm-amd\.ko\.xz"):
        built_by_user(image, folder, cache)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no kernel at all", "is no kernel image"),
        (b"", "is no kernel image"),
        (elf({".text": b"1"}), "has no type information"),
        (elf({".BTF": BTF})[:70], "cut off"),
    ],
)
def test_an_image_that_is_no_kernel(folder, cache, tmp_path, content, why):
    image = tmp_path / "vmlinuz"
    image.write_bytes(content)
    with pytest.raises(ConformanceError, match=why):
        built_by_user(image, folder, cache)
    assert not [one for one in (tmp_path / "cache").rglob("vmlinux*") if one.is_file()]
