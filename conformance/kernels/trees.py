# SPDX-License-Identifier: GPL-2.0-only
"""Kernels from a source tree on this machine: as it is on disk, or a revision of its repository.

What was read of a tree is noted with its digests, so that the next run sees in a few milliseconds whether
anything changed, and prepares again only if something did that preparing depends on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
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
from conformance.kernels.staging import copy_folder, list_tree, stage_files, stage_revision
from conformance.kernels.tools import Progress, require

__all__ = ["beyond", "changed_beyond", "open_tree"]

KIND = "tree"
KEEP = 16
_NOTE = {"entry": str, "files": {str: [object]}, "folders": {str: (str, int)}}
"""The note of what an entry was made of: files with digest and stamp, folders with their names and a date."""


def open_tree(tree: Tree, title: str, cache: Cache, progress: Progress) -> Base:
    """The prepared kernel of a tree or of a revision; neither is written to."""
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
    """The Base of a prepared tree as it is on disk, or of the git tree object of a name."""
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
    """The content of a blob that the tree's repository has; None if there is none."""
    repository = Repository(path)
    if not repository.exists:
        return None
    found = repository.ask("cat-file", "blob", name)
    return None if found.returncode else found.stdout.encode("utf-8", "surrogateescape")


def revision(tree: Tree, title: str, cache: Cache, progress: Progress) -> Base:
    """The prepared kernel of a revision, found again by the name of its git tree object."""
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

    def stage(into: Path, scratch: Path) -> None:
        progress(f"{title}: laying out the revision")
        stage_revision(repository, name, into, scratch)

    root = cache.get_or_build(
        KIND,
        key_of("revision", name, *conditions()),
        lambda entry: fill(entry, title, stage, (), progress),
        what=title,
        keep=KEEP,
        progress=progress,
    )
    return base(root, stage, tree.path, name)


def on_disk(path: Path, title: str, cache: Cache, progress: Progress) -> Base:
    """The prepared kernel of a tree as it is on disk now."""

    def stage(into: Path, scratch: Path) -> None:
        progress(f"{title}: laying out the tree")
        stage_files(path, list_tree(path, scratch), into)

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
    """The entry that was made of the tree, if nothing that it read has changed since."""
    note = cache.read_note("tree", key, _NOTE)
    if not note or changes(path, note):
        return None
    if note.pop("touched", False):
        cache.write_note("tree", key, note)
    return cache.find(KIND, note["entry"], progress=progress)


def changes(path: Path, note: dict[str, Any]) -> set[str]:
    """The files and folders that are no longer as noted; new stamps of equal files are put into the note."""
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
    """When a folder last changed, and the names of the sources in it (as given if unchanged since `when`)."""
    try:
        now = os.stat(path / name).st_mtime_ns
        if now == when:
            return now, names
        found = sorted(entry for entry in os.listdir(path / name) if entry.endswith((".c", ".h")))
    except OSError:
        return -1, ""
    return now, key_of(*found)


def looked_in(files: Iterable[str]) -> set[str]:
    """The folders of files that were read, and those where a file would stand in front of one of them."""
    folders = {os.path.dirname(name) for name in files}
    below = {
        folder.removeprefix(f"{place}/")
        for place in SEARCHED
        for folder in folders
        if folder.startswith(f"{place}/")
    }
    return folders | {*SEARCHED} | {f"{place}/{folder}" for place in SEARCHED for folder in below}


def take_note(path: Path, key: str, cache: Cache, root: Path, entry: str, before: dict[str, Stamp]) -> None:
    """Note what an entry was made of: its files and what preparing read, stamped before it was read."""
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
    """Files of a tree that are read because of patches: to be noted for `changed_beyond`."""
    known = read_facts(base.root)["inputs"].keys()
    names = {name: digest for name, digest in laid.items() if name not in known and not base.has(name)}
    assert base.tree is not None
    folders = {name: folder_state(base.tree, name)[1] for name in sorted(looked_in(names))}
    return {"files": names, "folders": folders if names else {}}


def changed_beyond(tree: Path, noted: Mapping[str, Any]) -> bool:
    """Whether files that patches made be read are no longer as noted."""
    return any(digest_of(tree / name) != digest for name, digest in noted["files"].items()) or any(
        folder_state(tree, name)[1] != names for name, names in noted["folders"].items()
    )


def stamps(path: Path, names: Iterable[str]) -> dict[str, Stamp]:
    """The stamps of files that exist."""
    return {name: stamp(os.stat(path / name)) for name in names if (path / name).is_file()}


def refreshed(
    path: Path, key: str, title: str, cache: Cache, scratch: Path, progress: Progress
) -> Path | None:
    """A new entry from an earlier one of this tree, if nothing changed that preparing depends on."""
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
    """An entry for a tree that was not seen before, or has changed in what preparing depends on."""
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
