# SPDX-License-Identifier: GPL-2.0-only
"""Shadow pages that were made and zapped during a step, by KVM's trace events."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["EVENTS", "PageEvents", "read_page_events"]

EVENTS = ("kvmmmu/kvm_mmu_get_page", "kvmmmu/kvm_mmu_prepare_zap_page")
"""The events, as the tracer has them."""

_PAGE = re.compile(
    r"(?P<event>kvm_mmu_get_page|kvm_mmu_prepare_zap_page): sp gen \S+ "
    r"(?P<page>gfn (?P<gfn>[0-9a-f]+) l?(?P<level>[0-9]+).*?) root \S+ (?P<rest>.*)"
)


@dataclass(frozen=True)
class PageEvents:
    """What happened to shadow pages: how many of the guest's own were made and zapped.

    ``remade`` are the gfn and level of pages of which one was zapped and one like it was made.
    """

    own_made: int = 0
    own_zapped: int = 0
    remade: frozenset[tuple[int, int]] = frozenset()


def read_page_events(trace: Sequence[str], own: Callable[[int], bool]) -> PageEvents:
    """The events in a trace; ``own`` says whether a gfn is of the guest's own memory."""
    made: list[re.Match[str]] = []
    zapped: list[re.Match[str]] = []
    for line in trace:
        found = _PAGE.search(line)
        if found is None:
            continue
        if found["event"] == "kvm_mmu_prepare_zap_page":
            zapped.append(found)
        elif found["rest"].split()[-1:] == ["new"]:
            made.append(found)
    both = {found["page"] for found in made} & {found["page"] for found in zapped}
    return PageEvents(
        sum(own(_gfn(found)) for found in made),
        sum(own(_gfn(found)) for found in zapped),
        frozenset((_gfn(found), int(found["level"])) for found in zapped if found["page"] in both),
    )


def _gfn(found: re.Match[str]) -> int:
    return int(found["gfn"], 16)
