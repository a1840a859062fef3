# SPDX-License-Identifier: GPL-2.0-only
"""The plan of a run over properties: kernels, engines, modes, budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["PropertyPlan"]


@dataclass(frozen=True)
class PropertyPlan:
    """What to compare.

    ``kernels`` are selectors (none: the default), ``only`` globs on property names, ``engines`` and
    ``modes`` names (none: the usual engines, all modes). ``budget`` is the wall time of comparing a kernel
    in seconds, proofs included, ``timeout`` that of a proof of one property. ``case`` is one case to try,
    its input words in column order. ``jobs`` kernels are judged at once, or proofs made. ``module`` is a
    kvm.ko to be asked instead of the shipped one, and ``vmlinux`` what has the types of its kernel.
    """

    kernels: tuple[str, ...] = ()
    patches: tuple[Path, ...] = ()
    only: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    oracle: str = "shim"
    modes: tuple[str, ...] = ()
    budget: float = 60.0
    seed: int | None = None
    case: tuple[int, ...] = ()
    jobs: int = 2
    timeout: float = 20.0
    profile: str = "default"
    module: Path | None = None
    vmlinux: Path | None = None
