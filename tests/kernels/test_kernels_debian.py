# SPDX-License-Identifier: GPL-2.0-only
"""Debian's archive: where it is, what is said if it does not answer, and what drift is."""

import dataclasses
import shutil
import time
from pathlib import Path

import pytest
from kernel_samples import Said

from conformance.errors import ConformanceError
from conformance.kernels import SERIES, Cache, debian, open_kernel
from conformance.kernels.archive import Unreachable, addresses, newest
from conformance.kernels.pins import core_digests, pins, write_pins

NOWHERE = "http://127.0.0.1:1/debian"

MADE_BY_APT = """\
Debian\tstable\tmain\tmirror://here/debian/
Other\tstable\tmain\thttp://other.invalid/debian/
Debian\tstable-security\tmain\tmirror://here/debian-security/
"""


def fake_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, with_lists: str, without_lists: str = "") -> None:
    """An apt-get that knows these archives, of which it knows the origin only if it has lists."""
    folder.mkdir()
    (folder / "with").write_text(with_lists)
    (folder / "without").write_text(without_lists)
    script = folder / "apt-get"
    case = 'case "$*" in *no-release-info*) f=without;; *) f=with;; esac'
    script.write_text(f"#!/bin/sh\n{case}\nexec cat {folder}/$f\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("CONFORMANCE_DEBIAN_ARCHIVE", raising=False)


def test_the_machine_knows_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(tmp_path / "bin", monkeypatch, MADE_BY_APT)
    assert addresses() == ("mirror://here/debian/", "mirror://here/debian-security/")


def test_without_lists_names_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "$(ORIGIN)\tbookworm\tmain\thttp://vendor.invalid/apt/\n$(ORIGIN)\tnodistro\tmain\thttp://x.invalid/\n"
    rows += "$(ORIGIN)\tbookworm\tmain\thttp://mirror.invalid/debian\n"
    fake_apt(tmp_path / "bin", monkeypatch, "", rows)
    assert addresses() == ("http://mirror.invalid/debian", "http://mirror.invalid/debian-security")


def test_a_machine_that_knows_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(tmp_path / "bin", monkeypatch, "Ubuntu\tnoble\tmain\thttp://x.invalid/ubuntu\n")
    with pytest.raises(ConformanceError, match="CONFORMANCE_DEBIAN_ARCHIVE"):
        addresses()


def test_the_environment_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", "file:/mirror/debian")
    assert addresses() == ("file:/mirror/debian", "file:/mirror/debian-security")
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", "file:/a file:/b")
    assert addresses() == ("file:/a", "file:/b")
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", "file:/a")
    assert addresses() == ("file:/a", None)


def test_newest_is_dpkgs_order() -> None:
    assert newest(["6.1.9-1", "6.1.10-1~deb11u1", "6.1.10-1"]) == "6.1.10-1"


@pytest.mark.parametrize("selector", ["6.1", "debian:6.1.176-1"])
def test_an_archive_that_does_not_answer(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, selector: str
) -> None:
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", NOWHERE)
    monkeypatch.setattr(debian, "vendored", lambda series: None)
    with pytest.raises(Unreachable, match=r"the Debian archive does not answer") as caught:
        open_kernel(selector, cache=cache)
    assert "\n" not in str(caught.value)
    assert list((cache.root / "package").glob("*")) == []
    assert list((cache.root / "tmp").iterdir()) == []


def test_an_archive_that_is_none(cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", f"file:{tmp_path}")
    monkeypatch.setattr(debian, "vendored", lambda series: None)
    with pytest.raises(ConformanceError, match=r"linux-source-7\.3 cannot be looked up"):
        open_kernel("7.3", cache=cache)


def test_every_series_is_pinned_with_its_core_files() -> None:
    table = pins()
    assert tuple(table) == SERIES
    for series, pin in table.items():
        assert pin.package == f"linux-source-{series}"
        assert pin.version.startswith(f"{series}.")
        assert {
            "arch/x86/kvm/mmu/spte.c",
            "arch/x86/kvm/mmu/spte.h",
            "arch/x86/kvm/mmu/mmu.c",
        } <= pin.core.keys()


def test_pins_survive_writing(tmp_path: Path) -> None:
    write_pins(pins(), tmp_path / "kernels.toml")
    assert pins(tmp_path / "kernels.toml") == pins()


def test_damaged_pins_are_a_sentence(tmp_path: Path) -> None:
    for text in ("[", "[series]\nx = 1\n", ""):
        (tmp_path / "kernels.toml").write_text(text)
        with pytest.raises(ConformanceError, match="cannot be read"):
            pins(tmp_path / "kernels.toml")
    with pytest.raises(ConformanceError, match="cannot be read"):
        pins(tmp_path / "none.toml")


def test_drift_is_a_sentence(tree: Path) -> None:
    core = core_digests(tree)
    pin = dataclasses.replace(pins()["6.1"], version="6.1.1-1", core=core)
    assert debian.drift_of(pin, tree, "", "6.1.1-1") is None
    moved = debian.gone(pin, "6.1.2-1")
    assert debian.drift_of(pin, tree, moved, "6.1.2-1") == (
        "The archive no longer has the pinned 6.1.1-1; this is 6.1.2-1, "
        f"whose {len(core)} core MMU files are all equal to the pinned ones."
    )
    (tree / "arch/x86/kvm/mmu/spte.h").write_text("other\n")
    assert debian.drift_of(pin, tree, moved, "6.1.2-1") == (
        "The archive no longer has the pinned 6.1.1-1; this is 6.1.2-1, "
        f"in which 1 of {len(core)} core MMU files is not as pinned: arch/x86/kvm/mmu/spte.h."
    )
    assert debian.drift_of(pin, tree, "", "6.1.1-1") == (
        f"1 of {len(core)} core MMU files is not as pinned for 6.1.1-1: arch/x86/kvm/mmu/spte.h."
    )


class FakeArchive:
    """An archive with these versions, whose packages are the fake tree."""

    versions_served: tuple[str, ...] = ()
    tree: Path
    answers = True

    def __init__(self, place: Path, progress: object) -> None:
        if not self.answers:
            raise Unreachable("the archive does not answer")

    def versions(self, package: str, suites: object, until: str | None = None) -> list[str]:
        return list(self.versions_served)

    def download(self, package: str, version: str, into: Path) -> Path:
        assert version in self.versions_served
        return into


@pytest.fixture
def archive(tree: Path, monkeypatch: pytest.MonkeyPatch) -> type[FakeArchive]:
    class Mine(FakeArchive):
        pass

    Mine.tree = tree
    monkeypatch.setattr(debian, "Archive", Mine)
    monkeypatch.setattr(debian, "vendored", lambda series: None)
    monkeypatch.setattr(
        debian, "stage_package", lambda deb, into: shutil.copytree(tree, into, dirs_exist_ok=True)
    )
    pinned = {"6.1": dataclasses.replace(pins()["6.1"], version="6.1.7-2", core=core_digests(tree))}
    monkeypatch.setattr(debian, "pins", lambda: pinned)
    return Mine


def test_the_pinned_version(archive: type[FakeArchive], cache: Cache, said: Said) -> None:
    archive.versions_served = ("6.1.7-1", "6.1.7-2", "6.1.8-1")
    kernel = open_kernel("6.1", cache=cache, progress=said)
    assert (kernel.version, kernel.series, kernel.drift, kernel.title) == ("6.1.7-2", "6.1", None, "6.1")
    archive.answers = False
    assert open_kernel("6.1", cache=cache) == kernel


def test_the_newest_if_the_pinned_one_is_gone(archive: type[FakeArchive], cache: Cache, said: Said) -> None:
    archive.versions_served = ("6.1.9-1", "6.1.10-1")
    kernel = open_kernel("6.1", cache=cache, progress=said)
    assert kernel.version == "6.1.10-1"
    assert kernel.drift is not None
    assert "all equal" in kernel.drift
    archive.answers = False
    assert open_kernel("6.1", cache=cache) == kernel


def test_the_archive_is_asked_again_after_a_while(
    archive: type[FakeArchive], cache: Cache, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.versions_served = ("6.1.9-1",)
    old = open_kernel("6.1", cache=cache)
    later = time.time() + debian.ASK_AGAIN + 1
    monkeypatch.setattr("time.time", lambda: later)
    archive.answers = False
    assert open_kernel("6.1", cache=cache, progress=said) == old
    assert said.mentions("using 6.1.9-1 from the cache")
    archive.answers = True
    archive.versions_served = ("6.1.12-1",)
    assert open_kernel("6.1", cache=cache).version == "6.1.12-1"


def test_an_exact_version(archive: type[FakeArchive], cache: Cache) -> None:
    archive.versions_served = ("6.1.9-1", "6.1.10-1")
    kernel = open_kernel("debian:6.1.9-1", cache=cache)
    assert (kernel.version, kernel.series, kernel.drift) == ("6.1.9-1", "6.1", None)
    with pytest.raises(ConformanceError, match=r"no such linux-source-6.1. It has: 6.1.9-1, 6.1.10-1"):
        open_kernel("debian:6.1.99-1", cache=cache)
    assert len(list((cache.root / "package").iterdir())) == 1


def test_a_series_that_is_gone(archive: type[FakeArchive], cache: Cache) -> None:
    with pytest.raises(ConformanceError, match=r"has no linux-source-6\.1 any more"):
        open_kernel("6.1", cache=cache)
