# SPDX-License-Identifier: GPL-2.0-only
"""The VM that steps move: the kernel's, and the reader that a test has in its tables."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.tdp_mmu.reader import Reader
from conformance.model.vm.vm import Vm

__all__ = ["SteppedVm"]


@dataclass
class SteppedVm(Vm):
    """A VM as steps see it."""

    reader: Reader | None = None
    """The walk that goes on without a lock, at most one."""
