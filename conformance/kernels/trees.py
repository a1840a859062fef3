# SPDX-License-Identifier: GPL-2.0-only
"""Kernels from a local source tree: as it is on disk, or a revision of its repository.

The files that were read are recorded with their digests. So the next run detects changes in a few
milliseconds, and prepares again only if one concerns preparing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from conformance.errors import ConformanceError
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.kernel import read_facts
from conformance.kernels.manifest import Manifest, Stamp, file_digest, stamp
from conformance.kernels.prepare import MissingHeader, closure, release_of, whole_folders
from conformance.kernels.recipe import SEARCHED
from conformance.kernels.repositories import Repository
from conformance.kernels.selector import SERIES, Tree
from conformance.kernels.sources import Base, conditions, digest_of, fill, keep
from conformance.kernels.staging import Wanted, copy_folder, list_tree, stage_files, stage_revision, wanted
from conformance.kernels.tools import Progress, require

__all__ = ["beyond", "changed_beyond", "open_tree"]

KIND = "tree"
KEEP = 16
_NOTE = {"entry": str, "files": {str: [object]}, "folders": {str: (str, int)}}
"""The shape of the note on an entry's sources: files with digest and stamp, directories with names and
date."""


def open_tree(tree: Tree, title: str, cache: Cache, progress: Progress) -> Base:
    """The prepared kernel of a tree or of a revision; the tree is not written to."""
    path = tree.path
    if not path.exists():
        raise ConformanceError(f"{title}: there is no directory {path}.")
    if not path.is_dir():
        raise ConformanceError(f"{title}: {path} is not a directory.")
    require(["git"], "Using a tree")
    path = path.resolve()
    return (
        on_disk(path, title, cache, progress)
        if tree.revision is None
        else revision(tree, title, cache, progress)
    )


def base(root: Path, stage: Any, path: Path, name: str = "") -> Base:
    """The Base of a prepared tree: of its state on disk, or of the named git tree object."""
    facts = read_facts(root)
    series = ".".join(map(str, facts["release"]))
    version = f"{facts['version']} (tree)"
    return Base(
        root,
        series if series in SERIES else None,
        version,
        None,
        stage,
        name or str(path),
        None if name else path,
        partial(blob_of, path),
    )


def blob_of(path: Path, name: str) -> bytes | None:
    """The content of a blob in the tree's repository, or None."""
    repository = Repository(path)
    if not repository.exists:
        return None
    found = repository.ask("cat-file", "blob", name)
    return None if found.returncode else found.stdout.encode("utf-8", "surrogateescape")


def revision(tree: Tree, title: str, cache: Cache, progress: Progress) -> Base:
    """The prepared kernel of a revision, keyed by its git tree object."""
    repository = Repository(tree.path)

    def ask(*words: str) -> tuple[int, str]:
        done = repository.ask(*words)
        return done.returncode, done.stdout.strip()

    if not repository.exists:
        raise ConformanceError(
            f"{title}: {tree.path} is no git repository. Use tree:{tree.path} for it as it is on disk."
        )
    prefix = repository.prefix
    status, name = ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{tree.revision}^{{tree}}")
    if status:
        raise ConformanceError(f"{title}: the repository in {tree.path} has no revision {tree.revision}.")
    if prefix:
        status, name = ask("rev-parse", "--verify", "--quiet", f"{name}:{prefix.rstrip('/')}")
        if status:
            raise ConformanceError(f"{title}: revision {tree.revision} has no directory {prefix}.")

    def stage(into: Path, scratch: Path, which: Wanted = wanted) -> None:
        progress(f"{title}: laying out the revision")
        stage_revision(repository, name, into, scratch, which)

    root = cache.get_or_build(
        KIND,
        key_of("revision", name, *conditions()),
        lambda entry: fill(entry, title, stage, (), progress),
        what=title,
        keep=KEEP,
        progress=progress,
    )
    status, commit = ask(
        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{tree.revision}^{{commit}}"
    )
    return replace(base(root, stage, tree.path, name), commit="" if status else commit)


def on_disk(path: Path, title: str, cache: Cache, progress: Progress) -> Base:
    """The prepared kernel of a tree in its current state on disk."""

    def stage(into: Path, scratch: Path, which: Wanted = wanted) -> None:
        progress(f"{title}: laying out the tree")
        stage_files(path, list_tree(path, scratch, which=which), into)

    key = key_of(path, *conditions())
    root = unchanged(path, key, cache, progress)
    if root is None:
        release_of(path, title)
        with (
            cache.writing(),
            cache.lock("trees", key, title, progress),
            cache.temporary(f"trees-{key}") as scratch,
        ):
            root = (
                unchanged(path, key, cache, progress)
                or refreshed(path, key, title, cache, scratch, progress)
                or prepared(path, key, title, cache, scratch, progress)
            )
    return base(root, stage, path)


def unchanged(path: Path, key: str, cache: Cache, progress: Progress) -> Path | None:
    """The entry that was made from the tree, if none of the files that it read has changed since."""
    note = cache.read_note("tree", key, _NOTE)
    if not note or changes(path, note):
        return None
    if note.pop("touched", False):
        cache.write_note("tree", key, note)
    return cache.find(KIND, note["entry"], progress=progress)


def changes(path: Path, note: dict[str, Any]) -> set[str]:
    """The files and directories that differ from the note; updates the stamps of unchanged ones."""
    changed: set[str] = set()
    for name, (digest, *known) in note["files"].items():
        full = f"{path}/{name}"
        try:
            now = stamp(os.stat(full))
            if list(now) != known:
                if file_digest(full) != digest:
                    changed.add(name)
                else:
                    note["files"][name] = [digest, *now]
                    note["touched"] = True
        except OSError:
            changed.add(name)
    for name, (names, when) in note["folders"].items():
        date, listing = folder_state(path, name, when, names)
        if listing != names:
            changed.add(name)
        elif date != when:
            note["folders"][name] = [names, date]
            note["touched"] = True
    return changed


def folder_state(path: Path, name: str, when: int = -1, names: str = "") -> tuple[int, str]:
    """A directory's date and the names of its sources (the given names if unchanged since `when`)."""
    try:
        now = os.stat(path / name).st_mtime_ns
        if now == when:
            return now, names
        found = sorted(entry for entry in os.listdir(path / name) if entry.endswith((".c", ".h")))
    except OSError:
        return -1, ""
    return now, key_of(*found)


def looked_in(files: Iterable[str]) -> set[str]:
    """The directories of the files that were read, and those in which a file could precede one of them."""
    folders = {os.path.dirname(name) for name in files}
    below = {
        folder.removeprefix(f"{place}/")
        for place in SEARCHED
        for folder in folders
        if folder.startswith(f"{place}/")
    }
    return folders | {*SEARCHED} | {f"{place}/{folder}" for place in SEARCHED for folder in below}


def take_note(path: Path, key: str, cache: Cache, root: Path, entry: str, before: dict[str, Stamp]) -> None:
    """Record the sources of an entry: its files, and those that preparing read, stamped before reading."""
    manifest = Manifest.load(root)
    digests = dict(read_facts(root)["inputs"])
    digests.update((n.removeprefix("src/"), d) for n, d in manifest.digests.items() if n.startswith("src/"))
    files = {
        name: [digest, *before.get(name, ())] for name, digest in digests.items() if not name.endswith("/")
    }
    folders = looked_in(files) | {name.rstrip("/") for name in digests if name.endswith("/")}
    listing = {name: [*reversed(folder_state(path, name))] for name in sorted(folders)}
    cache.write_note("tree", key, {"entry": entry, "files": files, "folders": listing})


def beyond(base: Base, laid: Mapping[str, str]) -> dict[str, Any]:
    """The files of a tree that are read because of patches, to be recorded for `changed_beyond`."""
    known = read_facts(base.root)["inputs"].keys()
    names = {name: digest for name, digest in laid.items() if name not in known and not base.has(name)}
    assert base.tree is not None
    folders = {name: folder_state(base.tree, name)[1] for name in sorted(looked_in(names))}
    return {"files": names, "folders": folders if names else {}}


def changed_beyond(tree: Path, noted: Mapping[str, Any]) -> bool:
    """Whether files that are read because of patches differ from the record."""
    return any(digest_of(tree / name) != digest for name, digest in noted["files"].items()) or any(
        folder_state(tree, name)[1] != names for name, names in noted["folders"].items()
    )


def stamps(path: Path, names: Iterable[str]) -> dict[str, Stamp]:
    """The stamps of those files that exist."""
    return {name: stamp(os.stat(path / name)) for name in names if (path / name).is_file()}


def refreshed(
    path: Path, key: str, title: str, cache: Cache, scratch: Path, progress: Progress
) -> Path | None:
    """A new entry from an earlier one of this tree, if nothing that preparing depends on has changed."""
    note = cache.read_note("tree", key, _NOTE)
    old = cache.find(KIND, note["entry"]) if note else None
    if old is None:
        return None
    facts = read_facts(old)
    wrapped = {name.rstrip("/") for name in facts["inputs"] if name.endswith("/")}
    if changes(path, note) & (facts["inputs"].keys() | wrapped):
        return None
    progress(f"{title}: the tree has changed; collecting headers")
    try:
        names = closure(path, old / "gen", title)
    except MissingHeader:
        return None
    names |= whole_folders(list_tree(path, scratch, "arch/x86/kvm", "virt/kvm", "tools/testing/kunit"))
    before = stamps(path, [*names, *facts["inputs"], "Makefile"])
    copy = scratch / "copy"
    copy.mkdir()
    keep(copy, path, names, facts["inputs"], title)
    entry = key_of("files", Manifest.take(copy).digest(), Manifest.load(old).digest(("gen/",)), *conditions())

    def build(place: Path) -> None:
        for item in copy.iterdir():
            item.rename(place / item.name)
        copy_folder(old / "gen", place / "gen")

    root = cache.get_or_build(KIND, entry, build, what=title, keep=KEEP, progress=progress)
    take_note(path, key, cache, root, entry, before)
    return root


def prepared(path: Path, key: str, title: str, cache: Cache, scratch: Path, progress: Progress) -> Path:
    """An entry for a new tree, or one in which something changed that preparing depends on."""
    progress(f"{title}: laying out the tree")
    names = list_tree(path, scratch)
    before = stamps(path, names)
    copy = scratch / "laid"
    copy.mkdir()
    stage_files(path, names, copy)
    entry = key_of("whole", Manifest.take(copy).digest(), *conditions())

    def stage(into: Path, _: Path) -> None:
        into.rmdir()
        copy.rename(into)

    root = cache.get_or_build(
        KIND,
        entry,
        lambda place: fill(place, title, stage, (), progress),
        what=title,
        keep=KEEP,
        progress=progress,
    )
    take_note(path, key, cache, root, entry, before)
    return root
