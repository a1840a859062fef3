# SPDX-License-Identifier: GPL-2.0-only
"""Pairs of functions of two kernels: by name, by known renames, by similarity of their text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

from conformance.kernels.renames import RENAMED
from conformance.review.functions import Text

__all__ = ["Pair", "pair", "property_of"]

ALIKE = 0.7
"""The similarity from which a function counts as another one renamed."""


@dataclass(frozen=True)
class Pair:
    """A function in both kernels; None for the kernel without it. ``through``: changed names it uses."""

    before: Text | None
    after: Text | None
    through: tuple[str, ...] = ()

    @property
    def text(self) -> Text:
        """The one after the change, if there is one."""
        text = self.after or self.before
        assert text is not None
        return text

    @property
    def was(self) -> str:
        """The name before, if that was another one."""
        return self.before.name if self.before and self.before.name != self.text.name else ""

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Its symbols in both kernels."""
        return frozenset(symbol for text in (self.before, self.after) if text for symbol in text.symbols)

    @property
    def same(self) -> bool:
        """Whether its text, and that of the macros that it uses, is the same."""
        return self.alike and not self.through and self.before.text == self.after.text  # type: ignore[union-attr]

    @property
    def alike(self) -> bool:
        """Whether its own tokens are the same, under the same name."""
        both = self.before is not None and self.after is not None
        return both and not self.was and self.before.words == self.after.words  # type: ignore[union-attr]

    @property
    def only_conditional(self) -> bool:
        """Whether it changed only between #if and #endif, which may not be compiled here."""
        both = self.before is not None and self.after is not None
        return both and not self.alike and self.before.unconditional == self.after.unconditional  # type: ignore[union-attr]


def pair(before: Mapping[str, Text], after: Mapping[str, Text]) -> dict[str, str]:
    """The new names of the functions of ``before`` that are renamed in ``after``, by old name."""
    gone = {name: text for name, text in before.items() if name not in after}
    new = {name: text for name, text in after.items() if name not in before}
    found = {old: name for old, name in RENAMED if old in gone and name in new}
    likely = sorted(
        ((_likeness(gone[old], new[name]), old, name) for old in gone for name in new), reverse=True
    )
    for likeness, old, name in likely:
        if likeness >= ALIKE and old not in found and name not in found.values():
            found[old] = name
    return found


def _likeness(one: Text, other: Text) -> float:
    """The similarity of their tokens, from 0 to 1; their own names are ignored."""
    ours, theirs = (["" if word == text.name else word for word in text.words] for text in (one, other))
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for quick in (matcher.real_quick_ratio, matcher.quick_ratio):
        if quick() < ALIKE:
            return 0.0
    return matcher.ratio()


def property_of(name: str) -> tuple[str, ...]:
    """The names under which a property may compare a function: its own, and earlier and later ones."""
    return (
        name,
        *(old for old, new in RENAMED if new == name),
        *(new for old, new in RENAMED if old == name),
    )
