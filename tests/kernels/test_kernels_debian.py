# SPDX-License-Identifier: GPL-2.0-only
"""Debian's archive: its address, errors if it does not answer, and drift."""

import dataclasses
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from kernel_samples import Said

from conformance.errors import ConformanceError
from conformance.kernels import SERIES, Cache, catalogue, debian, inventory, open_kernel
from conformance.kernels.archive import Archive, Offer, Unreachable, addresses, newest
from conformance.kernels.pins import Pin, core_digests, pins, write_pins
from conformance.kernels.releases import series_of
from conformance.kernels.suites import SUITES, likely_first

NOWHERE = "http://127.0.0.1:1/debian"

MADE_BY_APT = """\
Debian\tstable\tmain\tmirror://here/debian/
Other\tstable\tmain\thttp://other.invalid/debian/
Debian\tstable-security\tmain\tmirror://here/debian-security/
"""


def fake_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, with_lists: str, without_lists: str = "") -> None:
    """A fake apt-get with these archives; it knows their origin only if it has lists."""
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


def test_an_address_without_an_archive(cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", f"file:{tmp_path}")
    monkeypatch.setattr(debian, "vendored", lambda series: None)
    with pytest.raises(ConformanceError, match=r"kernels cannot be looked up: no suite is served"):
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
    """A fake archive with these versions; every package is the fake tree."""

    versions_served: tuple[str, ...] = ()
    tree: Path
    answers = True
    asked: ClassVar[list[tuple[str, ...]]] = []

    def __init__(self, place: Path, progress: object) -> None:
        if not self.answers:
            raise Unreachable("the archive does not answer")

    def sources(self, suites: Sequence[str], until: str | None = None) -> list[Offer]:
        self.asked.append(tuple(suites))
        return [Offer(f"linux-source-{series_of(one)}", one, "here") for one in self.versions_served]

    def download(self, package: str, version: str, into: Path) -> Path:
        assert version in self.versions_served
        return into


@pytest.fixture
def archive(tree: Path, monkeypatch: pytest.MonkeyPatch) -> type[FakeArchive]:
    class Mine(FakeArchive):
        asked: ClassVar[list[tuple[str, ...]]] = []

    Mine.tree = tree
    monkeypatch.setattr(debian, "Archive", Mine)
    monkeypatch.setattr(catalogue, "Archive", Mine)
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", "file:/fake/debian")
    monkeypatch.setattr(debian, "vendored", lambda series: None)
    monkeypatch.setattr(
        debian, "stage_package", lambda deb, into, which: shutil.copytree(tree, into, dirs_exist_ok=True)
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


PATH = os.environ["PATH"]
MISSING = ("make", "bc", "ld", "flex", "bison", "awk", "dpkg-deb", "xz", "apt-cache")
NEEDED = (*MISSING, "gcc", "git", "as", "dpkg", "apt-get", "apt-config")


def only(place: Path, names: Iterable[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with only these programs."""
    place.mkdir()
    for name in names:
        (place / name).symlink_to(shutil.which(name, path=PATH) or "/bin/true")
    monkeypatch.setenv("PATH", str(place))


@pytest.mark.parametrize("selector", ["6.1", "debian:6.1.9-1"])
@pytest.mark.parametrize("missing", [MISSING, *((name,) for name in MISSING)])
def test_missing_tools_are_named_before_anything_is_downloaded(
    selector: str,
    missing: tuple[str, ...],
    archive: type[FakeArchive],
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    only(tmp_path / "bin", set(NEEDED) - set(missing), monkeypatch)
    monkeypatch.setattr(debian, "Archive", lambda *_: pytest.fail("the archive was asked"))
    with pytest.raises(ConformanceError, match=r"Install (it|them) with: apt-get install") as caught:
        open_kernel(selector, cache=cache)
    message = str(caught.value)
    assert [name for name in missing if name not in message] == []
    assert "\n" not in message


def test_all_missing_tools_are_named_at_once(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only(tmp_path / "bin", ("git",), monkeypatch)
    with pytest.raises(ConformanceError) as caught:
        open_kernel("6.1", cache=cache)
    assert str(caught.value) == (
        "The compiler 'gcc' is not installed, and neither are ld, make, flex, bison, bc, awk. "
        "Install them with: apt-get install bc binutils bison flex gcc make mawk"
    )
    (tmp_path / "p").write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    only(tmp_path / "other", ("gcc", "as", "ld", "make", "flex", "bison", "awk"), monkeypatch)
    with pytest.raises(
        ConformanceError, match=r"needs git, which is not installed, and neither is bc\. Install"
    ):
        open_kernel("6.1", [tmp_path / "p"], cache=cache)


def test_an_exact_version(archive: type[FakeArchive], cache: Cache) -> None:
    archive.versions_served = ("6.1.9-1", "6.1.10-1")
    kernel = open_kernel("debian:6.1.9-1", cache=cache)
    assert (kernel.version, kernel.series, kernel.drift) == ("6.1.9-1", "6.1", None)
    with pytest.raises(ConformanceError, match=r"has no such version. Of 6.1 it has 6.1.9-1, 6.1.10-1\."):
        open_kernel("debian:6.1.99-1", cache=cache)
    assert len(list((cache.root / "package").iterdir())) == 1


def test_a_series_that_is_gone(archive: type[FakeArchive], cache: Cache) -> None:
    with pytest.raises(ConformanceError, match=r"has no linux-source-6\.1 any more"):
        open_kernel("6.1", cache=cache)


def test_a_version_of_any_series_and_suite(archive: type[FakeArchive], cache: Cache) -> None:
    archive.versions_served = ("6.1.9-1", "7.4~rc2-1~exp1")
    kernel = open_kernel("debian:7.4~rc2-1~exp1", cache=cache)
    assert (kernel.version, kernel.series) == ("7.4~rc2-1~exp1", None)
    assert archive.asked[-1][0] == "experimental"
    with pytest.raises(ConformanceError, match=r"no such version. Of 7\.4 it has 7\.4~rc2-1~exp1\."):
        open_kernel("debian:7.4.1-1", cache=cache)
    with pytest.raises(ConformanceError, match=r"has no kernel 6\.6\. It has the series 6\.1, 7\.4; "):
        open_kernel("debian:6.6.1-1", cache=cache)


@pytest.mark.parametrize(
    ("selector", "version"),
    [
        ("debian:6.1", "6.1.10-1"),
        ("debian:6.1.9", "6.1.9-1"),
        ("debian:6.12", "6.12.3-1~deb12u1"),
        ("debian:7.3", "7.3~rc7-1~exp1"),
        ("debian:7.3-rc7", "7.3~rc7-1~exp1"),
        ("debian:7.3-rc", "7.3~rc7-1~exp1"),
    ],
)
def test_the_newest_of_what_begins_so(
    archive: type[FakeArchive], cache: Cache, selector: str, version: str
) -> None:
    archive.versions_served = ("6.1.9-1", "6.1.10-1", "6.12.3-1~deb12u1", "7.3~rc7-1~exp1", "6.1.9-1~deb11u1")
    kernel = open_kernel(selector, cache=cache)
    assert kernel.version == version
    assert kernel.drift is not None
    assert f"{selector} is {version}, the newest that the archive has." in kernel.drift
    assert archive.asked[0] == SUITES


def test_what_the_archive_has_is_read_again_after_an_hour(
    archive: type[FakeArchive], cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.versions_served = ("6.1.9-1",)
    open_kernel("debian:6.1", cache=cache)
    archive.versions_served = ("6.1.9-1", "6.1.10-1")
    assert open_kernel("debian:6.1", cache=cache).version == "6.1.9-1"
    later = time.time() + catalogue.ASK_AGAIN + 1
    monkeypatch.setattr("time.time", lambda: later)
    assert open_kernel("debian:6.1", cache=cache).version == "6.1.10-1"


def test_the_newest_of_a_series_is_pinned_by_its_whole_version(
    archive: type[FakeArchive], cache: Cache, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[dict[str, Pin]] = []
    monkeypatch.setattr(inventory, "pins", debian.pins)
    monkeypatch.setattr(inventory, "write_pins", written.append)
    archive.versions_served = ("6.1.9-1", "6.1.10-1", "6.12.1-1")
    assert inventory.pin_series("6.1", "6.1", cache, said).version == "6.1.10-1"
    assert written[0]["6.1"].version == "6.1.10-1"
    for refused in ("6.12.1-1", "6.12", "none"):
        with pytest.raises(ConformanceError, match=r"is no version of 6\.1|names no Debian kernel version"):
            inventory.pin_series("6.1", refused, cache, said)
    assert len(written) == 1


def test_a_series_that_the_archive_does_not_have(archive: type[FakeArchive], cache: Cache) -> None:
    archive.versions_served = ("6.1.9-1", "6.12.1-1")
    with pytest.raises(ConformanceError, match=r"has no kernel 7\.4\. It has the series 6\.1, 6\.12; "):
        open_kernel("debian:7.4", cache=cache)


class FakeApt(Archive):
    """An Archive with a fake apt: suites with versions, absent suites, and a broken one."""

    served: ClassVar[dict[str, tuple[str, ...]]] = {}
    broken: ClassVar[dict[str, str]] = {}

    def apt(self, tool: str, *words: str, cwd: Path | None = None) -> tuple[int, str, str]:
        if "update" in words:
            _, _, address, suite, _ = (self.place / "one.list").read_text().rsplit(" ", 4)
            if suite in self.served and suite not in self.broken:
                (self.place / f"lists/x_dists_{suite}_main_binary-amd64_Packages.lz4").touch()
                return 0, "", ""
            if suite in self.broken:
                return (
                    100,
                    "",
                    f"E: Failed to fetch {address}/dists/{suite}/InRelease  {self.broken[suite]}\n",
                )
            said = f"E: The repository '{address} {suite} Release' does not have a Release file.\n"
            return 100, "Err:2 x\n  404  Not Found [IP: ::1 80]\n", said
        suite = (self.place / "suite.list").read_text().split()[-2]
        rows = [(suite, version) for version in self.served[suite]]
        names = sorted({f"linux-source-{series_of(version)}" for _, version in rows})
        if "search" in words:
            return 0, "".join(f"{name} - source\n" for name in names), ""
        lines = [
            f"linux-source-{series_of(version)} | {version} | http://a/debian {suite}/main amd64 Packages\n"
            for suite, version in rows
        ]
        return 0, "".join(lines), ""


@pytest.fixture
def fake_suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", "http://a/debian")
    monkeypatch.setattr("conformance.kernels.archive.require", lambda tools, purpose: None)
    FakeApt.served = {
        "trixie": ("6.12.1-1",),
        "sid": ("7.2.13-1", "6.12.1-1"),
        "experimental": ("7.3~rc1-1~exp1",),
    }
    FakeApt.broken = {}
    return FakeApt(tmp_path / "apt", lambda line: None)


def test_every_suite_is_read_and_absent_ones_are_skipped(fake_suites: FakeApt) -> None:
    assert set(fake_suites.sources(SUITES)) == {
        Offer("linux-source-6.12", "6.12.1-1", "trixie"),
        Offer("linux-source-6.12", "6.12.1-1", "sid"),
        Offer("linux-source-7.2", "7.2.13-1", "sid"),
        Offer("linux-source-7.3", "7.3~rc1-1~exp1", "experimental"),
    }


def test_reading_ends_with_the_suite_that_has_the_version(fake_suites: FakeApt) -> None:
    fake_suites.sources(("experimental", "trixie", "sid"), until="6.12.1-1")
    assert fake_suites.suites == ["experimental", "trixie"]


@pytest.mark.parametrize("trouble", ["503  Service Unavailable", "403  Forbidden"])
def test_a_suite_that_does_not_answer_is_an_error(fake_suites: FakeApt, trouble: str) -> None:
    fake_suites.broken["forky"] = f"{trouble} [IP: ::1 80]"
    assert fake_suites.sources(("forky", "sid"), until="7.2.13-1")
    with pytest.raises(Unreachable, match=trouble):
        fake_suites.sources(("forky", "sid"), until="7.9.9-1")


def test_an_address_that_does_not_answer_is_asked_once(fake_suites: FakeApt) -> None:
    fake_suites.broken = dict.fromkeys(("sid", "forky"), "Connection timed out [IP: ::1 80]")
    with pytest.raises(Unreachable, match="does not answer"):
        fake_suites.sources(("sid", "forky", "trixie"))
    assert len(fake_suites.trouble) == 1
    assert not fake_suites.suites


@pytest.mark.parametrize(
    ("version", "first"),
    [
        ("7.2.9-1~bpo13+1", "trixie-backports"),
        ("6.1.180-1~deb11u1", "bullseye-security"),
        ("7.3~rc7-1~exp1", "experimental"),
        ("7.4~rc1-1", "experimental"),
        ("6.12.118-1", "pinned"),
    ],
)
def test_the_likely_suite_comes_first(version: str, first: str) -> None:
    order = likely_first(version, ("pinned",))
    assert order[0] == first
    assert set(order) == {*SUITES, "pinned"}
    assert len(order) == len(set(order))
