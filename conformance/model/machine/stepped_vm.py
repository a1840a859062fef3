# SPDX-License-Identifier: GPL-2.0-only
"""The VM that steps act on: KVM's VM, and the lockless reader that a test may have in its tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from conformance.interface.observation import RetiredTable, RmapView, ShadowView
from conformance.model.tdp_mmu.reader import Reader
from conformance.model.vm.vm import Vm

__all__ = ["SteppedVm"]


@dataclass
class SteppedVm(Vm):
    """A VM with a lockless reader.

    ``has_run_l2``: a nested guest was entered, so that the observation shows shadow pages.
    """

    reader: Reader | None = None
    """The lockless reader, at most one at a time."""
    has_run_l2: bool = False
    retired_shown: list[RetiredTable] = field(default_factory=list, repr=False)
    """What the last observation has shown of retired tables, kept by the observation."""
    rmaps_shown: tuple[Any, list[RmapView]] = field(default=(None, []), repr=False)
    """The same of reverse maps, with what it was made from."""
    shadow_shown: ShadowView | None = field(default=None, repr=False)
    """The same of shadow paging as a whole."""
