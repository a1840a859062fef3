# SPDX-License-Identifier: GPL-2.0-only
"""The stories, one module for each theme. Importing this package registers them, in this order."""

from conformance.scenarios.stories import (  # isort: skip
    mapping,
    host_changes,
    huge_pages,
    dirty_logging,
    splitting,
    clear_dirty,
    aging,
    mmio,
    memslots,
    nx_huge_pages,
    readers,
    address_spaces,
    edges,
    edges_of_the_log,
    guest_mapping,
    guest_tables_written,
    guest_roots,
)
from conformance.scenarios.story import STORIES

__all__ = [
    "STORIES",
    "address_spaces",
    "aging",
    "clear_dirty",
    "dirty_logging",
    "edges",
    "edges_of_the_log",
    "guest_mapping",
    "guest_roots",
    "guest_tables_written",
    "host_changes",
    "huge_pages",
    "mapping",
    "memslots",
    "mmio",
    "nx_huge_pages",
    "readers",
    "splitting",
]
