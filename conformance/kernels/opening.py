# SPDX-License-Identifier: GPL-2.0-only
"""Opens kernels: from a selector and patches to a kernel that can be compiled against."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import debian, trees
from conformance.kernels.applying import FUZZ
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.compilers import Compiler, chosen
from conformance.kernels.kernel import FACTS, Kernel, fingerprint, read_facts
from conformance.kernels.manifest import Manifest
from conformance.kernels.patches import Patch, apply_patch, listed, read_patch
from conformance.kernels.prepare import MissingHeader, closure, options_of
from conformance.kernels.recipe import RECIPE
from conformance.kernels.releases import caution, release_numbers
from conformance.kernels.selector import Debian, Pinned, Selector, Tree, parse
from conformance.kernels.sources import Base, conditions, fill, note_facts, take_notes
from conformance.kernels.staging import copy_folder, wanted
from conformance.kernels.tools import Progress, quiet
from conformance.sandbox.confinement import refuse_foreign, unconfined_note

__all__ = ["allowed_fuzz", "open_base", "open_kernel"]

KIND = "patched"
KEEP = 16

APPLYING = 3
"""Increased when the way in which patches are applied changes, so that older cache entries are not reused."""


def open_kernel(
    selector: str,
    patches: Sequence[Path] = (),
    *,
    progress: Progress | None = None,
    cache: Cache | None = None,
    idle: bool = False,
) -> Kernel:
    """The prepared kernel of a selector with patches applied in order, from the cache if possible.

    Fetches, prepares and patches whatever is missing, in under two minutes; from the cache it takes a
    fraction of a second. `progress` reports long steps and the kernel's notes.

    Raises ConformanceError, and leaves no incomplete entry, if a selector, tree, revision or patch is
    invalid; if network or a tool is missing; for patches and trees if nothing confines them; and, unless
    `idle`, for patches that change nothing that is compiled here: a verdict on the unpatched kernel would be
    taken for one on them.
    """
    say = quiet if progress is None else progress
    store = Cache() if cache is None else cache
    store.sweep()
    compiler = chosen()
    title = " + ".join([selector, *(Path(patch).name for patch in patches)]) + compiler.in_title
    named = parse(selector)
    fuzz = allowed_fuzz()
    if patches:
        refuse_foreign(f"The patch {Path(patches[0]).name}")
    if isinstance(named, Tree):
        refuse_foreign(f"The tree {named.path}")
    read = [read_patch(Path(path).expanduser(), selector) for path in patches]
    base = open_base(named, selector, store, say)
    root = patched(base, read, selector, title, fuzz, store, say) if read else base.root
    check_configured(root, title, compiler)
    version = read_facts(root)["version"]
    kernel = Kernel(
        selector=selector,
        title=title,
        series=base.series,
        version=base.version,
        release=release_numbers(version),
        drift=" ".join(filter(None, (base.drift, caution(version)))) or None,
        root=root,
        fingerprint=fingerprint(Manifest.now(root), compiler),
        compiler=compiler,
        commit=base.commit,
        patches=tuple(patch.digest for patch in read),
        notes=tuple(filter(None, (*read_facts(root).get("notes", ()), unconfined_note()))),
    )
    if read and not idle and kernel.fingerprint == fingerprint(Manifest.now(base.root), compiler):
        names = listed(path for patch in read for path in patch.paths)
        raise ConformanceError(
            f"{title}: the patch changes nothing that is compiled here ({names}), and nothing was judged. "
            "Leave it out to judge the kernel as it is."
        )
    for note in kernel.notes:
        say(f"{title}: {note}")
    return kernel


def open_base(named: Selector, title: str, cache: Cache, progress: Progress) -> Base:
    """The prepared kernel of a selector, without patches."""
    if isinstance(named, Pinned):
        return debian.pinned(named.series, title, cache, progress)
    if isinstance(named, Debian):
        return debian.opened(named, title, cache, progress)
    return trees.open_tree(named, title, cache, progress)


def check_configured(root: Path, title: str, compiler: Compiler) -> None:
    """Raise ConformanceError if a vendored kernel was configured with another family of compilers."""
    options = options_of(root / "gen/.config")
    gcc, clang = (options.get(f"CC_IS_{family}") == "y" for family in ("GCC", "CLANG"))
    if clang if compiler.family == "gcc" else gcc:
        raise ConformanceError(
            f"{title}: the vendored kernel was configured with {'clang' if clang else 'gcc'}, so it cannot "
            f"be compiled with {compiler.name}. Lay it out again: conformance kernels vendor SERIES "
            f"--cc {shlex.quote(compiler.name)}"
        )


def allowed_fuzz() -> int:
    """The fuzz with which patches may be applied, from --fuzz or CONFORMANCE_FUZZ."""
    given = os.environ.get("CONFORMANCE_FUZZ", str(FUZZ))
    if given not in ("0", "1", "2"):
        raise ConformanceError(
            f"CONFORMANCE_FUZZ is {given!r}, but of the usual 3 lines of context 0, 1 or 2 may be ignored."
        )
    return int(given)


def patched(
    base: Base,
    patches: Sequence[Patch],
    selector: str,
    title: str,
    fuzz: int,
    cache: Cache,
    progress: Progress,
) -> Path:
    """The entry of a kernel with patches."""
    applying = (f"applying {APPLYING}", base.origin, str(fuzz), *(patch.digest for patch in patches))
    key = key_of(Manifest.now(base.root).digest(), RECIPE, *applying, *conditions())

    def build(entry: Path) -> None:
        if needs_preparing(base, patches):
            progress(f"{title}: the patches change what preparing reads; preparing again")
        else:
            try:
                return on_copy(base, patches, entry, selector, title, fuzz, progress)
            except MissingHeader:
                progress(f"{title}: the patches include further headers; preparing again")
        shutil.rmtree(entry)
        entry.mkdir()
        laid = fill(entry, selector, base.stage, patches, progress, fuzz=fuzz, blob=base.blob)
        if base.tree is not None:
            note_facts(entry, beyond=trees.beyond(base, laid))

    if base.tree is not None and (found := cache.find(KIND, key)) is not None:
        noted = read_facts(found).get("beyond")
        if noted and trees.changed_beyond(base.tree, noted):
            progress(f"{title}: the tree has changed")
            cache.remove(KIND, key)
    return cache.get_or_build(KIND, key, build, what=title, keep=KEEP, progress=progress)


def needs_preparing(base: Base, patches: Sequence[Patch]) -> bool:
    """Whether a patch touches a file that configuring or generating headers read."""
    inputs = read_facts(base.root)["inputs"]
    wrapped = {name for name in inputs if name.endswith("/")}

    def matters(path: str) -> bool:
        there = (base.root / "src" / path).exists()
        return path in inputs or (not there and f"{path.rpartition('/')[0]}/" in wrapped)

    return any(matters(path) for patch in patches for path in patch.paths)


def on_copy(
    base: Base,
    patches: Sequence[Patch],
    entry: Path,
    selector: str,
    title: str,
    fuzz: int,
    progress: Progress,
) -> None:
    """Patch a copy of the prepared kernel."""
    for name in ("src", "gen"):
        copy_folder(base.root / name, entry / name)
    shutil.copyfile(base.root / FACTS, entry / FACTS)
    notes = []
    for patch in patches:
        progress(f"{selector}: applying {patch.name}")
        applied = apply_patch(
            patch,
            entry / "src",
            selector,
            exists=lambda path: not kept_whole(path),
            fuzz=fuzz,
            blob=base.blob,
        )
        notes += applied.notes
    if any(patch.may_need_headers for patch in patches):
        closure(entry / "src", "../gen", title)
    take_notes(entry, notes)


def kept_whole(path: str) -> bool:
    """Whether a prepared kernel has all sources of this directory, so that a missing one does not exist."""
    return (
        wanted(path) and path.startswith(("arch/x86/kvm/", "virt/kvm/")) and path.endswith((".c", ".h", ".S"))
    )
