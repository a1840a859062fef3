# SPDX-License-Identifier: GPL-2.0-only
"""From a selector and patches to a kernel that can be compiled against."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from conformance.kernels import debian, trees
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.kernel import FACTS, Kernel, fingerprint, read_facts
from conformance.kernels.manifest import Manifest
from conformance.kernels.patches import Patch, apply_patch, read_patch
from conformance.kernels.prepare import MissingHeader, closure
from conformance.kernels.recipe import RECIPE
from conformance.kernels.releases import caution, release_numbers
from conformance.kernels.selector import Debian, Pinned, parse
from conformance.kernels.sources import Base, conditions, fill
from conformance.kernels.staging import wanted
from conformance.kernels.tools import Progress, quiet

__all__ = ["open_kernel"]

KIND = "patched"
KEEP = 16


def open_kernel(
    selector: str,
    patches: Sequence[Path] = (),
    *,
    progress: Progress | None = None,
    cache: Cache | None = None,
) -> Kernel:
    """The prepared kernel of a selector with patches applied in order, from the cache as far as possible.

    Fetches, prepares and patches what is not there yet, in well under two minutes; otherwise takes a fraction
    of a second. `progress` is told what takes time.

    Raises ConformanceError, and leaves nothing half-made, for whatever cannot be used: the selector, a tree,
    a revision, a patch, a network or tool that is not there.
    """
    say = quiet if progress is None else progress
    store = Cache() if cache is None else cache
    title = " + ".join([selector, *(Path(patch).name for patch in patches)])
    named = parse(selector)
    read = read_patches(patches, selector, store)
    if isinstance(named, Pinned):
        base = debian.pinned(named.series, selector, store, say)
    elif isinstance(named, Debian):
        base = debian.opened(named, selector, store, say)
    else:
        base = trees.open_tree(named, selector, store, say)
    root = patched(base, read, selector, title, store, say) if read else base.root
    version = read_facts(root)["version"]
    return Kernel(
        selector=selector,
        title=title,
        series=base.series,
        version=base.version,
        release=release_numbers(version),
        drift=" ".join(filter(None, (base.drift, caution(version)))) or None,
        root=root,
        fingerprint=fingerprint(Manifest.now(root)),
    )


def read_patches(paths: Sequence[Path], title: str, cache: Cache) -> list[Patch]:
    """Read the patches, before anything that takes time."""
    found = []
    for path in paths:
        with cache.writing(), cache.temporary("patch", "mails") as scratch:
            found.append(read_patch(Path(path).expanduser(), title, scratch))
    return found


def patched(
    base: Base, patches: Sequence[Patch], selector: str, title: str, cache: Cache, progress: Progress
) -> Path:
    """The entry of a kernel with patches."""
    key = key_of(
        Manifest.now(base.root).digest(), RECIPE, *(patch.digest for patch in patches), *conditions()
    )

    def build(entry: Path) -> None:
        if needs_preparing(base, patches):
            progress(f"{title}: the patches change what preparing reads; preparing again")
        else:
            try:
                return on_copy(base, patches, entry, selector, title, progress)
            except MissingHeader:
                progress(f"{title}: the patches include further headers; preparing again")
        shutil.rmtree(entry)
        entry.mkdir()
        fill(entry, selector, base.stage, patches, progress)

    return cache.get_or_build(KIND, key, build, what=title, keep=KEEP, progress=progress)


def needs_preparing(base: Base, patches: Sequence[Patch]) -> bool:
    """Whether a patch touches a file that configuring or generating read."""
    inputs = read_facts(base.root)["inputs"]
    wrapped = {name for name in inputs if name.endswith("/")}

    def matters(path: str) -> bool:
        there = (base.root / "src" / path).exists()
        return path in inputs or (not there and f"{path.rpartition('/')[0]}/" in wrapped)

    return any(matters(path) for patch in patches for path in patch.paths)


def on_copy(
    base: Base, patches: Sequence[Patch], entry: Path, selector: str, title: str, progress: Progress
) -> None:
    """Patch a copy of the prepared kernel."""
    for name in ("src", "gen"):
        shutil.copytree(base.root / name, entry / name, copy_function=shutil.copyfile)
    shutil.copyfile(base.root / FACTS, entry / FACTS)
    for patch in patches:
        progress(f"{selector}: applying {patch.name}")
        _, absent = apply_patch(patch, entry / "src", selector, exists=lambda path: not kept_whole(path))
        if absent:
            others = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            progress(
                f"{selector}: {patch.name} also changes {absent[0]}{others}, not part of what is compiled"
            )
    if any(patch.may_need_headers for patch in patches):
        closure(entry / "src", "../gen", title)


def kept_whole(path: str) -> bool:
    """Whether a prepared kernel has every source of this folder, so that a missing one does not exist."""
    return (
        wanted(path) and path.startswith(("arch/x86/kvm/", "virt/kvm/")) and path.endswith((".c", ".h", ".S"))
    )
