# SPDX-License-Identifier: GPL-2.0-only
"""Builds KVM's own selftests from a kernel's source, as static programs for a machine without a C library.

The kernel's own Makefiles build them, confined. A prepared kernel does not keep the selftests, so the source
is opened again.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.building import PREPARING, build
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.compilers import Compiler, chosen
from conformance.kernels.elf import Elf
from conformance.kernels.manifest import Manifest
from conformance.kernels.opening import allowed_fuzz, open_base
from conformance.kernels.patches import Patch, apply_patch, read_patch
from conformance.kernels.prepare import need_tools
from conformance.kernels.reading import read_file
from conformance.kernels.selector import Tree, parse
from conformance.kernels.sources import Base
from conformance.kernels.staging import wanted
from conformance.kernels.tools import Progress, first_error, quiet
from conformance.sandbox.confinement import refuse_foreign, unconfined_note

__all__ = ["Selftests", "is_part", "open_selftests"]

KIND = "selftests"
KEEP = 8

BUILDING = 1
"""Increased when the way of building changes, so that older cache entries are not reused."""

_FOLDER = "tools/testing/selftests/kvm"
_BELOW = ("", "x86", "x86_64")
"""The directories of x86's tests; x86_64 became x86 in v6.14."""

_PART = re.compile(
    r"""(?: tools/(?:scripts|build)/ | tools/lib/[\w-]+\.[ch]$
        | tools/testing/selftests/(?: (?:kvm|rseq|cgroup|vfio|lib|clone3)/ | [^/]*$ )
    )""",
    re.VERBOSE,
)
"""What the selftests' Makefiles read besides the files that preparing a kernel reads."""

_READ = re.compile(r"tools/|scripts/|Makefile$|include/uapi/|arch/x86/include/uapi/|arch/x86/entry/syscalls/")
"""The files whose change by a patch changes the programs."""

_ONLY = re.compile(r"tools/|Documentation/|MAINTAINERS$")
"""The files that no kernel is built from."""

_LINKING = "-pthread -no-pie -static -s"
_OUTSIDE = "LIBVFIO_O="
"""The tests of interrupts by VFIO are left out: they read headers of drivers, which are not staged."""

MOST_PROGRAM = 64 << 20
"""The largest program in bytes; they have about 1 MB."""


@dataclass(frozen=True)
class Selftests:
    """The selftests of a kernel's source.

    programs: the static programs, by name, without the directory of the architecture.
    unbuilt: the compiler's first error for those that do not build.
    notes: how patches were applied.
    """

    title: str
    version: str
    drift: str | None
    compiler: Compiler
    programs: dict[str, Path]
    unbuilt: dict[str, str]
    notes: tuple[str, ...]


def open_selftests(
    selector: str,
    patches: Sequence[Path],
    names: Sequence[str],
    *,
    progress: Progress = quiet,
    cache: Cache | None = None,
) -> Selftests:
    """The selftests of these names from the source of a selector, with patches, from the cache or built now.

    Names that the source does not have are left out. Patches are applied if one of them changes what the
    selftests are built from.

    Raises ConformanceError if the source cannot be opened, a patch does not apply, or it has no selftests.
    """
    store = Cache() if cache is None else cache
    compiler = need_tools()
    named = parse(selector)
    title = " + ".join([selector, *(Path(patch).name for patch in patches)]) + compiler.in_title
    if isinstance(named, Tree):
        refuse_foreign(f"The tree {named.path}")
    if patches:
        refuse_foreign(f"The patch {Path(patches[0]).name}")
    read = [read_patch(Path(path).expanduser(), selector) for path in patches]
    base = open_base(named, selector, store, progress)
    if not any(_READ.match(path) for patch in read for path in patch.paths):
        read = []
    root = _entry(base, read, selector, title, names, store, progress)
    facts = json.loads((root / "facts.json").read_text())
    programs = {path.name: path for path in sorted((root / "programs").iterdir())}
    notes = tuple(filter(None, (*facts["notes"], unconfined_note())))
    return Selftests(title, base.version, base.drift, compiler, programs, facts["unbuilt"], notes)


def is_part(path: str) -> bool:
    """Whether a file of a kernel's source belongs to programs or documents, and not to the kernel."""
    return _ONLY.match(path) is not None


def _entry(
    base: Base,
    patches: Sequence[Patch],
    selector: str,
    title: str,
    names: Sequence[str],
    cache: Cache,
    progress: Progress,
) -> Path:
    """The cache entry. A tree on disk is laid out first, since its files are part of the key."""
    fuzz = allowed_fuzz()
    with cache.writing(), cache.temporary(KIND) as scratch:
        laid = scratch / "src"
        origin = base.origin
        if base.tree is not None:
            laid.mkdir()
            base.stage(laid, scratch, _wanted)
            origin = Manifest.take(laid).digest()

        def fill(entry: Path) -> None:
            src = entry.parent / "src"
            if laid.is_dir():
                laid.rename(src)
            else:
                src.mkdir()
                base.stage(src, entry.parent, _wanted)
            notes: list[str] = []
            for patch in patches:
                progress(f"{selector}: applying {patch.name}")
                applied = apply_patch(
                    patch,
                    src,
                    selector,
                    exists=lambda name: not _wanted(name),
                    fuzz=fuzz,
                    blob=base.blob,
                    which=_wanted,
                )
                notes += applied.notes
            progress(f"{title}: building the selftests of KVM")
            unbuilt = _build(src, entry, title, names)
            (entry / "facts.json").write_text(json.dumps({"unbuilt": unbuilt, "notes": notes}))

        applying = (str(fuzz), *(patch.digest for patch in patches))
        key = key_of(BUILDING, origin, chosen().identity, *sorted(names), *applying)
        return cache.get_or_build(
            KIND, key, fill, what=f"the selftests of {title}", keep=KEEP, progress=progress
        )


def _wanted(path: str) -> bool:
    return wanted(path) or _PART.match(path) is not None


def _build(src: Path, entry: Path, title: str, names: Sequence[str]) -> dict[str, str]:
    """Build the programs into an entry, and remove the source; the first error of each that failed."""
    folder, out = src / _FOLDER, entry.parent / "out"
    if not (folder / "Makefile").is_file():
        raise ConformanceError(f"{title}: this tree has no selftests of KVM ({_FOLDER}/Makefile).")
    there = {
        name: os.path.join(out, below, name)
        for name in names
        for below in _BELOW
        if (folder / below / f"{name}.c").is_file()
    }
    out.mkdir()
    (entry / "programs").mkdir()
    if failed := _make(["-C", src, "headers"], src, out, title):
        raise ConformanceError(f"{title}: its headers for programs cannot be installed: {failed}")
    words = ["-k", "-C", str(folder), f"OUTPUT={out}", f"LDFLAGS={_LINKING}", _OUTSIDE, *_definitions(folder)]
    if there:
        _make([*words, *there.values()], src, out, title)
    unbuilt = {}
    for name, target in there.items():
        path = Path(target)
        if not path.is_file() or path.is_symlink():
            unbuilt[name] = _make([*words, target], src, out, title) or "no program was made"
        elif Elf(content := read_file(path, MOST_PROGRAM), name).named(".interp") is not None:
            unbuilt[name] = "it is not linked statically"
        else:
            (entry / "programs" / name).write_bytes(content)
    shutil.rmtree(src)
    shutil.rmtree(out)
    return unbuilt


def _definitions(folder: Path) -> list[str]:
    """What the tests need and their library lacks.

    Stable kernels before v6.6 take over tests that use TEST_ASSERT_EQ(), but not commit 6d85f51a1f08 ("KVM:
    selftests: Rename the ASSERT_EQ macro"), so dirty_log_test of 6.1.192 does not build.
    """
    library = folder / "include/test_util.h"
    text = library.read_text("utf-8", "replace") if library.is_file() else ""
    if re.search(r"define\s+ASSERT_EQ\b", text) and not re.search(r"define\s+TEST_ASSERT_EQ\b", text):
        return ["EXTRA_CFLAGS=-DTEST_ASSERT_EQ=ASSERT_EQ"]
    return []


def _make(words: Sequence[str | Path], src: Path, out: Path, title: str) -> str:
    """Run make; its first error, "" if all was built."""
    compiler = chosen()
    command = shlex.join(compiler.command)
    settings = ("ARCH=x86_64", f"CC={command}", f"HOSTCC={command}")
    done = build(
        ["make", "-s", f"-j{os.cpu_count() or 1}", *settings, *words],
        read=[*compiler.places],
        write=[src, out],
        bounds=PREPARING,
        purpose=f"{title}: building selftests",
    )
    return first_error(done.stderr or done.stdout, [src, out]) or "make failed" if done.returncode else ""
