# SPDX-License-Identifier: GPL-2.0-only
"""Shipped kernels: their packages, the files that are kept, errors if they are gone."""

from __future__ import annotations

import lzma
import re
import subprocess
from pathlib import Path
from typing import ClassVar

import pytest

from conformance.errors import ConformanceError
from conformance.kernels import Cache, images
from conformance.kernels.archive import Unreachable
from conformance.kernels.images import shipped

PACKAGES = {
    "stable": {
        "linux-image-6.1.0-50-amd64": (["6.1.176-1"], "whole"),
        "linux-image-6.1.0-50-amd64-unsigned": (["6.1.176-1"], "whole"),
        "linux-image-6.1.0-51-cloud-amd64": (["6.1.192-2"], "whole"),
        "linux-image-6.1.0-51-rt-amd64": (["6.1.192-2"], "whole"),
        "linux-image-6.1.0-51-amd64-unsigned": (["6.1.192-2"], "whole"),
        "linux-image-6.1.0-51-amd64-dbg": (["6.1.192-2"], "whole"),
    },
    "testing": {
        "linux-image-7.3.4+deb14-amd64": (["7.3.4-1"], "empty"),
        "linux-modules-7.3.4+deb14-amd64": (["7.3.4-1"], "modules"),
        "linux-binary-7.3.4+deb14-amd64": (["7.3.4-1"], "binary"),
        "linux-binary-unsigned-7.3.4+deb14-amd64": (["7.3.4-1"], "binary"),
        "linux-base-7.3.4+deb14-amd64": (["7.3.4-1"], "base"),
        "linux-modules-7.4-amd64": (["7.4~rc1-1~exp1"], "modules"),
        "linux-binary-7.4-amd64": (["7.4~rc1-1~exp1"], "binary"),
        "linux-base-7.4-amd64": (["7.4~rc1-1~exp1"], "base"),
    },
}


class FakeArchive:
    """A fake archive of two suites; packages are built when they are downloaded."""

    instances: ClassVar[list[FakeArchive]] = []

    def __init__(self, place: Path, progress) -> None:
        self.trouble: list[str] = []
        self.read: list[str] = []
        self.downloaded: list[str] = []
        FakeArchive.instances.append(self)

    def add(self, suite: str) -> bool:
        if suite not in PACKAGES:
            self.trouble.append(f"nothing was served for {suite}")
            return False
        self.read.append(suite)
        return True

    def named(self, pattern: str) -> dict[str, list[str]]:
        return {
            name: versions
            for suite in self.read
            for name, (versions, _) in PACKAGES[suite].items()
            if re.fullmatch(pattern, name)
        }

    def failure(self, what: str) -> Unreachable:
        return Unreachable(f"{what}: {self.trouble[0]}")

    def download(self, package: str, version: str, into: Path) -> Path:
        self.downloaded.append(package)
        holds = next(PACKAGES[suite][package][1] for suite in self.read if package in PACKAGES[suite])
        return deb(into, package, holds)


def deb(place: Path, package: str, holds: str) -> Path:
    """A package with the files of its part."""
    abi = package.split("-amd64")[0]
    root = place / "root"
    modules = f"usr/lib/modules/{abi}"
    files = {
        "whole": {
            f"lib/modules/{abi}/kernel/arch/x86/kvm/kvm.ko": b"module",
            "boot/vmlinuz-1": b"image",
            "boot/config-1": b"CONFIG_KVM=m\n",
        },
        "empty": {"usr/share/doc/readme": b""},
        "modules": {
            f"{modules}/kernel/arch/x86/kvm/kvm.ko.xz": lzma.compress(b"split module"),
            f"{modules}/kernel/arch/x86/kvm/kvm.ko.txt": b"no module",
            f"{modules}/kernel/arch/x86/kvm/kvm-intel.ko": b"another",
        },
        "binary": {f"{modules}/vmlinuz": b"image"},
        "base": {f"{modules}/config": b"CONFIG_KVM=y\n"},
    }[holds]
    files["DEBIAN/control"] = (
        f"Package: {package}\nVersion: 1\nArchitecture: amd64\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: made for a test\n"
    ).encode()
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    subprocess.run(["dpkg-deb", "-b", root, place / "made.deb"], check=True, capture_output=True)
    return place / "made.deb"


@pytest.fixture
def archive(monkeypatch):
    FakeArchive.instances = []
    monkeypatch.setattr(images, "Archive", FakeArchive)
    monkeypatch.setattr(images, "likely_first", lambda version, first: ("away", "stable", "testing"))
    monkeypatch.setattr(images, "btf_of", lambda path: b"types of " + path.read_bytes()[:4])
    return FakeArchive.instances


def test_an_image_of_one_package(archive, cache: Cache):
    found = shipped("debian:6.1.176-1", cache=cache)
    assert (found.package, found.version, found.drift) == ("linux-image-6.1.0-50-amd64", "6.1.176-1", None)
    assert found.module.read_bytes() == b"module"
    assert found.base.read_bytes().startswith(b"types of ")
    assert found.config.read_bytes() == b"CONFIG_KVM=m\n"
    assert archive[0].downloaded == ["linux-image-6.1.0-50-amd64"]
    assert archive[0].read == ["stable"]


def test_where_only_the_unsigned_is_served_it_is_taken(archive, cache: Cache):
    assert shipped("debian:6.1.192-2", cache=cache).package == "linux-image-6.1.0-51-amd64-unsigned"


def test_a_kernel_split_over_packages(archive, cache: Cache):
    found = shipped("debian:7.3.4-1", cache=cache)
    assert found.package == "linux-modules-7.3.4+deb14-amd64"
    assert found.module.read_bytes() == b"split module"
    assert found.config.read_bytes() == b"CONFIG_KVM=y\n"
    assert archive[0].downloaded == [
        "linux-modules-7.3.4+deb14-amd64", "linux-binary-7.3.4+deb14-amd64", "linux-base-7.3.4+deb14-amd64",
    ]  # fmt: skip


def test_a_release_candidate_of_a_series_that_is_not_pinned(archive, cache: Cache):
    found = shipped("debian:7.4~rc1-1~exp1", cache=cache)
    assert (found.package, found.version) == ("linux-modules-7.4-amd64", "7.4~rc1-1~exp1")


def test_the_second_time_the_archive_is_not_asked(archive, cache: Cache):
    first = shipped("debian:6.1.176-1", cache=cache)
    assert shipped("debian:6.1.176-1", cache=cache) == first
    assert len(archive) == 1
    first.module.unlink()
    assert shipped("debian:6.1.176-1", cache=cache).module.is_file()
    assert len(archive) == 2


def test_the_nearest_of_the_series_stands_for_one_that_is_gone(archive, cache: Cache, said):
    found = shipped("debian:6.1.180-1", cache=cache, progress=said)
    assert found.version == "6.1.192-2"
    assert (
        found.drift == "The archive has no image of 6.1.180-1; this is 6.1.192-2, the nearest of the series."
    )
    assert shipped("debian:6.1.200-1", cache=cache).version == "6.1.192-2"
    assert shipped("debian:6.1.180-1", cache=cache) == found
    assert len(archive) == 2


def test_a_series_is_the_version_of_its_source(archive, cache: Cache):
    assert shipped("6.1", cache=cache).version == "6.1.192-2"


def test_a_series_without_any_image(archive, cache: Cache, monkeypatch):
    monkeypatch.setattr(images, "likely_first", lambda version, first: ("stable",))
    with pytest.raises(ConformanceError, match=r"^5\.10: the archive has no kernel image"):
        shipped("5.10", cache=cache)


def test_an_archive_that_serves_nothing(archive, cache: Cache, monkeypatch):
    monkeypatch.setattr(images, "likely_first", lambda version, first: ("away",))
    with pytest.raises(ConformanceError, match="cannot be looked up: nothing was served for away"):
        shipped("6.1", cache=cache)


def test_a_package_without_the_wanted_files(archive, cache: Cache, monkeypatch):
    monkeypatch.setitem(PACKAGES["stable"], "linux-image-6.1.0-50-amd64", (["6.1.176-1"], "empty"))
    with pytest.raises(ConformanceError, match=r"have no vmlinuz and no config and no kvm\.ko"):
        shipped("debian:6.1.176-1", cache=cache)
    assert cache.entries(images.KIND) == []


def test_a_tree_has_no_shipped_kernel(tmp_path: Path):
    with pytest.raises(ConformanceError, match="of a tree there is no shipped kernel"):
        shipped(f"tree:{tmp_path}")


@pytest.mark.network
@pytest.mark.slow
def test_debian_s_own(cache: Cache):
    found = shipped("6.1", cache=cache)
    assert found.module.read_bytes().startswith(b"\x7fELF")
    assert found.base.read_bytes().startswith(b"\x9f\xeb")
    assert "CONFIG_KVM=m\n" in found.config.read_text()
