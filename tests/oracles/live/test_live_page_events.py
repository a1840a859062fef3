# SPDX-License-Identifier: GPL-2.0-only
"""What the trace of a step says of shadow pages: the guest's own ones, and those that were made again."""

from __future__ import annotations

import pytest

from conformance.oracles.live.page_events import PageEvents, read_page_events

ROLE = "l1 8-byte q0 direct wux nxe ad"


def page(event: str, gfn: int, *, role: str = ROLE, rest: str = "sync", gen: int = 0) -> str:
    """A line of the tracer."""
    return f"{event}: sp gen {gen} gfn {gfn:x} {role} root 0 {rest}"


def made(gfn: int, **more) -> str:
    return page("kvm_mmu_get_page", gfn, rest="sync new", **more)


def zapped(gfn: int, **more) -> str:
    return page("kvm_mmu_prepare_zap_page", gfn, **more)


def events(*lines: str) -> PageEvents:
    return read_page_events(lines, lambda gfn: gfn >= 0x8000000)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((), PageEvents()),
        ((made(0x200), zapped(0x400)), PageEvents()),
        ((made(0x8000000), made(0x8000000), zapped(0x8000000, gen=1)),
         PageEvents(2, 1, frozenset({(0x8000000, 1)}))),
        ((page("kvm_mmu_get_page", 0x8000000, rest="sync existing"),), PageEvents()),
        ((zapped(0x200), made(0x200, gen=1)), PageEvents(0, 0, frozenset({(0x200, 1)}))),
        ((zapped(0x200), made(0x200, role=ROLE.replace("wux", "-ux"))), PageEvents()),
        (("kvm_page_fault: vcpu 0 rip 0x1 address 0x2 error_code 0x4", "", "junk"), PageEvents()),
    ],
)  # fmt: skip
def test_events_of_pages(lines, found):
    assert events(*lines) == found
