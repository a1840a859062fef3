# SPDX-License-Identifier: GPL-2.0-only
"""One SPTE: what its bits mean, how it is made, and how it is changed.

An SPTE (shadow page table entry) is an entry of a page table that the processor walks for a guest, with
ordinary page tables or with EPT. It maps a guest frame (gfn) to a host page or to a further table, or maps
nothing. Reading order:

- ``model.layout``: where the bits are.
- ``predicates``: present, large, MMIO, frozen.
- ``writability``: W, MMU-writable and Host-writable; ``states`` has the legal combinations as a table.
- ``access``: Accessed and Dirty, access tracking, volatile bits.
- ``make_spte``: SPTEs for a fault, for a table, from a huge page and into one.
- ``spte_update``: changing a present SPTE, and when that needs a TLB flush.
- ``tdp_write``: how the TDP MMU writes an SPTE.
- ``mmio``: SPTEs that cache that a gfn is emulated MMIO.
- ``masks``: how the host's features set the masks that the functions above use.

For tools: ``decode`` puts an SPTE into words, ``legal`` and ``illegal`` say which SPTEs KVM makes, the
first as predicates, the second in sentences; ``macros`` are the kernel's names of a layout's constants.
"""
