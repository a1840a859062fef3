# SPDX-License-Identifier: GPL-2.0-only
"""Handling a page fault of the guest, from the exit to the SPTE that resolves it.

Read ``page_fault`` (the order of the steps), ``mmio_fault`` (gfns without a memslot), ``fast_page_fault``
(restoring rights without mmu_lock), ``faultin`` (the host's page) and ``stale`` (whether that page may have
been reclaimed since). ``tdp_mmu.map`` then installs the SPTE. With shadow paging ``paging_fault`` walks the
guest's tables first, ``inject`` gives the guest a fault that is its own, and ``write_protect_fault`` decides
about writes to tables.
"""
