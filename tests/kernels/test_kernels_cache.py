# SPDX-License-Identifier: GPL-2.0-only
"""Entries are complete or absent; damaged ones are rebuilt; two runs at once build an entry once."""

import errno
import multiprocessing
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.kernels.manifest import MANIFEST
from conformance.kernels.notes import fits


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
    """The same size, and the old date: only ctime differs."""
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


@pytest.mark.parametrize("home", ["~/cache", "~a-user-that-there-is-not/cache"])
def test_a_home_that_does_not_exist(monkeypatch, home: str) -> None:
    monkeypatch.setenv("CONFORMANCE_CACHE", home)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
    with pytest.raises(ConformanceError, match=r"^There is no place for the cache: .* Set CONFORMANCE_CACHE"):
        Cache()


def refused(cache: Cache, builder=build) -> str:
    with pytest.raises(ConformanceError) as refusal:
        cache.get_or_build("kind", "key", builder)
    told = str(refusal.value)
    assert str(cache.root) in told and "\n" not in told
    return told


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    assert "File name too long" in refused(Cache(tmp_path / ("x" * 300)))
    assert "File name too long" in refused(Cache(Path("/" + "x/" * 2100)))


@pytest.mark.parametrize("at", ["locks", "locks/kind-key.lock", "tmp", "kind"])
def test_something_else_lies_where_the_cache_writes(cache: Cache, at: str) -> None:
    place = cache.root / at
    if at.endswith(".lock"):
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    assert f"cannot be written ({at}" in refused(cache)


def test_a_directory_that_cannot_be_made() -> None:
    assert "No such file or directory" in refused(Cache(Path("/proc/nothing")))


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "Set CONFORMANCE_CACHE" in refused(Cache(tmp_path / "loop"))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE, errno.EINVAL])
def test_any_error_of_a_file_of_the_cache_is_a_sentence(cache: Cache, number: int) -> None:
    def fail(entry: Path) -> None:
        raise OSError(number, "why", str(entry / "file"))

    assert os.strerror(number) in refused(cache, fail)


def test_errors_outside_the_cache_propagate(cache: Cache) -> None:
    def fail(entry: Path) -> None:
        raise OSError(errno.EACCES, "why", "/elsewhere")

    with pytest.raises(PermissionError):
        cache.get_or_build("kind", "key", fail)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_a_tree_is_copied(cache: Cache, tmp_path: Path, number: int) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from/a").write_text("x")

    def full(source: str, target: str) -> None:
        raise OSError(number, os.strerror(number), target)

    def fail(entry: Path) -> None:
        shutil.copytree(tmp_path / "from", entry / "to", copy_function=full)

    assert "The disk is full" in refused(cache, fail)


SMALL = """
from pathlib import Path
import subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", sys.argv[1]], check=True)
from conformance.errors import ConformanceError
from conformance.kernels import Cache

def build(entry):
    (entry / "a").write_bytes(bytes(1 << 20))

cache = Cache(Path(sys.argv[1]) / "cache")
try:
    cache.get_or_build("kind", "key", build)
except ConformanceError as problem:
    print(problem)
Path(sys.argv[1], "fill").open("wb", buffering=0).write(bytes(1 << 20))
cache.write_note("note", "key", 1)
for _ in range(100):
    try:
        cache.get_or_build("kind", "key", lambda entry: None)
    except ConformanceError as problem:
        print(problem)
        break
    Path(sys.argv[1], f"fill{_}").touch()
subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]], check=True)
try:
    cache.get_or_build("kind", "other", build)
except ConformanceError as problem:
    print(problem)
cache.write_note("note", "key", 1)
"""


def test_a_real_tmpfs_that_is_full_and_then_read_only(tmp_path: Path) -> None:
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("there are no user namespaces here")
    done = subprocess.run(
        [*command, sys.executable, "-c", SMALL, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith(f"The disk is full at {tmp_path}/cache. ")
    assert "Read-only file system" in last and "Set CONFORMANCE_CACHE" in last


@pytest.mark.parametrize("folder", ["\xfcml\xe4ut", "a b'\"$"])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
@pytest.mark.parametrize("utf8", ["0", "1"])
def test_a_path_with_umlauts_in_any_locale(tmp_path: Path, folder: str, locale: str, utf8: str) -> None:
    place = tmp_path / folder
    cache = Cache(place)
    cache.get_or_build("kind", "key", build)
    done = subprocess.run(
        [sys.executable, "-m", "conformance", "kernels", "list"],
        env=os.environ
        | {"CONFORMANCE_CACHE": str(place), "LC_ALL": locale, "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_path_that_is_not_utf_8(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONFORMANCE_CACHE", os.fsdecode(os.fsencode(tmp_path) + b"/\xfc"))
    with pytest.raises(ConformanceError, match=r"which is not UTF-8\. Set CONFORMANCE_CACHE"):
        Cache()


def test_notes(cache: Cache) -> None:
    assert cache.read_note("note", "key") is None
    cache.write_note("note", "key", {"a": 1})
    assert cache.read_note("note", "key") == {"a": 1}
    assert cache.read_note("note", "key", {"a": str}) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"digest": 1, "value": 2}',
     b"1" * 5000, b'{"digest": "", "value": "1"}', b"\0" * 4096],
)  # fmt: skip
def test_a_damaged_note_is_ignored(cache: Cache, content: bytes) -> None:
    cache.write_note("note", "key", {"a": 1})
    (cache.root / "notes/note-key.json").write_bytes(content)
    assert cache.read_note("note", "key") is None


def test_no_changed_byte_of_a_note_is_believed(cache: Cache) -> None:
    cache.write_note("note", "key", {"a": [1, "x"]})
    path = cache.root / "notes/note-key.json"
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            assert cache.read_note("note", "key") in (None, {"a": [1, "x"]})


@pytest.mark.parametrize(
    ("value", "shape", "does"),
    [
        (1, float, True),
        (True, float, False),
        (True, bool, True),
        (True, int, False),
        ([1, 2], [int], True),
        ([1, "2"], [int], False),
        ([1, "2"], (int, str), True),
        ([1], (int, str), False),
        ({"a": 1, "b": []}, {"a": int}, True),
        ({"b": 1}, {"a": int}, False),
        ({"x": [True]}, {str: [bool]}, True),
        ({"x": [None]}, {str: [bool]}, False),
        ([], {str: int}, False),
        (None, object, True),
    ],
)
def test_shapes_of_notes(value, shape, does: bool) -> None:
    assert fits(value, shape) is does


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[]", b'{"digest": 1, "digests": [], "stamps": {}}'])
def test_a_manifest_of_any_shape(cache: Cache, content: bytes) -> None:
    path = cache.get_or_build("kind", "key", build)
    (path / MANIFEST).write_bytes(content)
    assert cache.find("kind", "key") is None


def test_a_note_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("")
    Cache(tmp_path).write_note("note", "key", 1)
    assert Cache(tmp_path).read_note("note", "key") is None
