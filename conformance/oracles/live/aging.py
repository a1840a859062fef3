# SPDX-License-Identifier: GPL-2.0-only
"""Ages pages of the host process by DAMON, which calls .clear_young() of KVM's MMU notifier."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from conformance.oracles.live.emulator import CannotTake
from conformance.oracles.live.frames import address_of

__all__ = ["PROBE", "PROBED", "Damon"]

PROBE, PROBED = "conformance/aged", "kvm_mmu_notifier_clear_young"
"""The kretprobe that says what KVM answers, and its function."""

_AGED = re.compile(r"aged: .*\bret=(-?[0-9]+)")
_ADMIN = "/sys/kernel/mm/damon/admin/kdamonds"
_CONTEXT = f"{_ADMIN}/0/contexts/0"
_REGION = f"{_CONTEXT}/targets/0/regions/0"
_LONG = 1000_000_000
"""Microseconds between two samples: only the first one is taken."""


class Asking(Protocol):
    """A machine that answers requests; see loaded.Loaded."""

    def ask(self, request: str) -> list[str]:
        """The lines of the answer."""

    def code(self, request: str) -> int:
        """The code of the answer."""

    def need(self, request: str, what: str) -> None:
        """Ask for something that has to succeed."""


class Damon:
    """DAMON, if the kernel has it. It samples one page of the agent's process, which is number 1."""

    def __init__(self, machine: Asking) -> None:
        self._machine = machine
        self.there = machine.code(f"read {_ADMIN}/nr_kdamonds") == 0
        for path, value in _SETTINGS if self.there else ():
            machine.need(f"write {path} {value}", "configuring DAMON")

    def age(self, page: int, npages: int, level: int, *, alone: bool) -> tuple[int, list[str]]:
        """What KVM answers when a page is aged, and the trace. Raises CannotTake.

        level: that of the entry that maps the page in the process, 0 if none does. alone: the page behind it
        is not mapped. DAMON samples any byte of the page, and asks for 4096 bytes from there on.
        """
        if not self.there:
            raise CannotTake("this kernel has no DAMON, which ages pages")
        if npages > 1 or level != 1:
            raise CannotTake("DAMON ages single small pages that are mapped")
        if not alone:
            raise CannotTake("DAMON ages the page behind a sampled one, too, and that is mapped")
        trace = [line.removeprefix("trace ") for line in self._sample(page) if line.startswith("trace ")]
        answers = [int(found[1]) for found in map(_AGED.search, trace) if found is not None]
        if len(answers) != 1:
            raise CannotTake(f"DAMON has aged the page {len(answers)} times")
        return answers[0], trace

    def _sample(self, page: int) -> Iterator[str]:
        """Let DAMON take its first sample; the lines of all answers."""
        for request in (
            # New pages reach the lists of the kernel in batches; DAMON passes over those that have not.
            "write /proc/sys/vm/drop_caches 1",
            f"write {_REGION}/start {address_of(page)}",
            f"write {_REGION}/end {address_of(page + 1)}",
            f"write {_ADMIN}/0/state on",
            "wait milliseconds=20",
            f"write {_ADMIN}/0/state off",
        ):
            yield from self._machine.ask(request)


_SETTINGS = (
    (f"{_ADMIN}/nr_kdamonds", 1),
    (f"{_ADMIN}/0/contexts/nr_contexts", 1),
    (f"{_CONTEXT}/operations", "fvaddr"),
    (f"{_CONTEXT}/monitoring_attrs/intervals/update_us", _LONG),
    (f"{_CONTEXT}/monitoring_attrs/intervals/aggr_us", _LONG),
    (f"{_CONTEXT}/monitoring_attrs/intervals/sample_us", _LONG),
    (f"{_CONTEXT}/targets/nr_targets", 1),
    (f"{_CONTEXT}/targets/0/pid_target", 1),
    (f"{_CONTEXT}/targets/0/regions/nr_regions", 1),
)
"""Files of DAMON, in this order, and what they are set to."""
