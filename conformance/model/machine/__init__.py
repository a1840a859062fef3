# SPDX-License-Identifier: GPL-2.0-only
"""A whole VM as the TDP MMU sees it: host, memslots, page tables, vCPUs and the processor they run on.

Read in this order: ``vm`` (the state), ``tables``, ``spte_changes``, ``page_fault`` and what it calls,
``notifiers``, ``memory_region``, ``dirty_log``, ``processor``; ``steps`` is what can be done. ``points``,
``locks`` and ``threads`` are what makes several steps at a time possible.

It follows the kernels from v6.1 on: TDP MMU on, one memory type, direct maps only, no nesting.
"""

from __future__ import annotations

from conformance.model.machine.machine import KernelBug, Machine

__all__ = ["KernelBug", "Machine"]
