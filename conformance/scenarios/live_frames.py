# SPDX-License-Identifier: GPL-2.0-only
"""The frames of a live host and those of the model's: paired within an observation, as they are reused.

That the kernel maps the right frame is checked by the live oracle itself; see oracles/live/frames.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from conformance.interface.observation import MemoryWord, Observation, PageEntry, RootView, ShadowPageView
from conformance.model.layout import SPTE_BASE_ADDR_MASK

__all__ = ["with_frames_of"]

_PRESENT = 1 << 11
_SHIFT = 12


class _Frames:
    """A one-to-one relation between the frames of two hosts."""

    def __init__(self) -> None:
        self._there: dict[int, int] = {}
        self._back: dict[int, int] = {}

    def pair(self, one: int, other: int) -> bool:
        """Whether the two are paired, or can be: then they are from now on."""
        if one not in self._there and other not in self._back:
            self._there[one], self._back[other] = other, one
        return self._there.get(one) == other

    def of(self, one: int) -> int:
        """The frame with which one is paired; if there is no such frame, itself."""
        return self._there.get(one, one)

    def translated(self, spte: int, other: int) -> int:
        """An SPTE, with the frame of the other one if their frames can be paired."""
        if self.pair(spte & SPTE_BASE_ADDR_MASK, other & SPTE_BASE_ADDR_MASK):
            return spte & ~SPTE_BASE_ADDR_MASK | other & SPTE_BASE_ADDR_MASK
        return spte


def with_frames_of(model: Observation, live: Observation) -> Observation:
    """The live observation with the model's frame in each SPTE that can be paired with the model's there."""
    frames = _Frames()
    roots = [_root(theirs, ours, frames) for theirs, ours in zip(model.roots, live.roots, strict=False)]
    found = live._replace(roots=[*roots, *live.roots[len(roots) :]])
    if model.shadow is None or live.shadow is None:
        return found
    both = zip(model.shadow.pages, live.shadow.pages, strict=False)
    pages = [_page(theirs, ours, frames) for theirs, ours in both]
    pages += live.shadow.pages[len(pages) :]
    found = found._replace(shadow=live.shadow._replace(pages=pages))
    return found._replace(memory=_memory(model.memory, live.memory, frames)) if live.memory else found


def _memory(model: Sequence[MemoryWord], live: Sequence[MemoryWord], frames: _Frames) -> Sequence[MemoryWord]:
    """The words of the live host; a frame that no SPTE maps is paired with one of the same content."""
    contents = _contents(model)
    for pfn, words in _contents(live).items():
        same = (other for other, theirs in contents.items() if theirs == words)
        next((True for other in same if frames.pair(pfn << _SHIFT, other << _SHIFT)), None)
    return tuple(sorted(word._replace(pfn=frames.of(word.pfn << _SHIFT) >> _SHIFT) for word in live))


def _contents(words: Sequence[MemoryWord]) -> dict[int, list[tuple[int, int]]]:
    """The words of each frame that has any."""
    found: dict[int, list[tuple[int, int]]] = {}
    for pfn, at, value in words:
        found.setdefault(pfn, []).append((at, value))
    return found


def _root(model: RootView, live: RootView, frames: _Frames) -> RootView:
    there = {(entry.level, entry.gfn): entry for entry in model.entries()}
    flat = [*live.flat]
    for at in range(0, len(flat), 4):
        level, gfn, spte, child = flat[at : at + 4]
        other = there.get((level, gfn))
        if other is None or child or other.child or not spte & other.spte & _PRESENT:
            continue
        flat[at + 2] = frames.translated(spte, other.spte)
    return live._replace(flat=flat)


def _page(model: ShadowPageView, live: ShadowPageView, frames: _Frames) -> ShadowPageView:
    there = {entry.at: entry for entry in model.entries}
    return live._replace(entries=tuple(_entry(there.get(entry.at), entry, frames) for entry in live.entries))


def _entry(model: PageEntry | None, live: PageEntry, frames: _Frames) -> PageEntry:
    if model is None or live.child or model.child or not live.spte & model.spte & _PRESENT:
        return live
    return live._replace(spte=frames.translated(live.spte, model.spte))
