# SPDX-License-Identifier: GPL-2.0-only
"""From random numbers to steps that matter: the scene on which they are played, and what can come next.

Little memory, few memslots and gfns next to boundaries, so that steps meet: most bugs are where a range ends
in the middle of what another step made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from conformance.interface.observation import Observation
from conformance.scenarios.preconditions import Preconditions
from conformance.scenarios.steps import Step, step

__all__ = ["WORD", "Scene", "options_of"]

WORD = 6
"""Bytes of the number from which a step is drawn."""

T = TypeVar("T")

_X2M, _X1G = 0x200, 0x40000

_WEIGHTS = {
    "access": 30, "touch": 4, "madvise_dontneed": 3, "wrprotect": 2, "ksm_merge": 1, "collapse": 2,
    "notifier_start": 1, "notifier_end": 3, "change_pte": 1, "clear_flush_young": 2, "clear_young": 1,
    "test_young": 1, "set_memory_region": 5, "get_dirty_log": 3, "clear_dirty_log": 3, "mmap": 1,
    "set_nx_huge_pages": 1, "recover_nx_huge_pages": 1, "set_generation": 1, "enter": 2, "smm": 1,
    "walk_begin": 2, "walk_next": 5, "walk_end": 2, "grace_period": 2, "resched": 1,
    "delete_while_unmapping": 1,
}  # fmt: skip
"""How often a kind is drawn, as parts of their sum. Every story ends with destroy."""

_DRAWN = [kind for kind, weight in _WEIGHTS.items() for _ in range(weight)]

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

_LENGTHS = (1, 2, 8, 0x40, 0x1FF, _X2M, _X2M + 1)


class _Dice:
    """A number, used up choice by choice; when it is used up the first of each choice is taken."""

    def __init__(self, word: int) -> None:
        self._word = word

    def below(self, n: int) -> int:
        self._word, chosen = divmod(self._word, n)
        return chosen

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]


def options_of(word: int, *, pml: bool) -> dict[str, int]:
    """A VM's options; ``pml``: whether the mode has page modification logging."""
    dice = _Dice(word)
    return {
        "vcpus": dice.pick((1, 2)),
        "eager_page_split": dice.pick((1, 0)),
        "nx_huge_pages": dice.pick((0, 0, 1)),
        "manual_protect": dice.pick((0, 1, 3)),
        "pml": dice.pick((0, 1)) if pml else 0,
    }


class Scene:
    """What is there to play with after the steps so far, kept up by :meth:`note`."""

    def __init__(self, options: dict[str, int]) -> None:
        self._order = Preconditions(options)
        self._options = options
        self._areas: list[tuple[int, int, int, int]] = []
        self._slots: list[tuple[int, int, int, int]] = []
        """as_id, id, gfn and npages of every memslot."""
        self._pages: dict[tuple[int, int], int] = {}
        """The first host page of a memslot, by as_id and id."""
        self._gfn = 0

    def opening(self, word: int) -> list[Step]:
        """The first steps: some memory, and a memslot over it."""
        dice = _Dice(word)
        page, npages, level, gfn = dice.pick(_AREAS[:-1] if dice.below(8) else _AREAS)
        made = step("mmap", page=page, npages=npages, writable=1, level=level)
        return [made, step("set_memory_region", gfn=gfn, npages=npages, page=page, flags=0)]

    def draw(self, word: int) -> Step | None:
        """A step that may come now; None if the one drawn may not."""
        dice = _Dice(word)
        made = self._made(dice.pick(_DRAWN), dice)
        return None if made is None or self._order.refusal(made) else made

    def note(self, taken: Step, observation: Observation) -> None:
        """Keep up with a step and what came of it."""
        self._order.take(taken)
        given = taken.arguments
        if taken.kind == "mmap" and observation.outcome == [0]:
            self._areas.append((given["page"], given["npages"], given["level"], 0))
        elif taken.kind in ("set_memory_region", "delete_while_unmapping"):
            self._slots = [(slot.as_id, slot.id, slot.gfn, slot.npages) for slot in observation.slots]
            if taken.kind == "set_memory_region" and observation.outcome == [0]:
                self._pages[given["as_id"], given["slot"]] = given["page"]
        elif taken.kind == "access":
            self._gfn = given["gfn"]

    def ending(self) -> list[Step]:
        """What brings the story to its end: what is under way ends, and the VM is destroyed."""
        ends = [step("walk_end")] if self._order.walking else []
        ends += [step("notifier_end", page=page, npages=npages) for page, npages in self._order.invalidations]
        return [*ends, step("destroy")]

    # One kind of step each, or None if there is nothing for it to do.

    def _made(self, kind: str, dice: _Dice) -> Step | None:
        if kind in ("madvise_dontneed", "wrprotect", "clear_flush_young", "clear_young", "notifier_start"):
            page = self._page(dice)
            return step(kind, page=page, npages=dice.pick(_LENGTHS))
        if kind in ("ksm_merge", "collapse", "change_pte", "test_young"):
            return step(kind, page=self._page(dice))
        if kind in ("set_nx_huge_pages", "resched"):
            return step(kind, on=dice.below(2))
        if kind in ("enter", "smm", "access", "walk_begin"):
            return self._by_vcpu(kind, dice)
        if kind in ("get_dirty_log", "clear_dirty_log"):
            return self._log(kind, dice)
        if kind == "touch":
            return step(kind, page=self._page(dice), write=dice.below(2))
        if kind == "notifier_end":
            owed = self._order.invalidations
            return step(kind, **dict(zip(("page", "npages"), dice.pick(owed), strict=True))) if owed else None
        if kind == "mmap":
            page, npages, level, _ = dice.pick(_AREAS)
            return step(kind, page=page, npages=npages, writable=dice.pick((1, 1, 1, 0)), level=level)
        if kind == "set_memory_region":
            return self._region(dice)
        if kind == "delete_while_unmapping":
            as_id, slot, *_ = dice.pick(self._slots or [(0, 0, 0, 0)])
            where = {"page": self._page(dice), "npages": dice.pick(_LENGTHS)}
            return step(kind, slot=slot, as_id=as_id, **where)
        if kind == "set_generation":
            # Even, as the generations of address space 0 are, and soon to wrap in 18 or 19 bits.
            return step(kind, value=dice.pick(((1 << 18) - 4, (1 << 19) - 4, 0x1000)))
        return step(kind)

    def _by_vcpu(self, kind: str, dice: _Dice) -> Step:
        vcpu = dice.below(self._options["vcpus"])
        if kind == "enter":
            return step(kind, vcpu=vcpu)
        if kind == "smm":
            return step(kind, vcpu=vcpu, on=dice.below(2))
        if kind == "walk_begin":
            return step(kind, vcpu=vcpu, gfn=self._place(dice))
        return step(kind, vcpu=vcpu, kind=dice.pick((2, 1, 2, 4)), gfn=self._place(dice))

    def _place(self, dice: _Dice) -> int:
        """A gfn: near where the last access was, at an edge of a memslot, beside a 2M boundary, or MMIO."""
        how = dice.below(8)
        if how == 7 or not self._slots:
            return 0xFEC00
        if how < 2:
            return max(self._gfn + dice.pick((1, 0, -1, 2)), 0)
        _, _, gfn, npages = dice.pick(self._slots)
        edge = (gfn, gfn + npages - 1, gfn + npages, gfn + 1, -_X2M & (gfn + _X2M), -_X2M & (gfn + npages))
        return max(dice.pick(edge) + dice.pick((0, 0, -1, 5)), 0)

    def _page(self, dice: _Dice) -> int:
        """A page: behind a gfn where something happens, or at the edge of an area."""
        if self._slots and dice.below(4):
            as_id, slot, gfn, npages = dice.pick(self._slots)
            offset = min(max(self._place(dice) - gfn, 0), npages - 1)
            return self._pages[as_id, slot] + offset
        page, npages, *_ = dice.pick(self._areas or [_AREAS[0]])
        return page + dice.pick((0, npages // 2, npages - 1))

    def _log(self, kind: str, dice: _Dice) -> Step:
        as_id, slot, _, npages = dice.pick(self._slots or [(0, 0, 0, 64)])
        if kind == "get_dirty_log":
            return step(kind, slot=slot, as_id=as_id)
        first = 64 * dice.below((npages + 63) // 64)
        mask = dice.pick(((1 << 64) - 1, 1, 0xFF << 20, 1 << 63, 0x55))
        return step(kind, slot=slot, as_id=as_id, first=first, npages=min(64, npages - first), mask=mask)

    def _region(self, dice: _Dice) -> Step:
        """A memslot changed, deleted, moved, or made over some area."""
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
        """The flags, but without the log where it would split 1G into 262,144 pages."""
        return flags & ~1 if npages >= _X1G // 2 else flags
