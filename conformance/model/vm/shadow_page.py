# SPDX-License-Identifier: GPL-2.0-only
"""Shadow pages: tables that are found by gfn and role, and may be linked in several places.

The tables of the TDP MMU are in ``mmu_pages``. All tables of a VM are in one ``TableMemory``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.model.vm.cells import Shared
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.pte_list import PteList
from conformance.model.vm.role import KvmMmuPageRole

__all__ = ["RootTable", "ShadowPage"]


@dataclass(eq=False, kw_only=True)
class ShadowPage(KvmMmuPage):
    """A shadow page (struct kvm_mmu_page). It is one for a table of the guest unless it is direct.

    ``gfn`` is that of the guest's table; of a direct page, the first gfn that it maps. ``role.level`` and
    ``level`` are equal, and ``as_id`` is that of the role. ``root_count`` is how many roots it is.
    """

    role: KvmMmuPageRole
    parent_ptes: PteList
    """The SPTEs that point to it."""
    shadowed_translation: dict[int, tuple[int, int]] | None = None
    """The gfn and the access that each entry was made for; None: a direct page needs none.

    Only those of present leaves mean anything.
    """
    unsync: Shared[bool] = Shared(False)
    """The guest may write its table without an exit, so the page may differ from it until it is synced."""
    unsync_children: Shared[int] = Shared(0)
    """How many entries of unsync_child_bitmap are set."""
    unsync_child_bitmap: set[int] = field(default_factory=set)
    """The entries whose table is unsync, or has an unsync one below it."""
    write_flooding_count: Shared[int] = Shared(0)
    """How often the guest has written its table since the last fault that walked through the page."""
    mmu_valid_gen: int = 0

    def entries_for(self, pages: Iterable[int]) -> frozenset[int]:
        """The entries on the way to these pages of addresses, wherever the page is linked."""
        return frozenset(map(self.index_of, pages))


@dataclass(eq=False)
class RootTable(KvmMmuPage):
    """A table at the top that is no shadow page: PAE roots, what leads to them, and the dummy root.

    The dummy root has no entries: it is used where a guest's root lies outside of its memory. Of PAE roots,
    entries 0 to 3 are used.
    """
