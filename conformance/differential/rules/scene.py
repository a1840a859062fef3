# SPDX-License-Identifier: GPL-2.0-only
"""A difference as rules see it: the inputs, what the accused side did, and what the other did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from conformance.differential.outputs import Spte
from conformance.differential.property import Property
from conformance.model.semantics import Semantics
from conformance.model.spte.decode.fields import fields
from conformance.model.spte.legal import present_kind, restored
from conformance.model.spte.predicates import is_executable_pte

__all__ = ["Scene"]

_BEFORE = ("memory", "huge_spte", "small_spte", "old_spte", "spte")
"""Names of inputs that are the SPTE which a function changes or examines."""


@dataclass(frozen=True)
class Scene:
    """One case of a property: ``seen`` are the words of the accused side, ``expected`` those of the other."""

    k: Semantics
    prop: Property
    case: Sequence[int]
    seen_words: Sequence[int]
    expected_words: Sequence[int]

    @cached_property
    def inputs(self) -> dict[str, int]:
        """The inputs by name."""
        return {column.name: word for column, word in zip(self.prop.takes, self.case, strict=True)}

    @cached_property
    def seen(self) -> dict[str, int]:
        """The outputs of the accused side by name."""
        return self._by_name(self.seen_words)

    @cached_property
    def expected(self) -> dict[str, int]:
        """The outputs of the other side by name."""
        return self._by_name(self.expected_words)

    def _by_name(self, words: Sequence[int]) -> dict[str, int]:
        """Observed words by output, without the word of events."""
        return {output.name: word for output, word in zip(self.prop.gives, words[:-1], strict=True)}

    @property
    def _sptes(self) -> list[str]:
        """The outputs that are SPTEs."""
        return [output.name for output in self.prop.gives if isinstance(output, Spte)]

    def differs(self, name: str) -> bool:
        """Whether the sides gave different words under this name."""
        return name in self.seen and self.seen[name] != self.expected[name]

    def event(self, name: str) -> tuple[int, int]:
        """How often something happened: on the accused side, and on the other."""
        if name not in self.prop.events:
            return 0, 0
        shift = 8 * self.prop.events.index(name)
        return self.seen_words[-1] >> shift & 0xFF, self.expected_words[-1] >> shift & 0xFF

    @property
    def before(self) -> int | None:
        """The SPTE that the function changes or examines, None for other functions."""
        return next((self.inputs[name] for name in _BEFORE if name in self.inputs), None)

    @cached_property
    def changed(self) -> str | None:
        """The name of the last output SPTE in which the sides differ, None if they differ in no SPTE."""
        return next((name for name in reversed(self._sptes) if self.differs(name)), None)

    @property
    def seen_spte(self) -> int:
        """The SPTE ``changed`` as the accused side gave it; 0 without one."""
        return self.seen[self.changed] if self.changed else 0

    @property
    def expected_spte(self) -> int:
        """The SPTE ``changed`` as the other side gave it; 0 without one."""
        return self.expected[self.changed] if self.changed else 0

    @property
    def level(self) -> int:
        """The level among the inputs; 0 if it is not one."""
        return self.inputs.get("level", 0)

    def present(self, spte: int) -> bool:
        """Whether it is shadow-present, and not frozen."""
        return bool(present_kind(self.k, spte))

    def executable(self, spte: int) -> bool:
        """Whether the guest may execute through it, perhaps after an access-tracked SPTE is restored."""
        plain = restored(self.k, spte)
        if self.k.shadow_nx_mask:
            return bool(is_executable_pte(self.k, plain))
        return bool(plain & (self.k.shadow_x_mask | self.k.shadow_xu_mask))

    def gained(self, mask: int) -> bool:
        """Whether only the accused side's SPTE has a bit of the mask."""
        return bool(self.changed) and bool(self.seen_spte & mask & ~self.expected_spte)

    def lost(self, mask: int) -> bool:
        """Whether only the other side's SPTE has a bit of the mask."""
        return bool(self.changed) and bool(self.expected_spte & mask & ~self.seen_spte)

    @cached_property
    def unlike(self) -> list[str]:
        """The fields of the SPTE that differ, by name."""
        one = {(field.high, field.low): field for field in fields(self.k, self.seen_spte)}
        other = {(field.high, field.low): field for field in fields(self.k, self.expected_spte)}
        if one.keys() != other.keys():
            return []
        names = [
            field.name or "unused bits" for place, field in one.items() if field.value != other[place].value
        ]
        return list(dict.fromkeys(names))
