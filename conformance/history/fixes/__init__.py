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

__all__ = ["FIXES"]

FIXES: tuple[Fix, ...] = (
    *VOLATILE, *MAKE_SPTE, *OTHER_SPTES, *WHOLE_VM, *SHADOW_PAGES, *GUEST_TABLES, *INTERLEAVINGS,
)  # fmt: skip
"""Every fix whose absence some oracle must notice: first those that a property notices, then the stories',
then the races'."""
