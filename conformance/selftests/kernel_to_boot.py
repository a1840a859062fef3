# SPDX-License-Identifier: GPL-2.0-only
"""Chooses the kernel that is booted: the user's, or the shipped one, with patched modules if asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import Cache, open_kernel
from conformance.kernels.bootable import Bootable, UserKernel, built_by_user, shipped_kernel, user_kernel
from conformance.kernels.images import shipped
from conformance.kernels.modules import build_modules
from conformance.kernels.patches import read_patch
from conformance.kernels.selector import Tree, parse
from conformance.kernels.selftests import is_part
from conformance.kernels.tools import Progress

__all__ = ["check", "kernel_to_boot"]


def check(image: Path | None, modules: Path | None, selectors: Sequence[str]) -> UserKernel | None:
    """The kernel that the user passes, if any. Raises ConformanceError if it and the selectors do not fit."""
    given = user_kernel(image, modules)
    if given is not None:
        if len(selectors) > 1:
            raise ConformanceError(
                "--image is one kernel, so its selftests come from one source: give one --kernel."
            )
        return given
    for selector in selectors:
        if isinstance(parse(selector), Tree):
            raise ConformanceError(
                f"{selector}: a tree is not built here. Build it, with KVM as modules, and pass its vmlinux "
                "with --image and the folder of its modules with --modules."
            )
    return None


def kernel_to_boot(
    selector: str, patches: Sequence[Path], given: UserKernel | None, cache: Cache, progress: Progress
) -> Bootable:
    """The kernel to boot for a selector and patches.

    The user's own has been built with the patches. Into a shipped kernel patched modules of KVM are loaded,
    unless the patches concern the selftests only.

    Raises ConformanceError, also if the patches change more than KVM's modules.
    """
    if given is not None:
        return built_by_user(*given, cache, progress)
    kernel = shipped_kernel(selector, cache, progress)
    if all(is_part(path) for file in patches for path in read_patch(file.expanduser(), selector).paths):
        return kernel
    image = shipped(selector, progress=progress, cache=cache)
    source = open_kernel(selector, patches, progress=progress, cache=cache)
    built = build_modules(source, image, cache, progress)
    return replace(kernel.with_modules(built), title=f"{kernel.title} with the modules of {source.title}")
