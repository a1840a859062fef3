# SPDX-License-Identifier: GPL-2.0-only
"""The cache of prepared kernels and built oracles: an entry is complete or does not exist.

An entry is a directory <root>/<kind>/<key>. It is built in a temporary directory on the same file system and
renamed into place, under its own lock, with a manifest that reveals damage. The key must contain everything
on which the content depends.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from conformance.errors import ConformanceError
from conformance.kernels import scratch
from conformance.kernels.manifest import Manifest
from conformance.kernels.notes import ANY, noted, reading
from conformance.kernels.reading import read_file
from conformance.kernels.tools import DISK_FULL, Progress, disk_full, quiet

__all__ = ["Builder", "Cache", "key_of", "temporary"]

Builder = Callable[[Path], object]
"""Fills the empty directory that it is given. The parent directory is private too and is removed afterwards:
it is for scratch files."""

# Seconds during which another run may still be reading an entry that it requested.
IN_USE = 3600.0


MOST_NOTE = 64 << 20
"""The largest size of a note in bytes; those of trees have 2 MB."""


def key_of(*parts: object) -> str:
    """The key for everything on which an entry depends: 32 hex digits."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).hexdigest()[:32]


@contextlib.contextmanager
def temporary(name: str) -> Iterator[Path]:
    """A directory in the user's cache that is removed at the end; ``name`` is its purpose.

    Raises ConformanceError if it cannot be made, or its disk is full.
    """
    cache = Cache()
    with cache.writing(), cache.temporary(name) as place:
        yield place


_OF_THE_SYSTEM = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
"""Errors that do not concern a directory: a limit of the system was reached."""


def _errnos(trouble: OSError) -> set[int]:
    """The errnos in an exception; shutil.Error holds many, as text."""
    if isinstance(trouble, shutil.Error):
        return {int(number) for number in re.findall(r"\[Errno ([0-9]{1,4})\]", str(trouble))}
    return set() if trouble.errno is None else {trouble.errno}


class Cache:
    """The cache below one directory: by default the user's cache directory, or $CONFORMANCE_CACHE."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root.expanduser().absolute() if root else scratch.cache_root()

    def entry(self, kind: str, key: str) -> Path:
        """The path of an entry, whether or not it exists."""
        return self.root / kind / key

    def has(self, kind: str, key: str) -> bool:
        """Whether the entry exists, damaged or not."""
        with self.telling():
            return self.entry(kind, key).is_dir()

    def find(self, kind: str, key: str, *, progress: Progress = quiet) -> Path | None:
        """The entry if it exists and is undamaged, else None; damage is reported as progress."""
        path = self.entry(kind, key)
        if not self.has(kind, key):
            return None
        try:
            manifest = Manifest.load(path)
            known = dict(manifest.stamps)
            wrong = manifest.differences(path)
        except (ValueError, OSError) as trouble:
            progress(f"The cache entry {kind}/{key} is damaged ({trouble}); making it again.")
            return None
        if wrong:
            name, how = next(iter(sorted(wrong.items())))
            progress(f"The cache entry {kind}/{key} is damaged ({name} is {how}); making it again.")
            return None
        with contextlib.suppress(OSError):
            if manifest.stamps != known:
                manifest.save(path)
            os.utime(path)
        return path

    def get_or_build(
        self,
        kind: str,
        key: str,
        builder: Builder,
        *,
        what: str = "",
        keep: int | None = None,
        progress: Progress = quiet,
    ) -> Path:
        """The entry, built by `builder` if it is missing or damaged.

        If several processes request it at once, one builds it and the others wait. If the builder raises,
        nothing is left behind and the exception propagates. `keep` limits the number of entries of this kind:
        the least recently used are removed, but never one used in the last hour. `what` names the entry in
        messages to a waiting user.
        """
        found = self.find(kind, key)
        if found is not None:
            return found
        with self.writing(), self.lock(kind, key, what or f"{kind}/{key}", progress):
            found = self.find(kind, key, progress=progress)
            if found is not None:
                return found
            self.sweep()
            path = self.entry(kind, key)
            with self.temporary(f"{kind}-{key}") as place:
                fresh = place / "entry"
                fresh.mkdir()
                builder(fresh)
                Manifest.take(fresh).save(fresh)
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    path.rename(place / "damaged")
                fresh.rename(path)
            if keep is not None:
                self.prune(kind, keep)
        return path

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Create the cache's directory; its OSErrors become ConformanceErrors."""
        with self.telling():
            self.root.mkdir(parents=True, exist_ok=True)
            yield

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Turn OSErrors about files in the cache into ConformanceErrors; others propagate."""
        try:
            yield
        except OSError as trouble:
            numbers = _errnos(trouble)
            if numbers & DISK_FULL:
                raise disk_full(self.root) from None
            place = self._place(trouble)
            missing = errno.ENOENT in numbers and place != ""  # A file that was created there is gone.
            if place is None or missing or numbers <= _OF_THE_SYSTEM:
                raise
            why = ", ".join(map(os.strerror, sorted(numbers)))
            raise ConformanceError(
                f"The cache in {self.root} cannot be written ({place}{why}). "
                "Set CONFORMANCE_CACHE to a directory that can."
            ) from None

    def _place(self, trouble: OSError) -> str | None:
        """The file of the cache that an error is about, to begin a sentence; None for other files."""
        if isinstance(trouble, shutil.Error):
            return ""
        for name in (trouble.filename, trouble.filename2):
            if isinstance(name, (str, bytes)):
                path = Path(os.fsdecode(name))
                if path == self.root or path in self.root.parents:
                    return ""
                if self.root in path.parents:
                    return f"{str(path.relative_to(self.root))[:80]}: "
        return None

    @contextlib.contextmanager
    def lock(self, kind: str, key: str, what: str, progress: Progress = quiet) -> Iterator[None]:
        """Hold the entry's lock; report that another process holds it."""
        lock = self.lock_of(f"{kind}-{key}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress(f"Waiting for another run that is making {what}.")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def lock_of(self, name: str) -> FileLock:
        """The lock of that name, not yet held."""
        place = self.root / "locks"
        place.mkdir(parents=True, exist_ok=True)
        return FileLock(place / f"{name}.lock")

    @contextlib.contextmanager
    def temporary(self, name: str) -> Iterator[Path]:
        """A directory on the cache's file system that is removed at the end."""
        with scratch.temporary(scratch.place_of(self.root), name) as place:
            yield place

    def _note(self, kind: str, key: str) -> Path:
        return self.root / "notes" / f"{kind}-{key}.json"

    def sweep(self) -> None:
        """Remove the temporary directories of killed runs."""
        scratch.sweep(scratch.place_of(self.root))

    def entries(self, kind: str) -> list[Path]:
        """The entries of a kind, the most recently used first."""
        place = self.root / kind
        used: list[tuple[float, Path]] = []
        with self.telling():
            for path in place.iterdir() if place.is_dir() else ():
                with contextlib.suppress(OSError):
                    used.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(used, reverse=True)]

    def prune(self, kind: str, keep: int) -> None:
        """Remove the least recently used entries of a kind beyond `keep`, but none used in the last hour."""
        for path in self.entries(kind)[keep:]:
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > IN_USE:
                    self.remove(kind, path.name)

    def remove(self, kind: str, key: str) -> None:
        """Remove an entry atomically, if it exists."""
        with (
            self.telling(),
            self.temporary(f"{kind}-{key}") as place,
            contextlib.suppress(FileNotFoundError),
        ):
            self.entry(kind, key).rename(place / "removed")

    def read_note(self, kind: str, key: str, shape: Any = ANY) -> Any:
        """A small JSON value kept beside the entries; None if it is missing, damaged or of another shape.

        ``notes.fits`` describes ``shape``.
        """
        try:
            return reading(read_file(self._note(kind, key), MOST_NOTE), shape)
        except (ConformanceError, ValueError):
            return None

    def write_note(self, kind: str, key: str, value: Any) -> None:
        """Store a small JSON value. Failure is ignored: a note only saves work."""
        content, note = noted(value), self._note(kind, key)
        with contextlib.suppress(OSError, ConformanceError):
            note.parent.mkdir(parents=True, exist_ok=True)
            with self.temporary("note") as folder:
                (folder / "note").write_bytes(content)
                (folder / "note").replace(note)
