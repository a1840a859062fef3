# SPDX-License-Identifier: GPL-2.0-only
"""Entries are whole or not there; whatever is damaged is made again; two runs at once make an entry once."""

import errno
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.kernels.manifest import MANIFEST


def build(entry: Path) -> None:
    (entry / "folder").mkdir()
    (entry / "folder/a.h").write_text("content")
    (entry / "b").write_bytes(b"\0" * 1000)


def leftovers(cache: Cache) -> list[str]:
    return sorted(path.name for path in (cache.root / "tmp").iterdir())


def test_built_once(cache: Cache) -> None:
    path = cache.get_or_build("kind", "key", build)
    assert path == cache.entry("kind", "key") == cache.find("kind", "key")

    def never(entry: Path) -> None:
        raise AssertionError

    assert cache.get_or_build("kind", "key", never) == path
    assert cache.find("kind", "other") is None
    assert leftovers(cache) == []


def truncate(path: Path) -> None:
    (path / "b").write_bytes(b"")


def vanish(path: Path) -> None:
    (path / "folder/a.h").unlink()


def edit_and_hide_it(path: Path) -> None:
    """The same size, and the date put back: only the change time tells."""
    file = path / "folder/a.h"
    before = file.stat()
    file.write_text("CONTENT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def add(path: Path) -> None:
    (path / "folder/c.h").write_text("more")


def no_manifest(path: Path) -> None:
    (path / MANIFEST).unlink()


def half_a_manifest(path: Path) -> None:
    manifest = path / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:50])


def lying_manifest(path: Path) -> None:
    manifest = path / MANIFEST
    manifest.write_text(manifest.read_text().replace("folder/a.h", "folder/z.h"))


def empty_it(path: Path) -> None:
    for file in [*path.rglob("*")]:
        if file.is_file():
            file.unlink()


@pytest.mark.parametrize(
    "damage",
    [truncate, vanish, edit_and_hide_it, add, no_manifest, half_a_manifest, lying_manifest, empty_it],
)
def test_damage_is_noticed_and_repaired(cache: Cache, damage, said) -> None:
    path = cache.get_or_build("kind", "key", build)
    damage(path)
    assert cache.find("kind", "key") is None
    assert cache.get_or_build("kind", "key", build, progress=said) == path
    assert said.mentions("damaged")
    assert (path / "folder/a.h").read_text() == "content"
    assert cache.find("kind", "key") == path
    assert leftovers(cache) == []


def test_a_copied_cache_is_as_good(cache: Cache, tmp_path: Path) -> None:
    cache.get_or_build("kind", "key", build)
    shutil.copytree(cache.root, tmp_path / "copy", copy_function=shutil.copyfile)
    assert Cache(tmp_path / "copy").find("kind", "key")


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt, ConformanceError])
def test_nothing_half_made_stays(cache: Cache, trouble: type[BaseException]) -> None:
    def fail(entry: Path) -> None:
        build(entry)
        (entry.parent / "scratch").write_text("x")
        raise trouble

    with pytest.raises(trouble):
        cache.get_or_build("kind", "key", fail)
    assert not cache.entry("kind", "key").exists()
    assert leftovers(cache) == []


def test_a_full_disk_is_a_sentence(cache: Cache) -> None:
    def fill(entry: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ConformanceError, match="disk is full"):
        cache.get_or_build("kind", "key", fill)
    assert leftovers(cache) == []


def test_an_unusable_directory_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConformanceError, match="CONFORMANCE_CACHE"):
        Cache(tmp_path / "file").get_or_build("kind", "key", build)


def test_what_a_killed_run_left_is_swept(cache: Cache) -> None:
    for name in ("kind-key-abc", "kind-other-abc"):
        (cache.root / "tmp" / name).mkdir(parents=True)
    cache.get_or_build("kind", "key", build)
    assert leftovers(cache) == []


def test_what_a_living_run_makes_is_not_swept(cache: Cache) -> None:
    def outer(entry: Path) -> None:
        cache.get_or_build("kind", "inner", build)
        build(entry)

    cache.get_or_build("kind", "outer", outer)
    assert cache.find("kind", "outer")
    assert cache.find("kind", "inner")


def slow(entry: Path) -> None:
    with open(entry.parents[3] / "builds", "a") as file:
        file.write("x")
    time.sleep(0.3)
    build(entry)


def ask(root: Path) -> None:
    Cache(root).get_or_build("kind", "key", slow)


def test_processes_at_once_build_once(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=ask, args=(root,)) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0] * 4
    assert (tmp_path / "builds").read_text() == "x"
    assert Cache(root).find("kind", "key")


def test_pruning_takes_the_longest_unused_but_none_in_use(cache: Cache) -> None:
    for number in range(4):
        cache.get_or_build("kind", str(number), build)
    for number in (0, 1):
        old = time.time() - 10_000 + number
        os.utime(cache.entry("kind", str(number)), (old, old))
    cache.get_or_build("kind", "4", build, keep=3)
    assert sorted(path.name for path in cache.entries("kind")) == ["2", "3", "4"]
    cache.get_or_build("kind", "5", build, keep=1)
    assert len(cache.entries("kind")) == 4


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CONFORMANCE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Cache().root == tmp_path / "conformance"
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "mine"))
    assert Cache().root == tmp_path / "mine"


def test_notes(cache: Cache) -> None:
    assert cache.read_note("note", "key") is None
    cache.write_note("note", "key", {"a": 1})
    assert cache.read_note("note", "key") == {"a": 1}
    (cache.root / "notes/note-key.json").write_text("{")
    assert cache.read_note("note", "key") is None
