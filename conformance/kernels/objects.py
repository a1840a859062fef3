# SPDX-License-Identifier: GPL-2.0-only
"""Objects of units, kept in the cache by what was read to compile them.

The compiler lists what it read of each unit. An object is used again where all of that has the same content,
and the kernel has files of the same names: a further header may stand in front of one that was read. What an
assembler reads by itself (.incbin, .include) is in no such list; a unit that has it depends on every file.
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
KEPT_OBJECTS = 1000
"""How many objects are kept at most: those of some twenty whole KVMs."""

INDEX = "objects"
MOST = 16
"""How many objects of one unit are looked through for one that fits."""

_NAME, _READ = "o", "read.json"

# Of an assembler's source: directives that read a file, those by which a directive can be put together of
# pieces without a backslash, and statements that begin with an argument of a macro.
_READING = re.compile(rb"\.\s*inc(?:bin|lude)\b|\.(?:altmacro|mri)\b", re.IGNORECASE)
_PASTING = re.compile(rb"(?:^|[;:{}])\s*[\w.$]*\\", re.MULTILINE)
_STRING = re.compile(rb'^\s*\.(?:string|ascii|asciz)\s+"(?:[^"\\\n]|\\.)*"\s*$', re.MULTILINE)


@dataclass
class Files:
    """The files that compiling a unit may read, as they are now: a kernel's, and those in front of them."""

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
        # A kernel's entry has another path wherever it lies; what counts is the place in it.
        named = sorted((name.removeprefix(f"{self.root}/"), at) for name, at in self._digests.items())
        self.names = key_of(*(name for name, _ in named))
        self.whole = key_of(*(f"{digest} {name}" for name, digest in named))

    def digest(self, name: str) -> str | None:
        """The digest of a file by the name that a compiler in src/ gives it; None if there is none."""
        path = os.path.normpath(f"{self.root}/src/{name}" if not name.startswith("/") else name)
        if path not in self._digests and not path.startswith(f"{self.root}/"):
            try:
                self._digests[path] = file_digest(os.path.realpath(path))
            except OSError:
                return None
        return self._digests.get(path)


@dataclass(frozen=True)
class Made:
    """An object that was compiled, and what was read for it."""

    path: Path
    names: frozenset[str]
    """The files that the compiler named, less the unit if that is none of the kernel's."""
    every: bool
    """Whether other files may have been read."""


def keep_object(
    cache: Cache, files: Files, conditions: Sequence[str], make: Callable[[Path], Made], target: Path
) -> None:
    """Write to ``target`` an object that was kept, or else make one in an empty directory, and keep it.

    ``conditions`` are what it depends on besides files: compiler, flags, the unit.
    """
    unit = key_of(files.names, *conditions)
    found = _find(cache, files, unit)
    if found is None:
        with cache.writing(), cache.lock(INDEX, unit, "an object"), cache.temporary(INDEX) as scratch:
            found = _find(cache, files, unit) or _make(cache, files, unit, make, scratch)
    shutil.copyfile(found / _NAME, target)


def _find(cache: Cache, files: Files, unit: str) -> Path | None:
    """The kept object of a unit that was made of files as they are now."""
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
    # What is named but not there was made up by a #line or read from somewhere that is gone.
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
    """The names in a dependency file as gcc and clang write it, those before the colon left out."""
    names = re.findall(r"(?:\\[ #\\]|\$\$|[^\s\\]|\\(?!\n))+", text.partition(":")[2].replace("\\\n", " "))
    return {re.sub(r"\\([ #])", r"\1", name).replace("$$", "$") for name in names}


def reads_files(assembly: bytes) -> bool:
    """Whether assembling this may read further files; in doubt it may."""
    return bool(_READING.search(assembly) or _PASTING.search(_STRING.sub(b"", assembly)))
