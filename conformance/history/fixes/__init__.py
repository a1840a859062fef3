# SPDX-License-Identifier: GPL-2.0-only
"""The table of fixes: what each is, how to take it out of a kernel, what must notice that it is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from conformance.history.fix import Fix
from conformance.history.fixes.guest_tables import GUEST_TABLES
from conformance.history.fixes.interleavings import INTERLEAVINGS
from conformance.history.fixes.make_spte import MAKE_SPTE
from conformance.history.fixes.other_sptes import OTHER_SPTES
from conformance.history.fixes.shadow_pages import SHADOW_PAGES
from conformance.history.fixes.volatile import VOLATILE
from conformance.history.fixes.whole_vm import WHOLE_VM

__all__ = ["AWAITED", "FIXES"]

_NOTICED_ON_6_1 = {
    "65855ed8b034", "0cb2af2ea66a", "b1bd5cba3306", "7a2c70e777a0", "2abd5287f083", "6b123c3a89a9",
    "21823fbda552", "9f46c187e2e6", "07ffaf343e34", "ada51a9de737", "6a97575d5cff", "f81602958c11",
    "aad885e77496",
}  # fmt: skip
"""Fixes of shadow paging without which 6.1 has been seen to differ in the story that is named with them."""


def _with(fixes: Iterable[Fix], noticed: bool) -> Iterator[Fix]:
    """The fixes with those of their reverts that have been seen to be noticed, or with the others."""
    for fix in fixes:
        known = fix.commit in _NOTICED_ON_6_1
        reverts = tuple(one for one in fix.reverts if (known and one.kernel == "6.1") == noticed)
        if reverts:
            yield replace(fix, reverts=reverts)


_OF_SHADOW_PAGING = (*SHADOW_PAGES, *GUEST_TABLES)

FIXES: tuple[Fix, ...] = (
    *VOLATILE, *MAKE_SPTE, *OTHER_SPTES, *WHOLE_VM, *_with(_OF_SHADOW_PAGING, noticed=True), *INTERLEAVINGS,
)  # fmt: skip
"""Every fix whose absence some oracle must notice: first those that a property notices, then the stories',
then the races'."""

AWAITED: tuple[Fix, ...] = tuple(_with(_OF_SHADOW_PAGING, noticed=False))
"""Fixes, or fixes of a kernel, that can be taken out but have not been seen to be noticed yet."""
