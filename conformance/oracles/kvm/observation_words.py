# SPDX-License-Identifier: GPL-2.0-only
"""Decoding the words of an observation, which c/machine/state.c writes."""

from __future__ import annotations

from conformance.interface.observation import (
    Observation,
    RetiredTable,
    RootView,
    SlotView,
    State,
    TlbEntry,
    VcpuView,
    tlb_entries,
)

__all__ = ["read_observation"]

_STATE, _VCPU, _TLB, _RETIRED = (len(one._fields) for one in (State, VcpuView, TlbEntry, RetiredTable))
_SLOT = len(SlotView._fields) - 1
_ROOT = len(RootView._fields) - 1
_ENTRY = 4
"""Words of an entry of a root's table."""


def read_observation(words: list[int], events: list[str]) -> Observation:
    """The observation; of a destroyed machine only the outcome and the events.

    Raises ValueError, TypeError or IndexError if the words are malformed: kernel code may overwrite them.
    """
    at = 1 + 2 * words[0]
    outcome = [
        word - (1 << 64) if number and word >> 63 else word
        for number, word in zip(words[1:at:2], words[2:at:2], strict=True)
    ]
    if at == len(words):
        return Observation(outcome, events)
    state = State._make(words[at : at + _STATE])
    at += _STATE

    def chunks(size: int) -> list[list[int]]:
        """A list of entries of `size` words, after its length."""
        nonlocal at
        if words[at] > len(words):
            raise ValueError("a list is longer than the whole observation")
        start, at = at + 1, at + 1 + words[at] * size
        return [words[place : place + size] for place in range(start, at, size)]

    vcpus = [VcpuView(root - 1, *rest) for root, *rest in chunks(_VCPU)]
    at += 1
    tlb = [tlb_entries((root - 1, *rest) for root, *rest in chunks(_TLB)) for _ in vcpus]
    slots, roots = [], []
    number, at = words[at], at + 1
    for _ in range(number):
        start, at = at + 1, at + 1 + words[at]
        slots.append(SlotView._make([*words[start : start + _SLOT], tuple(words[start + _SLOT : at])]))
    number, at = words[at], at + 1
    for _ in range(number):
        header, at = words[at : at + _ROOT], at + _ROOT
        start, at = at + 1, at + 1 + words[at] * _ENTRY
        roots.append(RootView._make([*header, words[start:at]]))
    retired = sorted(RetiredTable._make(one) for one in chunks(_RETIRED))
    return Observation(outcome, events, state, vcpus, tlb, sorted(slots), roots, retired)
