# SPDX-License-Identifier: GPL-2.0-only
"""A race on the whole KVM of a kernel, in this process, in which kernel code then runs."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.oracles.kvm.racing import RacingKvm
from conformance.races.form import Form
from conformance.races.side import Side
from conformance.races.subject import Subject

__all__ = ["kernel_side"]


def kernel_side(
    form: Form,
    library: Path,
    host: Mapping[str, int],
    tells_dirty: bool,
    exchange: mmap.mmap | None,
    patience: float = 60.0,
) -> Subject:
    """The race on a kernel's own code; see RacingKvm. A process can have one only."""
    racing = RacingKvm(
        library,
        host,
        form.options,
        setup=form.setup,
        threads=form.threads,
        closing=form.closing,
        exchange=exchange,
        patience=patience,
    )
    return _KernelSide(racing, memslots=form.memslots, destroyed=form.destroys, tells_dirty=tells_dirty)


class _KernelSide(Side):
    def _events_so_far(self) -> tuple[tuple[Any, ...], ...]:
        return tuple(self._racing.finish().events)
