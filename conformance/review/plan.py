# SPDX-License-Identifier: GPL-2.0-only
"""The extent of a review."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.kernels import Kernel

__all__ = ["ReviewPlan"]


@dataclass(frozen=True)
class ReviewPlan:
    """What to run of the properties and stories that execute the changed functions.

    ``only`` are globs on names of properties, ``modes`` names of modes (none: all). ``budget`` is seconds of
    comparing properties. ``case`` is one input to try on the one property named. ``arguments`` are those of
    ``conformance diff`` that name the kernels, for the command that shows a difference again. ``suspects``
    are functions for which stories are played even if properties execute them. ``origin`` is the kernel that
    a series starts from, if the one before has patches of it.
    """

    only: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    budget: float = 5.0
    seed: int = 0
    case: tuple[int, ...] = ()
    arguments: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    origin: Kernel | None = None
