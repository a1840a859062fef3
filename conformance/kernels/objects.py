# SPDX-License-Identifier: GPL-2.0-only
"""The cache of compiled units, keyed by the files that compiling them read.

The compiler lists the files that it read for each unit. An object is reused if these have the same content
and the kernel has files of the same names: a new header could precede one that was read. Files that an
assembler reads itself (.incbin, .include) are not listed; a unit with such directives depends on every file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conformance.kernels.cache import Cache, key_of
from conformance.kernels.manifest import Manifest, file_digest

__all__ = ["Files", "Made", "keep_object", "read_dependencies", "reads_files"]

OBJECT = "object"
KEPT_OBJECTS = 3000
"""The number of objects that are kept: those of about 25 whole KVMs, 0.3 GB."""

INDEX = "objects"
MOST = 16
"""The number of objects of one unit that are searched for one that fits."""

_NAME, _READ = "o", "read.json"

# In assembly: directives that read a file, those that can compose a directive without a backslash, and
# statements that begin with a macro's argument.
_READING = re.compile(rb"\.\s*inc(?:bin|lude)\b|\.(?:altmacro|mri)\b", re.IGNORECASE)
_PASTING = re.compile(rb"(?:^|[;:{}])\s*[\w.$]*\\", re.MULTILINE)
_STRING = re.compile(rb'^\s*\.(?:string|ascii|asciz)\s+"(?:[^"\\\n]|\\.)*"\s*$', re.MULTILINE)


@dataclass
class Files:
    """The files that compiling a unit may read, in their current state: a kernel's, and those before them."""

    root: Path
    in_front: Sequence[Path]
    names: str = ""
    """A digest of all names."""
    whole: str = ""
    """A digest of all names and contents."""
    _digests: dict[str, str] = field(default_factory=dict)
    """By absolute path."""

    def __post_init__(self) -> None:
        kernel = Manifest.now(self.root).digests
        for name, digest in kernel.items():
            if name.startswith(("src/", "gen/")):
                self._digests[f"{self.root}/{name}"] = digest
        for place in self.in_front:
            for path in place.rglob("*") if place.is_dir() else [place]:
                if path.is_file() and "__pycache__" not in path.parts:
                    self._digests[str(path)] = file_digest(path)
        # The path of a kernel's entry varies; the path relative to it counts.
        named = sorted((name.removeprefix(f"{self.root}/"), at) for name, at in self._digests.items())
        self.names = key_of(*(name for name, _ in named))
        self.whole = key_of(*(f"{digest} {name}" for name, digest in named))

    def digest(self, name: str) -> str | None:
        """The digest of a file, by its name for a compiler in src/; None if it does not exist."""
        path = os.path.normpath(f"{self.root}/src/{name}" if not name.startswith("/") else name)
        if path not in self._digests and not path.startswith(f"{self.root}/"):
            try:
                self._digests[path] = file_digest(os.path.realpath(path))
            except OSError:
                return None
        return self._digests.get(path)


@dataclass(frozen=True)
class Made:
    """A compiled object, and the files that were read for it."""

    path: Path
    names: frozenset[str]
    """The files that the compiler listed, without the unit if it is not the kernel's."""
    every: bool
    """Whether other files may have been read too."""


def keep_object(
    cache: Cache, files: Files, conditions: Sequence[str], make: Callable[[Path], Made], target: Path
) -> None:
    """Write a cached object to ``target``, or else make one in an empty directory and store it.

    ``conditions`` are what it depends on besides files: compiler, flags, the unit.
    """
    unit = key_of(files.names, *conditions)
    found = _find(cache, files, unit)
    if found is None:
        with cache.writing(), cache.lock(INDEX, unit, "an object"), cache.temporary(INDEX) as scratch:
            found = _find(cache, files, unit) or _make(cache, files, unit, make, scratch)
    shutil.copyfile(found / _NAME, target)


def _find(cache: Cache, files: Files, unit: str) -> Path | None:
    """The cached object of a unit that was made from the current files, or None."""
    for key in _index(cache, unit):
        try:
            read = json.loads((cache.entry(OBJECT, key) / _READ).read_bytes())
            fits = read["every"] in ("", files.whole) and all(
                files.digest(name) == digest for name, digest in read["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        if fits and (entry := cache.find(OBJECT, key)) is not None:
            return entry
    return None


def _index(cache: Cache, unit: str) -> list[str]:
    return cache.read_note(INDEX, unit, [str]) or []


def _make(cache: Cache, files: Files, unit: str, make: Callable[[Path], Made], scratch: Path) -> Path:
    made = make(scratch)
    digests = {name: files.digest(name) for name in sorted(made.names)}
    # A listed file that does not exist came from a #line, or has been removed.
    every = made.every or None in digests.values()
    read = {
        "every": files.whole if every else "",
        "files": {name: digest for name, digest in digests.items() if digest},
    }
    text = json.dumps(read, separators=(",", ":"))
    key = key_of(unit, hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest())

    def fill(entry: Path) -> None:
        shutil.copyfile(made.path, entry / _NAME)
        (entry / _READ).write_text(text, "utf-8", "surrogateescape")

    entry = cache.get_or_build(OBJECT, key, fill, keep=KEPT_OBJECTS)
    others = [other for other in _index(cache, unit) if other != key]
    cache.write_note(INDEX, unit, [key, *others][:MOST])
    return entry


def read_dependencies(text: str) -> set[str]:
    """The prerequisites in a dependency file of gcc or clang."""
    names = re.findall(r"(?:\\[ #\\]|\$\$|[^\s\\]|\\(?!\n))+", text.partition(":")[2].replace("\\\n", " "))
    return {re.sub(r"\\([ #])", r"\1", name).replace("$$", "$") for name in names}


def reads_files(assembly: bytes) -> bool:
    """Whether assembling this may read further files; True if in doubt."""
    return bool(_READING.search(assembly) or _PASTING.search(_STRING.sub(b"", assembly)))
