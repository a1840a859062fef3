# SPDX-License-Identifier: GPL-2.0-only
"""The state of a machine as it was, to go back to it: cheaper than a copy, for all objects stay the same.

What each mutable object held is noted once; going back gives it that again, whatever it was made to hold
since. Objects made later are simply no longer reached.
"""

from __future__ import annotations

from typing import Any

from conformance.model.vm.mmu_pages import FreedEntries

__all__ = ["Snapshot"]


_FIXED = (int, str, frozenset, type(None), FreedEntries)


class Snapshot:
    """What is reachable from ``root`` through the machine's own objects, lists, sets and dicts."""

    def __init__(self, root: object) -> None:
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._attributes: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._lists: list[tuple[list[Any], list[Any]]] = []
        self._sets: list[tuple[set[Any], set[Any]]] = []
        self._seen: set[int] = set()
        self._note(root)

    def restore(self) -> None:
        """Go back."""
        for attributes, had in self._attributes:
            attributes.update(had)
        for items, had in self._dicts:
            items.clear()
            items.update(had)
        for listed, held in self._lists:
            listed[:] = held
        for members, was in self._sets:
            members.clear()
            members.update(was)

    def _note(self, thing: Any) -> None:
        if id(thing) in self._seen or isinstance(thing, _FIXED):
            return
        self._seen.add(id(thing))
        if isinstance(thing, dict):
            self._dicts.append((thing, dict(thing)))
            self._note_all([*thing.keys(), *thing.values()])
        elif isinstance(thing, list):
            self._lists.append((thing, list(thing)))
            self._note_all(thing)
        elif isinstance(thing, set):
            self._sets.append((thing, set(thing)))
            self._note_all(list(thing))
        elif isinstance(thing, tuple):
            self._note_all(list(thing))
        elif _changes(thing):
            attributes = vars(thing)
            self._attributes.append((attributes, dict(attributes)))
            self._note_all(list(attributes.values()))

    def _note_all(self, things: list[Any]) -> None:
        for thing in things:
            self._note(thing)


def _changes(thing: object) -> bool:
    """Whether it is an object of the machine's that can be changed."""
    parameters = getattr(thing, "__dataclass_params__", None)
    ours = type(thing).__module__.startswith("conformance.model.")
    return ours and hasattr(thing, "__dict__") and not (parameters and parameters.frozen)
