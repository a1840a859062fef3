# SPDX-License-Identifier: GPL-2.0-only
"""The kinds of random stories: a mode, and the scene in which their steps are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from conformance.errors import ConformanceError
from conformance.interface.live import NOT_LIVE
from conformance.interface.options import check_options
from conformance.scenarios.drawing import Scene
from conformance.scenarios.drawing_guests import NestedEptScene, NestedNptScene, ShadowScene
from conformance.scenarios.modes import DIRECT_MODES, EPT_MODES, SHADOW_MODES, with_legacy

__all__ = ["WALKS", "Walk", "walks"]


@dataclass(frozen=True)
class Walk:
    """Random stories in a mode; ``name`` is that of the mode, or nested-MODE for those of nested guests.

    ``live``: only with steps that a running kernel can be made to take.
    """

    name: str
    mode: str
    of: type[Scene]
    live: bool = False
    without: frozenset[str] = frozenset()
    """Kinds of steps that are not drawn either."""

    def scene(self, options: dict[str, int]) -> Scene:
        """The scene of a story."""
        return self.of(options, self.mode, live=self.live, without=self.without)

    @property
    def absent(self) -> str:
        """Why there are no such stories; "" if there are."""
        lacking = [kind for kind in _NEEDED.get(self.of, ()) if self.live and kind in NOT_LIVE]
        return f"{lacking[0]}: {NOT_LIVE[lacking[0]]}" if lacking else ""

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of steps that are drawn."""
        return self.scene(check_options({})).kinds


_NEEDED: dict[type[Scene], tuple[str, ...]] = {
    ShadowScene: ("execute",),
    NestedEptScene: ("enter_l2",),
    NestedNptScene: ("enter_l2",),
}
"""Steps without which there is no story."""

WALKS = {
    walk.name: walk
    for walk in (
        *(Walk(mode, mode, Scene) for mode in DIRECT_MODES),
        *(Walk(mode, mode, ShadowScene) for mode in SHADOW_MODES),
        *(Walk(f"nested-{mode}", mode, NestedEptScene) for mode in with_legacy(*EPT_MODES)),
        *(Walk(f"nested-{mode}", mode, NestedNptScene) for mode in with_legacy("npt")),
    )
}
"""Every kind of random stories by name."""


def walks(names: Sequence[str]) -> list[Walk]:
    """The kinds of these names, all if none is given. Raises ConformanceError for an unknown one."""
    for name in names:
        if name not in WALKS:
            raise ConformanceError(f"no random stories have mode {name}; there are {', '.join(WALKS)}.")
    return [WALKS[name] for name in names or WALKS]
