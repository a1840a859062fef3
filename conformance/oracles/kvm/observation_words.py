# SPDX-License-Identifier: GPL-2.0-only
"""Decoding the words of an observation, which c/machine/state.c writes."""

from __future__ import annotations

from functools import lru_cache

from conformance.interface.observation import (
    MemoryWord,
    Observation,
    RetiredTable,
    RootView,
    SlotView,
    State,
    TlbEntry,
    VcpuView,
    views,
)
from conformance.oracles.kvm.shadow_words import read_shadow
from conformance.oracles.kvm.words import Words, rows_of

__all__ = ["read_observation"]

_STATE, _VCPU, _TLB, _RETIRED = (len(one._fields) for one in (State, VcpuView, TlbEntry, RetiredTable))
_SLOT = len(SlotView._fields) - 1
_ROOT = len(RootView._fields) - 1
_WORD = len(MemoryWord._fields)
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
    rest = Words(tuple(words), at)
    state = State._make(rest.take(_STATE))
    # Roots are numbered from 1; 0 means none.
    vcpus = views(VcpuView, [(root - 1, *others) for root, *others in rest.rows(_VCPU)])
    tlb: list[list[TlbEntry]] = []
    for _ in rest.counted():
        entries = sorted([(root - 1, *others) for root, *others in rest.rows(_TLB)])
        tlb.append(views(TlbEntry, entries))
    slots: list[tuple[object, ...]] = []
    for _ in rest.counted():
        slot = rest.take(rest.word())
        slots.append((*slot[:_SLOT], slot[_SLOT:]))
    roots: list[tuple[object, ...]] = []
    for _ in rest.counted():
        header = rest.take(_ROOT)
        roots.append((*header, [*rest.take(rest.word() * _ENTRY)]))
    retired = sorted(rest.rows(_RETIRED))
    memory = _memory(rest.take(rest.word() * _WORD))
    shadow = read_shadow(rest)
    rest.end()
    return Observation(
        outcome,
        events,
        state,
        vcpus,
        tlb,
        views(SlotView, sorted(slots)),
        views(RootView, roots),
        views(RetiredTable, retired),
        memory,
        shadow,
    )


@lru_cache(maxsize=16)
def _memory(words: tuple[int, ...]) -> list[MemoryWord]:
    """The content of memory; the same list again while it is unchanged."""
    return views(MemoryWord, sorted(rows_of(words, _WORD)))
