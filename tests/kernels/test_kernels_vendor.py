# SPDX-License-Identifier: GPL-2.0-only
"""A vendored kernel takes precedence, needs no network, and is reported if it was edited."""

import dataclasses
from pathlib import Path

import pytest
from kernel_samples import Said

from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, debian, open_kernel
from conformance.kernels.pins import core_digests, pins
from conformance.kernels.vendor import lay_out, vendored


@pytest.fixture
def laid(tree: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """The fake tree, vendored as the pinned 6.1; the archive is unreachable."""
    kernel = open_kernel(f"tree:{tree}", cache=cache)
    place = tmp_path / "vendor"
    place.mkdir()
    lay_out(kernel.root, "6.1", "6.1.7-1", place)
    monkeypatch.setattr(debian, "vendored", lambda series: vendored(series, place))
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", "http://127.0.0.1:1/debian")
    pinned = {"6.1": dataclasses.replace(pins()["6.1"], version="6.1.7-1", core=core_digests(tree))}
    monkeypatch.setattr(debian, "pins", lambda: pinned)
    return kernel


def test_it_is_used_without_network(laid: Kernel, tmp_path: Path, said: Said) -> None:
    kernel = open_kernel("6.1", cache=Cache(tmp_path / "empty"), progress=said)
    assert kernel.root == tmp_path / "vendor/6.1"
    assert (kernel.version, kernel.drift, kernel.series) == ("6.1.7-1", None, "6.1")
    assert kernel.fingerprint == laid.fingerprint
    assert said == []
    assert kernel.compile(["arch/x86/kvm/mmu/spte.c"], tmp_path / "out")[0].is_file()


def test_an_edited_one_is_reported(laid: Kernel, tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "vendor/6.1/src/include/linux/one.h").write_text("#define ONE 7\n")
    kernel = open_kernel("6.1", cache=cache)
    assert kernel.drift is not None
    assert "was edited: src/include/linux/one.h" in kernel.drift
    assert kernel.fingerprint != laid.fingerprint


def test_an_incomplete_one_is_an_error(laid: Kernel, tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "vendor/6.1/src/include/linux/one.h").unlink()
    with pytest.raises(ConformanceError, match=r"lay it out again with: conformance kernels vendor 6\.1"):
        open_kernel("6.1", cache=cache)
    (tmp_path / "vendor/6.1/.manifest.json").unlink()
    with pytest.raises(ConformanceError, match="lay it out again"):
        open_kernel("6.1", cache=cache)


def test_an_older_one_is_drift(laid: Kernel, tmp_path: Path, cache: Cache) -> None:
    lay_out(laid.root, "6.1", "6.1.6-1", tmp_path / "vendor")
    drift = open_kernel("6.1", cache=cache).drift
    assert drift is not None
    assert drift.startswith("This is the vendored 6.1.6-1; pinned is 6.1.7-1, whose")
    assert [path.name for path in (tmp_path / "vendor").iterdir()] == ["6.1"]
