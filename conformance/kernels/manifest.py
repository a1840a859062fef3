# SPDX-License-Identifier: GPL-2.0-only
"""Manifests of directories: digests taken once by content, later checked by a stat of each file.

The file system dates every change of a file's content or attributes (ctime), and unprivileged programs cannot
set that date. So a file with the size, dates and inode of the manifest is the file that was hashed. Where
they differ (in a copied cache, say) the content decides.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["MANIFEST", "Manifest", "Stamp", "file_digest", "stamp"]

MANIFEST = ".manifest.json"

# Python writes these beside modules that it imports from an entry.
NOT_OURS = {"__pycache__"}

Stamp = tuple[int, int, int, int]


def stamp(status: os.stat_result) -> Stamp:
    """The parts of a file's status that change with its content: size, dates in ns, inode."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def file_digest(path: Path | str) -> str:
    """The SHA-256 of a file's content, of the target for a symbolic link."""
    if os.path.islink(path):
        return hashlib.sha256(b"link " + os.fsencode(os.readlink(path))).hexdigest()
    whole = hashlib.sha256()
    with open(path, "rb") as file:
        # In blocks: a vmlinux with DWARF has a gigabyte.
        while piece := file.read(1 << 20):
            whole.update(piece)
    return whole.hexdigest()


def walk(root: str, inside: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Every file below root: its relative path and its own status, symbolic links not followed."""
    with os.scandir(os.path.join(root, inside) if inside else root) as entries:
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in NOT_OURS:
                    yield from walk(root, name)
            elif not name.startswith(MANIFEST):
                yield name, entry.stat(follow_symlinks=False)


@dataclass
class Manifest:
    """The files of a directory with their digests and stamps."""

    digests: dict[str, str]
    stamps: dict[str, Stamp] = field(default_factory=dict)

    @classmethod
    def take(cls, root: Path) -> Manifest:
        """Hash everything below root."""
        files = {name: stamp(status) for name, status in walk(str(root))}
        return cls({name: file_digest(root / name) for name in sorted(files)}, files)

    @classmethod
    def now(cls, root: Path) -> Manifest:
        """The manifest in root, retaken if files were edited since, as in a vendored kernel."""
        written = cls.load(root)
        return cls.take(root) if written.differences(root) else written

    @classmethod
    def load(cls, root: Path) -> Manifest:
        """Read the manifest in root. Raises ValueError if it is missing or damaged."""
        try:
            record = json.loads((root / MANIFEST).read_bytes())
            manifest = cls(record["digests"], {name: tuple(at) for name, at in record["stamps"].items()})
            if record["digest"] != manifest.digest():
                raise ValueError("its own digest does not match")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as trouble:
            raise ValueError(f"the manifest is damaged or missing: {trouble}") from None
        return manifest

    def save(self, root: Path) -> None:
        """Write the manifest into root, atomically."""
        record = {"digest": self.digest(), "digests": self.digests, "stamps": self.stamps}
        new = root / f"{MANIFEST}.{os.getpid()}"
        new.write_text(json.dumps(record, separators=(",", ":")))
        os.replace(new, root / MANIFEST)

    def digest(self, prefixes: tuple[str, ...] = ("",)) -> str:
        """A digest of the names and contents of all files under the prefixes."""
        whole = hashlib.sha256()
        for name in sorted(self.digests):
            if name.startswith(prefixes):
                whole.update(f"{self.digests[name]} {name}\n".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()

    def differences(self, root: Path) -> dict[str, str]:
        """The files in root that differ from the manifest, each with how: missing, added or changed.

        Updates the stamps of files with unchanged content; `save` stores them.
        """
        found: dict[str, str] = {}
        present: Mapping[str, os.stat_result] = dict(walk(str(root)))
        for name, digest in self.digests.items():
            if name not in present:
                found[name] = "missing"
            elif (now := stamp(present[name])) != self.stamps.get(name):
                if file_digest(root / name) == digest:
                    self.stamps[name] = now
                else:
                    found[name] = "changed"
        found.update(dict.fromkeys(present.keys() - self.digests.keys(), "added"))
        return found

    def size(self) -> int:
        """The total size of the files in bytes."""
        return sum(at[0] for at in self.stamps.values())
