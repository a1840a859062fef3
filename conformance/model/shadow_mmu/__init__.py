# SPDX-License-Identifier: GPL-2.0-only
"""Shadow paging: the packing of shadowed_translation, and as much as three races of the fast page fault need.

From Xiao Guangrong's notes on locking, which the kernel's locking.rst still has: the mapping from gfn to
pfn, flushes after write-protection, and Dirty bits. Read ``page`` (the state), ``sptes``, ``faults`` and
``steps``.
"""
