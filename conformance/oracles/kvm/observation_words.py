# SPDX-License-Identifier: GPL-2.0-only
"""Decoding the words of an observation, which c/machine/state.c writes.

A part whose words are unchanged is the same object again, so that it is compared only once.
"""

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
from conformance.oracles.kvm.words import Words, numbers, rows

__all__ = ["read_observation"]

_STATE, _VCPU, _TLB, _RETIRED = (len(one._fields) for one in (State, VcpuView, TlbEntry, RetiredTable))
_SLOT = len(SlotView._fields) - 1
_ROOT = len(RootView._fields) - 1
_WORD = len(MemoryWord._fields)
_ENTRY = 4
"""Words of an entry of a root's table."""


def read_observation(raw: bytes, events: list[str]) -> Observation:
    """The observation; of a destroyed machine only the outcome and the events.

    Raises ValueError, TypeError, LookupError or ArithmeticError if the words are malformed: kernel code may
    overwrite them.
    """
    rest = Words(raw)
    told = rest.take(2 * rest.word())
    outcome = [
        word - (1 << 64) if number and word >> 63 else word
        for number, word in zip(told[::2], told[1::2], strict=True)
    ]
    if rest.at == len(raw) // 8:
        return Observation(outcome, events)
    state = State._make(rest.take(_STATE))
    vcpus = _vcpus(rest.rows(_VCPU))
    tlb = [_tlb(rest.rows(_TLB)) for _ in rest.counted()]
    slots = sorted([_slot(rest.record(1, 1)) for _ in rest.counted()])
    roots = [_root(rest.record(_ROOT + 1, _ENTRY)) for _ in rest.counted()]
    retired = _retired(rest.rows(_RETIRED))
    memory = _memory(rest.rows(_WORD))
    shadow = read_shadow(rest.left())
    return Observation(outcome, events, state, vcpus, tlb, slots, roots, retired, memory, shadow)


@lru_cache(maxsize=64)
def _vcpus(raw: bytes) -> list[VcpuView]:
    """The vCPUs. Their roots are numbered from 1; 0 means none."""
    return views(VcpuView, [(root - 1, *others) for root, *others in rows(numbers(raw), _VCPU)])


@lru_cache(maxsize=64)
def _tlb(raw: bytes) -> list[TlbEntry]:
    """The TLB of a vCPU."""
    return views(TlbEntry, sorted([(root - 1, *others) for root, *others in rows(numbers(raw), _TLB)]))


@lru_cache(maxsize=64)
def _slot(raw: bytes) -> SlotView:
    """A memslot."""
    _, *slot = numbers(raw)
    return SlotView._make((*slot[:_SLOT], tuple(slot[_SLOT:])))


@lru_cache(maxsize=16)
def _root(raw: bytes) -> RootView:
    """A root."""
    words = numbers(raw)
    return RootView._make((*words[:_ROOT], words[_ROOT + 1 :]))


@lru_cache(maxsize=16)
def _retired(raw: bytes) -> list[RetiredTable]:
    """The tables that wait for a grace period."""
    return views(RetiredTable, sorted(rows(numbers(raw), _RETIRED)))


@lru_cache(maxsize=16)
def _memory(raw: bytes) -> list[MemoryWord]:
    """The content of memory."""
    return views(MemoryWord, sorted(rows(numbers(raw), _WORD)))
