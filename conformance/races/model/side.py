# SPDX-License-Identifier: GPL-2.0-only
"""A race on the model's machine."""

from __future__ import annotations

from conformance.model.changes import NO_PFN_DIRTY
from conformance.model.modes import VM_MODES
from conformance.model.profiles import Profile
from conformance.races.guest_tables import tables_at_start
from conformance.races.model.threads import RacingMachine
from conformance.races.program import Program
from conformance.races.side import Side

__all__ = ["model_side"]


def model_side(program: Program, profile: Profile, mode: str) -> Side:
    """The race on the model of a kernel with ``profile``."""
    racing = RacingMachine(
        profile,
        VM_MODES[mode],
        program.options,
        setup=program.setup,
        threads=program.threads,
        closing=program.closing,
    )
    return Side(
        racing,
        memslots=program.memslots,
        destroyed=program.destroys,
        reports_dirty=not profile.has(NO_PFN_DIRTY),
        tables=tables_at_start(program.setup, racing.early),
    )
