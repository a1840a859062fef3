# SPDX-License-Identifier: GPL-2.0-only
"""Real kernels, from the archive to object files. Uses the user's cache, as a run of the suite does."""

import shutil
from pathlib import Path

import pytest
from kernel_samples import Said, git, snapshot

from conformance.errors import ConformanceError
from conformance.kernels import SERIES, Cache, Kernel, expand, open_kernel
from conformance.kernels.archive import ascending
from conformance.kernels.catalogue import catalogue
from conformance.kernels.debian import resolved
from conformance.kernels.inventory import core_files, inventory, options, size_of
from conformance.kernels.selector import Debian
from conformance.kernels.substitutions import unified_diff
from conformance.kernels.vendor import lay_out, vendored

pytestmark = [pytest.mark.kernel, pytest.mark.network, pytest.mark.slow]

MMU = ["spte.c", "tdp_iter.c", "tdp_mmu.c", "mmu.c"]


@pytest.fixture(scope="module")
def pinned() -> Kernel:
    return open_kernel("6.1")


@pytest.mark.parametrize("series", expand(["all"]))
def test_the_mmu_of_every_series_compiles(series: str, tmp_path: Path) -> None:
    kernel = open_kernel(series)
    assert ".".join(map(str, kernel.release)) == kernel.series == series
    objects = kernel.compile([f"arch/x86/kvm/mmu/{name}" for name in MMU], tmp_path)
    assert len(objects) == len(MMU)
    chosen = options(kernel)
    assert {chosen[name] for name in ("64BIT", "SMP", "KVM", "KVM_INTEL", "KVM_AMD", "RANDOMIZE_MEMORY")} == {
        "y"
    }
    assert {chosen[name] for name in ("JUMP_LABEL", "PARAVIRT", "FTRACE", "STACKPROTECTOR")} == {"n"}
    checks = {"PROVE_LOCKING", "PROVE_RCU", "DEBUG_LIST", "TRANSPARENT_HUGEPAGE"}
    assert {chosen[name] for name in checks} == {"y"}
    assert size_of(kernel.root) < 50e6
    if kernel.drift is None:
        assert {file.verdict for file in core_files(kernel)} == {"as pinned"}


def test_everything_is_listed(pinned: Kernel) -> None:
    rows = {row.pin.series: row for row in inventory(Cache())}
    assert tuple(rows) == SERIES
    assert rows["6.1"].version == pinned.version


def real_patch(kernel: Kernel, target: Path, name: str, old: str, new: str) -> Path:
    """A diff of a fetched file, made here so that no line of it lies in this repository."""
    before = (kernel.root / "src" / name).read_text()
    assert old in before
    target.write_text(unified_diff({name: (before, before.replace(old, new, 1))}))
    return target


def test_a_patch_to_spte_h_is_a_matter_of_seconds(
    pinned: Kernel, tmp_path: Path, said: Said, cache: Cache
) -> None:
    name = "arch/x86/kvm/mmu/spte.h"
    patch = real_patch(pinned, tmp_path / "fix.patch", name, "#define SPTE_", "/* here */\n#define SPTE_")
    kernel = open_kernel("6.1", [patch], progress=said)
    assert kernel.title == "6.1 + fix.patch"
    assert not said.mentions("configuring")
    assert kernel.fingerprint != pinned.fingerprint
    assert kernel.compile(["arch/x86/kvm/mmu/spte.c"], tmp_path / "out")
    shifted = patch.read_text().replace("\n-", "\n-not ").replace("\n ", "\n not ")
    patch.write_text(shifted)
    with pytest.raises(
        ConformanceError, match=rf"6.1: patch fix.patch: hunk 1 does not apply to {name} \(line \d+\)"
    ):
        open_kernel("6.1", [patch])


def test_a_patch_to_one_file_compiles_one_file(pinned: Kernel, tmp_path: Path) -> None:
    objects = Cache(tmp_path / "cache")
    units = [f"arch/x86/kvm/mmu/{name}" for name in MMU]
    name = "arch/x86/kvm/mmu/tdp_iter.c"
    patch = real_patch(pinned, tmp_path / "fix.patch", name, "iter->valid = true", "iter->valid = 2")
    patched = open_kernel("6.1", [patch])
    for kernel, kept in (pinned, 4), (pinned, 4), (patched, 5):
        made = kernel.compile(units, tmp_path / kernel.fingerprint, reuse=objects)
        assert [path.stat().st_size > 0 for path in made] == [True] * 4
        assert len(objects.entries("object")) == kept
    # Neither headers nor flags may be considered equal.
    pinned.compile(units, tmp_path / "flag", flags=["-DX"], reuse=objects)
    assert len(objects.entries("object")) == 9
    patch = real_patch(pinned, tmp_path / "h.patch", "arch/x86/kvm/mmu/spte.h", "#ifndef", "/* */\n#ifndef")
    open_kernel("6.1", [patch]).compile(units, tmp_path / "header", reuse=objects)
    assert len(objects.entries("object")) == 13


def test_a_version_that_never_was(cache: Cache) -> None:
    with pytest.raises(ConformanceError, match=r"has no such version. Of 6\.1 it has 6\.1\."):
        open_kernel("debian:6.1.1-99", cache=cache)


def test_every_suite_is_looked_through(cache: Cache, said: Said) -> None:
    offers = catalogue(cache, said)
    assert {"sid", "experimental"} <= {offer.suite for offer in offers}
    newest_there = ascending(offer.version for offer in offers if offer.package == "linux-source-6.12")[-1]
    assert resolved(Debian("6.12"), "debian:6.12", cache, said) == newest_there


def test_a_vendored_kernel_is_the_same(pinned: Kernel, tmp_path: Path) -> None:
    lay_out(pinned.root, "6.1", pinned.version, tmp_path)
    laid = vendored("6.1", tmp_path)
    assert laid is not None
    assert (laid.version, laid.edited) == (pinned.version, None)


def test_a_tree_and_its_revision(
    tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    """The package unpacked again: the tree, the revision and the package are the same kernel."""
    from conformance.kernels import debian

    def keep_it(deb: Path, into: Path) -> None:
        debian_stage(deb, into)
        shutil.copytree(into, tmp_path / "linux")

    debian_stage = debian.stage_package
    monkeypatch.setattr(debian, "stage_package", keep_it)
    monkeypatch.setattr(debian, "vendored", lambda series: None)
    package = open_kernel("6.1", cache=cache, progress=said)
    tree = tmp_path / "linux"
    git(tree, "init", "-q")
    git(tree, "add", "-A", "-f")
    git(tree, "commit", "-qm", "one")
    before = snapshot(tree)
    on_disk = open_kernel(f"tree:{tree}", cache=cache, progress=said)
    revision = open_kernel(f"tree:{tree}@HEAD", cache=cache, progress=said)
    assert snapshot(tree) == before
    assert package.fingerprint == on_disk.fingerprint == revision.fingerprint
    header = tree / "arch/x86/kvm/mmu/spte.h"
    header.write_text(header.read_text() + "\n/* more */\n")
    said.clear()
    edited = open_kernel(f"tree:{tree}", cache=cache, progress=said)
    assert edited.fingerprint != on_disk.fingerprint
    assert not said.mentions("configuring")
