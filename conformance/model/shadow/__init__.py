# SPDX-License-Identifier: GPL-2.0-only
"""Shadow paging, as much of it as three races of its fast page fault need: one shadow page and its rmap.

From Xiao Guangrong's notes on locking (seed 4), which the kernel's locking.rst still has: the mapping from
gfn to pfn, flushes after write-protection, and Dirty bits. Read ``page`` (the state), ``sptes``, ``faults``
and ``steps``.
"""

from __future__ import annotations

from conformance.model.shadow.race import RacingShadow

__all__ = ["RacingShadow"]
