# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's side of a race: the whole KVM of a kernel, run in the calling process."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path

from conformance.oracles.kvm.racing import RacingKvm
from conformance.races.guest_tables import tables_at_start
from conformance.races.program import Program
from conformance.races.side import Side

__all__ = ["KernelSide", "kernel_side"]


def kernel_side(
    program: Program,
    library: Path,
    host: Mapping[str, int],
    reports_dirty: bool,
    exchange: mmap.mmap | None,
    patience: float = 60.0,
    plant: int = 0,
) -> KernelSide:
    """The race on a kernel's own code; see RacingKvm for the arguments. Possible once in a process."""
    racing = RacingKvm(
        library,
        host,
        program.options,
        setup=program.setup,
        threads=program.threads,
        closing=program.closing,
        exchange=exchange,
        patience=patience,
        plant=plant,
    )
    return KernelSide(
        racing,
        memslots=program.memslots,
        destroyed=program.destroys,
        reports_dirty=reports_dirty,
        tables=tables_at_start(program.setup, racing.early),
    )


class KernelSide(Side):
    """A race on kernel code."""

    def write_coverage(self) -> None:
        """As RacingKvm.write_coverage()."""
        self._racing.write_coverage()
