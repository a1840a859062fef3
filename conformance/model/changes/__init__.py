# SPDX-License-Identifier: GPL-2.0-only
"""The registry of semantic changes: upstream commits after which the kernel's MMU meant something else.

Model code branches on ``k.has(CHANGE)``. Releases are mainline's; which kernel has which change is
for ``profiles`` to say, since distribution kernels carry backports.
"""

from __future__ import annotations

from conformance.model.changes import machine, races, sptes
from conformance.model.changes.machine import *  # noqa: F403
from conformance.model.changes.races import *  # noqa: F403
from conformance.model.changes.registry import Change as Change
from conformance.model.changes.registry import Precaution as Precaution
from conformance.model.changes.sptes import *  # noqa: F403 - every change can be had from here

CHANGES: dict[str, Change] = {
    name: value
    for module in (sptes, machine)
    for name, value in vars(module).items()
    if isinstance(value, Change)
}
"""Every change by the name that model code uses for it."""

RACES: dict[str, Change] = {name: value for name, value in vars(races).items() if isinstance(value, Change)}
"""Likewise the changes, and mere precautions, that show only when threads race."""
