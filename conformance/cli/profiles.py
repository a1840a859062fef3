# SPDX-License-Identifier: GPL-2.0-only
"""The profiles of the kernels that a selector names, found without fetching or building anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.errors import ConformanceError
from conformance.reports.text import line

if TYPE_CHECKING:
    from conformance.kernels.selector import Tree
    from conformance.model.profiles import Profile

__all__ = ["profiles_of"]


def profiles_of(selector: str) -> list[tuple[str, Profile]]:
    """A title and the profile of each kernel that ``selector`` names: several for ``all``.

    The title is the selector, with the release where the selector does not say it.
    """
    # Imported here: help must not wait for numpy.
    from conformance.kernels.selector import expand
    from conformance.model.profiles import profile_of

    found = []
    for one in expand([selector]):
        profile = profile_of(_release(one))
        found.append((one if one == profile.name else f"{one} (Linux {profile.name})", profile))
    return found


def _release(selector: str) -> tuple[int, int]:
    """VERSION and PATCHLEVEL of the kernel that ``selector`` names, without fetching it."""
    from conformance.kernels.prepare import release_of
    from conformance.kernels.selector import Tree, parse

    meant = parse(selector)
    if isinstance(meant, Tree):
        if not meant.path.is_dir():
            raise ConformanceError(f"{line(selector)}: there is no directory {line(str(meant.path))}.")
        if meant.revision is not None:
            return _release_of_revision(meant, selector)
        version, patchlevel, _ = release_of(meant.path, line(selector))
        return version, patchlevel
    version, patchlevel = (int(number) for number in meant.series.split("."))
    return version, patchlevel


def _release_of_revision(tree: Tree, selector: str) -> tuple[int, int]:
    """VERSION and PATCHLEVEL of a revision of a git repository."""
    from conformance.kernels.prepare import release_by
    from conformance.kernels.repositories import Repository

    repository = Repository(tree.path)
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{tree.revision}^{{tree}}")
    if not repository.exists or repository.ask(*words).returncode:
        raise ConformanceError(
            f"{line(selector)}: {line(str(tree.path))} is no git repository "
            f"with a revision {line(str(tree.revision))}."
        )
    makefile, mmu = (
        repository.ask("cat-file", "blob", f"{tree.revision}:{repository.prefix}{name}")
        for name in ("Makefile", "arch/x86/kvm/mmu/mmu.c")
    )
    said = "" if makefile.returncode else makefile.stdout
    version, patchlevel, _ = release_by(said, mmu.returncode == 0, line(selector))
    return version, patchlevel
