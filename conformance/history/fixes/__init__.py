# SPDX-License-Identifier: GPL-2.0-only
"""The table of fixes: what each is, how to take it out of a kernel, what must notice that it is missing."""

from __future__ import annotations

from conformance.history.fix import Fix
from conformance.history.fixes.guest_tables import GUEST_TABLES
from conformance.history.fixes.interleavings import INTERLEAVINGS
from conformance.history.fixes.make_spte import MAKE_SPTE
from conformance.history.fixes.other_sptes import OTHER_SPTES
from conformance.history.fixes.shadow_pages import SHADOW_PAGES
from conformance.history.fixes.volatile import VOLATILE
from conformance.history.fixes.whole_vm import WHOLE_VM

__all__ = ["AWAITED", "FIXES"]

FIXES: tuple[Fix, ...] = (*VOLATILE, *MAKE_SPTE, *OTHER_SPTES, *WHOLE_VM, *INTERLEAVINGS)
"""Every fix whose absence some oracle must notice: first those that a property notices, then the
stories', then the races'."""

AWAITED: tuple[Fix, ...] = (*SHADOW_PAGES, *GUEST_TABLES)
"""Fixes that can be taken out of kernels, but whose story does not exist yet: each counts as undetected."""
