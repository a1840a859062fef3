# SPDX-License-Identifier: GPL-2.0-only
"""The frames of a live host and those of the model's: paired within an observation, as they are reused.

That the kernel maps the right frame is checked by the live oracle itself; see oracles/live/frames.py.
"""

from __future__ import annotations

from conformance.interface.observation import Observation, RootView

__all__ = ["with_frames_of"]

_ADDRESS = 0x000FFFFFFFFFF000
_PRESENT = 1 << 11


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


def with_frames_of(model: Observation, live: Observation) -> Observation:
    """The live observation with the model's frame in each SPTE that can be paired with the model's there."""
    frames = _Frames()
    roots = [_root(theirs, ours, frames) for theirs, ours in zip(model.roots, live.roots, strict=False)]
    return live._replace(roots=[*roots, *live.roots[len(roots) :]])


def _root(model: RootView, live: RootView, frames: _Frames) -> RootView:
    there = {(entry.level, entry.gfn): entry for entry in model.entries()}
    flat = [*live.flat]
    for at in range(0, len(flat), 4):
        level, gfn, spte, child = flat[at : at + 4]
        other = there.get((level, gfn))
        if other is None or child or other.child or not spte & other.spte & _PRESENT:
            continue
        if frames.pair(spte & _ADDRESS, other.spte & _ADDRESS):
            flat[at + 2] = spte & ~_ADDRESS | other.spte & _ADDRESS
    return live._replace(flat=flat)
