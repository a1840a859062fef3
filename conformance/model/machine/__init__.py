# SPDX-License-Identifier: GPL-2.0-only
"""A whole VM as the TDP MMU sees it: host, memslots, page tables, vCPUs and the processor they run on.

``steps`` is what can be done, ``observation`` what can be seen. For the rest see ``model``.

It follows the kernels from v6.1 on: TDP MMU on, one memory type, direct maps only, no nesting.
"""

from __future__ import annotations

from conformance.model.machine.machine import KernelBug, Machine

__all__ = ["KernelBug", "Machine"]
