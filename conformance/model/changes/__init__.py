# SPDX-License-Identifier: GPL-2.0-only
"""The registry of changes: upstream commits after which the kernel's MMU behaved differently.

Model code branches on ``k.has(CHANGE)``. The releases are mainline's. Which kernel has which change is in
``profiles``, since distribution kernels carry backports.

Changes are defined by topic: ``masks``, ``mmio``, ``make_spte``, ``spte_update``, ``tdp_write``,
``shadow_pages``, ``indirect_pages``, ``roots``, ``guest_paging``, ``page_faults``, ``notifiers``,
``dirty_logging``, ``tables``, ``statistics``, and ``races`` for those that only concurrency shows. Model code
imports them from here.
"""

from __future__ import annotations

from conformance.model.changes import (
    dirty_logging,
    guest_paging,
    indirect_pages,
    make_spte,
    masks,
    mmio,
    notifiers,
    page_faults,
    races,
    roots,
    shadow_pages,
    spte_update,
    statistics,
    tables,
    tdp_write,
)
from conformance.model.changes.dirty_logging import *  # noqa: F403
from conformance.model.changes.guest_paging import *  # noqa: F403
from conformance.model.changes.indirect_pages import *  # noqa: F403
from conformance.model.changes.make_spte import *  # noqa: F403
from conformance.model.changes.masks import *  # noqa: F403
from conformance.model.changes.mmio import *  # noqa: F403
from conformance.model.changes.notifiers import *  # noqa: F403
from conformance.model.changes.page_faults import *  # noqa: F403
from conformance.model.changes.races import *  # noqa: F403
from conformance.model.changes.registry import Change as Change
from conformance.model.changes.registry import Precaution as Precaution
from conformance.model.changes.roots import *  # noqa: F403
from conformance.model.changes.shadow_pages import *  # noqa: F403
from conformance.model.changes.spte_update import *  # noqa: F403
from conformance.model.changes.statistics import *  # noqa: F403
from conformance.model.changes.tables import *  # noqa: F403
from conformance.model.changes.tdp_write import *  # noqa: F403

CHANGES: dict[str, Change] = {
    name: value
    for module in (
        *(masks, mmio, make_spte, spte_update, tdp_write, shadow_pages),
        *(indirect_pages, guest_paging, page_faults, tables, roots, notifiers, dirty_logging, statistics),
    )
    for name, value in vars(module).items()
    if isinstance(value, Change)
}
"""The changes that a single thread shows, by the name that model code uses."""

RACES: dict[str, Change] = {name: value for name, value in vars(races).items() if isinstance(value, Change)}
"""The changes and precautions that only races of threads show."""
