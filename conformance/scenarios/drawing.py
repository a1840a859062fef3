# SPDX-License-Identifier: GPL-2.0-only
"""Random steps: a number becomes a step whose arguments refer to the memory and memslots that exist.

There is little memory and there are few memslots, with gfns next to boundaries, so that steps overlap: most
bugs are where a range ends inside of a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import ClassVar, TypeVar

from conformance.interface.access import FETCH, READ, WRITE, End
from conformance.interface.arguments import Argument
from conformance.interface.live import NOT_LIVE, live_place
from conformance.interface.observation import Observation
from conformance.interface.steps import KINDS
from conformance.scenarios.drawing_live import UNDRAWN, RealHost
from conformance.scenarios.preconditions import Preconditions
from conformance.scenarios.steps import Step, step

__all__ = ["WORD", "Dice", "Scene", "options_of"]

WORD = 6
"""Bytes of the number from which a step is drawn."""

T = TypeVar("T")

_X2M, _X1G = 0x200, 0x40000

_OF_A_SLOT = {kind.name for kind in KINDS.values() if {"slot", "as_id"} <= {*kind.parameters}}
"""The kinds of steps that name a memslot."""

_AREAS = (
    # page, npages, level of an area, and the gfn at which memslots over it begin
    (0x1F0, 0x40, 1, 0x1F0),
    (0x400, 2 * _X2M, 2, 0x400),
    (0x1000, 0x210, 2, 0x5F8),
    (0x2000, 0x80, 1, 0xA0),
    (0x3000, 0x20, 1, 0x7FFFFF0),
    (_X1G, _X1G, 3, _X1G),
)
"""Memory of the host: small pages across a 2M and a 512G boundary, huge ones aligned and not, one of 1G."""

_VALUES = {
    "npages": (1, 2, 8, 0x40, 0x1FF, _X2M, _X2M + 1),
    "kind": (WRITE, READ, WRITE, FETCH),
    "mask": ((1 << 64) - 1, 1, 0xFF << 20, 1 << 63, 0x55),
    # Generations of address space 0 are even; these wrap soon in 18 or 19 bits.
    "value": ((1 << 18) - 4, (1 << 19) - 4, 0x1000),
}
"""Values of arguments, by the argument's name. Others are drawn from their whole range."""


class Dice:
    """A number that is used up choice by choice; then the first of each choice is taken."""

    def __init__(self, word: int) -> None:
        self._word = word

    def below(self, n: int) -> int:
        """A number from 0 on."""
        self._word, chosen = divmod(self._word, n)
        return chosen

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[self.below(len(choices))]


def options_of(word: int, *, pml: bool) -> dict[str, int]:
    """A VM's options; ``pml``: whether the mode has page modification logging."""
    dice = Dice(word)
    return {
        "vcpus": dice.pick((1, 2)),
        "eager_page_split": dice.pick((1, 0)),
        "nx_huge_pages": dice.pick((0, 0, 1)),
        "manual_protect": dice.pick((0, 1, 3)),
        "pml": dice.pick((0, 1)) if pml else 0,
    }


class Scene:
    """The memory and memslots that exist after the steps so far; :meth:`note` keeps it up to date.

    ``live``: only steps that a running kernel can be made to take are drawn.
    """

    weights: ClassVar[Mapping[str, int]] = {name: kind.weight for name, kind in KINDS.items()}
    """How often each kind of step is drawn. Every story ends with destroy, which is not drawn."""

    def __init__(
        self,
        options: dict[str, int],
        mode: str,
        *,
        live: bool = False,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self._preconditions = Preconditions(options, [mode])
        self._options = options
        self._live = live
        self._host = RealHost()
        self.kinds = tuple(
            kind
            for kind in KINDS
            if self.weights.get(kind)
            and self._preconditions.fit(kind)
            and kind not in without
            and not (live and (kind in NOT_LIVE or kind in UNDRAWN))
        )
        """The kinds of steps that are drawn."""
        self._drawn = [kind for kind in self.kinds for _ in range(self.weights[kind])]
        self._areas: list[tuple[int, int]] = []
        """The first page and the size of each area."""
        self._slots: list[tuple[int, int, int, int]] = []
        """as_id, id, gfn and npages of every memslot."""
        self._pages: dict[tuple[int, int], int] = {}
        """The first host page of a memslot, by as_id and id."""
        self._gfn = 0

    def opening(self, word: int) -> list[Step]:
        """The first steps: some memory, and a memslot over it."""
        dice = Dice(word)
        page, npages, level, gfn = dice.pick(_AREAS[:-1] if dice.below(8) else _AREAS)
        if self._live:
            page, npages, level, gfn = _AREAS[word % 4]
        made = step("mmap", page=page, npages=npages, writable=1, level=level)
        return [made, step("set_memory_region", gfn=gfn, npages=npages, page=page, flags=0)]

    def draw(self, word: int) -> Step | None:
        """A step; None if the one that was drawn cannot come now."""
        dice = Dice(word)
        return self._possible(self._made(dice.pick(self._drawn), dice))

    def redraw(self, kind: str, word: int) -> Step | None:
        """A step of a kind; None if that is not drawn here, or cannot come now."""
        return self._possible(self._made(kind, Dice(word))) if kind in self.kinds else None

    def possible(self, made: Step) -> bool:
        """Whether a step can come now."""
        return not self._preconditions.refusal(made)

    def adopt(self, steps: Sequence[Step]) -> None:
        """Draw what fits a story with these steps, from its beginning on, instead of opening one."""

    def _possible(self, made: Step | None) -> Step | None:
        """The step, or one like it, if it can come now; else None."""
        if made is not None and self._live:
            made = self._taken_live(made)
        return made if made is not None and self.possible(made) else None

    def _taken_live(self, made: Step) -> Step | None:
        """The step, or one like it, if a running kernel can be made to take it; else None."""
        if made.kind == "smm":
            # KVM_SET_VCPU_EVENTS changes nothing else.
            vcpu = made.arguments["vcpu"]
            return step("smm", vcpu=vcpu, on=int(vcpu not in self._preconditions.in_smm))
        if made.kind == "access" and made.arguments["gfn"] == 0:
            # KVM does not cache gfn 0 as one of MMIO, and lets the guest try again before it emulates.
            return None
        return self._host.like(made) if live_place(made.arguments) else None

    def permits(self, steps: Sequence[Step], seen: Sequence[Observation]) -> bool:
        """Whether these steps could be drawn here; ``seen`` are the observations of all but the last one."""
        for taken, observation in zip_longest(steps, seen):
            if self._live and self._taken_live(taken) != taken:
                return False
            if observation is not None:
                self.note(taken, observation)
        return True

    def note(self, taken: Step, observation: Observation) -> None:
        """Take note of a step and its observation."""
        self._preconditions.take(taken)
        given = taken.arguments
        if taken.kind == "mmap" and observation.outcome == [0]:
            self._areas.append((given["page"], given["npages"]))
            self._host.mapped(given["page"], given["npages"], given["level"], bool(given["writable"]))
        elif taken.kind in ("set_memory_region", "delete_while_unmapping"):
            self._slots = [(slot.as_id, slot.id, slot.gfn, slot.npages) for slot in observation.slots]
            if taken.kind == "set_memory_region" and observation.outcome == [0]:
                self._pages[given["as_id"], given["slot"]] = given["page"]
        elif taken.kind == "access":
            self._gfn = given["gfn"]
            if self._live and observation.outcome[-1] == End.DONE:
                self._used(given["vcpu"], given["gfn"], given["kind"] == WRITE)
        if self._live and observation.outcome == [0]:
            self._host.note(taken)

    def _used(self, vcpu: int, gfn: int, write: bool) -> None:
        """A vCPU has used the page behind a gfn."""
        for as_id, slot, first, npages in self._slots:
            if as_id == int(vcpu in self._preconditions.in_smm) and first <= gfn < first + npages:
                self._host.used(self._pages[as_id, slot] + gfn - first, write)

    def ending(self) -> list[Step]:
        """The closing steps: the walk and the invalidations in progress end, and the VM is destroyed."""
        ends = [step("walk_end")] if self._preconditions.walking else []
        ends += [step("leave_l2", vcpu=vcpu) for vcpu in sorted(self._preconditions.in_l2)]
        ends += [
            step("notifier_end", page=page, npages=npages)
            for page, npages in self._preconditions.invalidations
        ]
        return [*ends, step("destroy")]

    def _made(self, kind: str, dice: Dice) -> Step | None:
        """A step of a kind; None if there is nothing that it could refer to."""
        # These choose their arguments together.
        if kind == "notifier_end":
            owed = self._preconditions.invalidations
            return step(kind, **dict(zip(("page", "npages"), dice.pick(owed), strict=True))) if owed else None
        if kind == "mmap":
            page, npages, level, _ = dice.pick(_AREAS)
            return step(kind, page=page, npages=npages, writable=dice.pick((1, 1, 1, 0)), level=level)
        if kind == "set_memory_region":
            return self._region(dice)
        given: dict[str, int] = {}
        if kind in _OF_A_SLOT:
            given["as_id"], given["slot"], _, npages = dice.pick(self._slots or [(0, 0, 0, 64)])
            if kind == "clear_dirty_log":
                given["first"] = 64 * dice.below((npages + 63) // 64)
                given["npages"] = min(64, npages - given["first"])
        for argument in KINDS[kind].takes:
            if argument.name not in given:
                given[argument.name] = self._value(argument, dice)
        return step(kind, **given)

    def _value(self, argument: Argument, dice: Dice) -> int:
        """A value of an argument that is chosen by itself."""
        name = argument.name
        if name in _VALUES:
            return dice.pick(_VALUES[name])
        if name == "gfn":
            return self._place(dice)
        if name == "vcpu":
            return dice.below(self._options["vcpus"])
        if name == "page":
            return self._page(dice)
        return argument.least + dice.below(argument.most - argument.least + 1)

    def _place(self, dice: Dice) -> int:
        """A gfn: near the last access, at an edge of a memslot, beside a 2M boundary, or MMIO."""
        how = dice.below(8)
        if how == 7 or not self._slots:
            return 0xFEC00
        if how < 2:
            return max(self._gfn + dice.pick((1, 0, -1, 2)), 0)
        _, _, gfn, npages = dice.pick(self._slots)
        edge = (gfn, gfn + npages - 1, gfn + npages, gfn + 1, -_X2M & (gfn + _X2M), -_X2M & (gfn + npages))
        return max(dice.pick(edge) + dice.pick((0, 0, -1, 5)), 0)

    def _page(self, dice: Dice) -> int:
        """A host page: behind a gfn of that kind, or at the edge of an area."""
        if self._slots and dice.below(4):
            as_id, slot, gfn, npages = dice.pick(self._slots)
            offset = min(max(self._place(dice) - gfn, 0), npages - 1)
            return self._pages[as_id, slot] + offset
        page, npages = dice.pick(self._areas or [_AREAS[0][:2]])
        return page + dice.pick((0, npages // 2, npages - 1))

    def _region(self, dice: Dice) -> Step:
        """Change, delete, move or create a memslot."""
        if self._slots and dice.below(4):
            as_id, slot, gfn, npages = dice.pick(self._slots)
            page = self._pages[as_id, slot]
            how = dice.below(8)
            if how < 6:
                flags = dice.pick((0, 1)) if how < 5 else dice.pick((2, 3))
            else:
                flags = 0
                gfn, npages = (gfn + dice.pick((_X2M, 0x10)), npages) if how == 6 else (gfn, 0)
            flags = self._affordable(flags, npages)
            return step(
                "set_memory_region", slot=slot, as_id=as_id, gfn=gfn, npages=npages, page=page, flags=flags
            )
        page, npages, _, gfn = dice.pick(_AREAS[:-1] if dice.below(16) else _AREAS)
        part = dice.pick((npages, npages // 2, npages - 1))
        where = {"slot": dice.below(4), "as_id": dice.pick((0, 0, 1)), "gfn": gfn, "page": page}
        flags = self._affordable(dice.pick((0, 0, 1, 2)), part)
        return step("set_memory_region", npages=part, flags=flags, **where)

    def _affordable(self, flags: int, npages: int) -> int:
        """The flags, without dirty logging where it would split 1G into 262,144 pages."""
        return flags & ~1 if npages >= _X1G // 2 else flags
