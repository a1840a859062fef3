# SPDX-License-Identifier: GPL-2.0-only
"""All races. Importing this room registers them, in the order of the imports."""

from conformance.races.race import RACES
from conformance.races.stories import (  # noqa: F401
    dirty_log,
    freeing,
    guest_entries,
    invalidation,
    logging_on,
    memslots,
    rmap_aging,
    rmaps,
    shadow_paging,
    tables,
    volatile,
)

__all__ = ["RACES"]
