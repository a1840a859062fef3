# SPDX-License-Identifier: GPL-2.0-only
"""The TDP MMU (``mmu/tdp_mmu.c``): the page tables of direct roots, and every operation on them.

Read ``tdp_iter`` (the walk over the tables), ``changed_spte`` (writing one SPTE, and what follows from the
change), ``map`` (installing what a fault needs) and ``logging`` (write-protecting, or clearing Dirty, for the
dirty log). The operations that remove or replace mappings come next: ``zap``, ``split``, ``recover`` and
``age``. ``root_list`` and ``roots`` create, invalidate and free roots. ``reader`` is a lockless
walk, which only tests perform.
"""
