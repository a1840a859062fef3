# SPDX-License-Identifier: GPL-2.0-only
"""Decoding the words of an observation, which c/machine/state.c writes."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.interface.observation import (
    Observation,
    RetiredTable,
    RootView,
    SlotView,
    State,
    TlbEntry,
    VcpuView,
    views,
)

__all__ = ["read_observation"]

_STATE, _VCPU, _TLB, _RETIRED = (len(one._fields) for one in (State, VcpuView, TlbEntry, RetiredTable))
_SLOT = len(SlotView._fields) - 1
_ROOT = len(RootView._fields) - 1
_ENTRY = 4
"""Words of an entry of a root's table."""


def read_observation(words: list[int], events: list[str]) -> Observation:
    """The observation; of a destroyed machine only the outcome and the events.

    Raises ValueError, TypeError, LookupError or ArithmeticError if the words are malformed: kernel code may
    overwrite them.
    """
    at = 1 + 2 * words[0]
    outcome = [
        word - (1 << 64) if number and word >> 63 else word
        for number, word in zip(words[1:at:2], words[2:at:2], strict=True)
    ]
    if at == len(words):
        return Observation(outcome, events)
    # A list longer than the rest of the words leaves `at` behind their end, where the next read fails.
    state = State._make(words[at : at + _STATE])
    at += _STATE
    start, at = at + 1, at + 1 + words[at] * _VCPU
    # Roots are numbered from 1; 0 means none.
    vcpus = [
        VcpuView(root - 1, tlb_flush_requested, other_requests, flushes, smm)
        for root, tlb_flush_requested, other_requests, flushes, smm in _rows(words[start:at], _VCPU)
    ]
    at += 1
    tlb: list[list[TlbEntry]] = []
    for _ in vcpus:
        start, at = at + 1, at + 1 + words[at] * _TLB
        entries = [
            (root - 1, gfn, level, pfn, rights, dirty)
            for root, gfn, level, pfn, rights, dirty in _rows(words[start:at], _TLB)
        ]
        tlb.append(views(TlbEntry, sorted(entries)))
    slots: list[tuple[object, ...]] = []
    number, at = words[at], at + 1
    for _ in range(number):
        start, at = at + 1, at + 1 + words[at]
        slots.append((*words[start : start + _SLOT], tuple(words[start + _SLOT : at])))
    roots: list[tuple[object, ...]] = []
    number, at = words[at], at + 1
    for _ in range(number):
        header, at = words[at : at + _ROOT], at + _ROOT
        start, at = at + 1, at + 1 + words[at] * _ENTRY
        roots.append((*header, words[start:at]))
    start, at = at + 1, at + 1 + words[at] * _RETIRED
    retired = sorted(_rows(words[start:at], _RETIRED))
    if at != len(words):
        raise ValueError("the lists are not as long as the observation")
    return Observation(
        outcome,
        events,
        state,
        vcpus,
        tlb,
        views(SlotView, sorted(slots)),
        views(RootView, roots),
        views(RetiredTable, retired),
    )


def _rows(words: list[int], size: int) -> Iterator[tuple[int, ...]]:
    """The words in rows of ``size``."""
    return zip(*[iter(words)] * size, strict=True)
