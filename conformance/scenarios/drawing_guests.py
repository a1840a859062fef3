# SPDX-License-Identifier: GPL-2.0-only
"""Random steps of guests whose page tables KVM shadows: of linear addresses, or of L2's physical ones.

There are two roots, six tables and eight pages of data, and few indices at each level, so that the same
shapes recur: a table that maps itself, one that is linked twice, one at two levels, several addresses of one
page. Uniform drawing would hardly ever make one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from conformance.interface.access import FETCH, READ, WRITE
from conformance.interface.arguments import Argument
from conformance.interface.observation import Observation
from conformance.interface.steps import KINDS
from conformance.scenarios.drawing import Dice, Scene
from conformance.scenarios.steps import Step, step
from conformance.scenarios.stories.guest_tables import (
    CR0,
    CR4,
    EFER,
    EPT,
    EPT_A,
    EPT_D,
    EPT_R,
    EPT_RWX,
    EPT_W,
    EPT_WB,
    EPT_X,
    LONG,
    LONG5,
    NX,
    NXE,
    PAE,
    PCIDE,
    PG,
    PGE,
    PKE,
    PS,
    PSE,
    READY,
    RW,
    SMAP,
    SMEP,
    TWO_LEVELS,
    US,
    WP,
    A,
    D,
    Format,
    P,
)

__all__ = ["NestedEptScene", "NestedNptScene", "ShadowScene"]

LMA = 1 << 10
"""Of EFER: long mode is active."""
ROOTS, TABLES, DATA = (0x200, 0x201), range(0x202, 0x208), range(0x10, 0x18)
DEVICE, READ_ONLY = 0xFEC00, 0x1000
INDICES = 4
"""Entries of a table that are used: the first ones."""
_NPAGES = 0x400

_ENTRIES = (
    READY,
    READY,
    READY,
    READY,
    READY,
    P | RW | US,
    P | RW | US,
    P | US | A | D,
    P | RW | A | D,
    READY | NX,
    P | RW | US | A,
    0,
)
_EPT_ALL = EPT_RWX | EPT_A | EPT_D
_EPT_ENTRIES = tuple(
    flags | EPT_WB
    for flags in (
        _EPT_ALL, _EPT_ALL, EPT_RWX, EPT_R | EPT_X, EPT_R, EPT_R | EPT_W | EPT_A | EPT_D, EPT_X, EPT_W,
    )
)  # fmt: skip
"""The flags of entries: those of a table are the same, and ignore what they do not have."""

_OF_LEVEL = {1: (0, 1, 2, 3), 2: (0, 1, 0, 1, 0, 1, 2)}
"""The indices of an address at the lowest levels: most lead to a table at first."""

_OF_THE_HOST = {
    "touch": 2, "madvise_dontneed": 2, "wrprotect": 1, "ksm_merge": 1, "collapse": 1, "notifier_start": 1,
    "notifier_end": 3, "clear_flush_young": 1, "clear_young": 1, "test_young": 1, "set_memory_region": 2,
    "get_dirty_log": 2, "clear_dirty_log": 1, "set_nx_huge_pages": 1, "recover_nx_huge_pages": 1,
    "set_nr_mmu_pages": 1, "enter": 2, "smm": 1, "grace_period": 1, "resched": 1, "set_generation": 1,
}  # fmt: skip


class GuestScene(Scene):
    """A guest with tables; what it draws of the host's steps concerns their pages and those of data."""

    formats: ClassVar[tuple[Format, ...]]
    flags: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        options: dict[str, int],
        mode: str,
        *,
        live: bool = False,
        without: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(options, mode, live=live, without=without)
        self._format = self.formats[0]
        self._first: dict[tuple[int, int], int] = {}
        """The entries as they were at first, by table and index."""
        self._short: set[int] = set()
        """vCPUs whose addresses have 32 bits."""

    def opening(self, word: int) -> list[Step]:
        """Memory, a read-only memslot, and tables that lead to the data and to themselves."""
        dice = Dice(word)
        self._format = dice.pick(self.formats)
        level, smm = dice.pick((1, 1, 2)), dice.pick((0, 0, 1))
        return [
            step("mmap", page=0, npages=_NPAGES, level=level),
            *(step("set_memory_region", as_id=n, gfn=0, npages=_NPAGES, page=0) for n in range(1 + smm)),
            step("mmap", page=READ_ONLY, npages=16),
            step("set_memory_region", slot=1, gfn=READ_ONLY, npages=16, page=READ_ONLY, flags=2),
            *self._skeleton(),
            *(one for vcpu in range(self._options["vcpus"]) for one in self._beginning(vcpu)),
        ]

    def adopt(self, steps: Sequence[Step]) -> None:
        """Take the guest's format from its first registers, and the first entries from what it stores."""
        for taken in steps:
            given = taken.arguments
            if taken.kind == "set_sregs":
                registers = tuple(given[name] for name in ("cr0", "cr4", "efer"))
                alike = [form for form in self.formats if (form.cr0, form.cr4, form.efer) == registers]
                self._format = (*alike, self._format)[0]
                break
        size = self._format.bytes
        for taken in steps:
            if taken.kind == "store":
                given = taken.arguments
                for part in range(8 // size):
                    place = given["gfn"], given["index"] * 8 // size + part
                    entry = given["value"] >> 8 * size * part & (1 << 8 * size) - 1
                    if entry:
                        self._first.setdefault(place, entry)

    def _beginning(self, vcpu: int) -> list[Step]:
        """What a vCPU does first."""
        raise NotImplementedError

    def _skeleton(self) -> list[Step]:
        """Both roots lead to the same two leaf tables: one maps data and itself, the other one all tables."""
        leaf, window = TABLES[-2], TABLES[-1]
        made: dict[tuple[int, int], int] = {}
        above = [*ROOTS]
        for depth in range(self._format.top, 2, -1):
            table = TABLES[depth - 3]
            for upper in above:
                made[upper, 0] = self._linked(upper, table)
            above = [table]
        for upper in above:
            made[upper, 0], made[upper, 1] = self._linked(upper, leaf), self._linked(upper, window)
        made |= {(leaf, n): self._entry(DATA[n], self.flags[0]) for n in range(INDICES - 1)}
        made[leaf, INDICES - 1] = self._entry(leaf, self.flags[0])
        shown = (leaf, window, TABLES[0], ROOTS[0])
        made |= {(window, n): self._entry(gfn, self.flags[0]) for n, gfn in enumerate(shown)}
        self._first = made
        return self._stores(made)

    def note(self, taken: Step, observation: Observation) -> None:
        """Take note of a step and its observation."""
        super().note(taken, observation)
        if observation.shadow is not None:
            vcpus = enumerate(observation.shadow.vcpus)
            self._short = {number for number, vcpu in vcpus if not vcpu.efer & LMA or vcpu.guest_mode}

    def _linked(self, upper: int, table: int) -> int:
        """An entry that points to a table; those of a PAE root have fewer flags."""
        return self._entry(table, P if self._format is PAE and upper in ROOTS else self._format.table)

    def _entry(self, gfn: int, flags: int) -> int:
        """An entry of the format's size."""
        return (gfn << 12 | flags) & (1 << 8 * self._format.bytes) - 1

    def _stores(self, made: Mapping[tuple[int, int], int]) -> list[Step]:
        """The steps that write entries: words have two where entries are of 4 bytes."""
        words: dict[tuple[int, int], int] = {}
        for (gfn, index), value in made.items():
            at, shift = divmod(index * self._format.bytes, 8)
            words[gfn, at] = words.get((gfn, at), 0) | value << 8 * shift
        return [step("store", gfn=gfn, index=at, value=value) for (gfn, at), value in words.items()]

    def _made(self, kind: str, dice: Dice) -> Step | None:
        """A step of a kind."""
        vcpu = dice.below(self._options["vcpus"]) if "vcpu" in KINDS[kind].parameters else 0
        if kind == "execute":
            access, address = dice.pick((READ, WRITE, READ, WRITE, FETCH)), self._address(vcpu, dice)
            return step(
                kind, vcpu=vcpu, address=address, kind=access, privilege=dice.pick((0, 0, 1, 2)),
                value=self._written(self._reached(vcpu, address), dice) if access == WRITE else 0,
                instruction=int(access == WRITE and not dice.below(8)),
            )  # fmt: skip
        if kind == "store":
            gfn, index = dice.pick((*TABLES, *TABLES, *ROOTS, *DATA)), dice.below(INDICES)
            return step(kind, gfn=gfn, index=index, value=self._written((gfn, index), dice))
        if kind == "smm" and not any(as_id for as_id, *_ in self._slots):
            return None
        if kind == "set_nr_mmu_pages":
            return step(kind, n=dice.pick((64, 64, 65, 1000)))
        if kind == "set_memory_region":
            return self._flags(dice)
        if kind == "set_sregs":
            return dice.pick(self._beginning(vcpu))
        return super()._made(kind, dice)

    def _flags(self, dice: Dice) -> Step:
        """Logging begins or ends, or the small memslot goes, comes, or changes."""
        if dice.below(3):
            return step("set_memory_region", gfn=0, npages=_NPAGES, page=0, flags=dice.pick((1, 0)))
        npages, flags = dice.pick(((16, 2), (16, 0), (0, 0)))
        return step("set_memory_region", slot=1, gfn=READ_ONLY, npages=npages, page=READ_ONLY, flags=flags)

    def _page(self, dice: Dice) -> int:
        """A page of the host: of data, seldom of a table."""
        return dice.pick((*DATA, *DATA, *TABLES, *ROOTS))

    def _value(self, argument: Argument, dice: Dice) -> int:
        """A value of an argument: ranges are short, so that few of them cover all."""
        return dice.pick((1, 1, 2, 8)) if argument.name == "npages" else super()._value(argument, dice)

    def _address(self, vcpu: int, dice: Dice) -> int:
        """An address that the tables may translate: of few indices at each level, and of few words."""
        address = 0
        for level in range(self._format.top, 0, -1):
            choices = _OF_LEVEL.get(level, (0, 0, 0, 0, 0, 0, 0, 1))
            address |= dice.pick(choices) << 12 + self._bits * (level - 1)
        address |= dice.below(INDICES) * 8
        return address & 0xFFFFFFFF if vcpu in self._short else address

    @property
    def _bits(self) -> int:
        """Bits of an index."""
        return 9 if self._format.bytes == 8 else 10

    def _reached(self, vcpu: int, address: int) -> tuple[int, int] | None:
        """The table and index that an address reaches, if the tables are as they were at first."""
        table = ROOTS[vcpu % 2]
        for level in range(self._format.top, 0, -1):
            entry = self._first.get((table, self._format.index(address, level)))
            if entry is None:
                return None
            table = entry >> 12 & (1 << 36) - 1
        return table, (address & 0xFFF) // self._format.bytes

    def _written(self, place: tuple[int, int] | None, dice: Dice) -> int:
        """What is written to an entry: mostly where it led at first, or the same with other flags."""
        first = self._first.get(place) if place is not None else None
        if first is not None and dice.below(4):
            return self._entry(first >> 12 & (1 << 36) - 1, dice.pick((first & 0xFFF, *self.flags)))
        return self._value_of_entry(dice)

    def _value_of_entry(self, dice: Dice) -> int:
        """What an entry may hold: data, a table, a device, read-only memory, a huge page, nothing."""
        flags = dice.pick(self.flags)
        how = dice.below(16)
        if how < 7:
            return self._entry(dice.pick(DATA), flags)
        if how < 12:
            return self._entry(dice.pick((*TABLES, *ROOTS)), flags)
        rest = (
            self._entry(DEVICE, flags), self._entry(READ_ONLY + dice.below(2), flags),
            self._entry(dice.pick((0, 0x200)), flags | PS), 0,
        )  # fmt: skip
        return rest[how - 12]


class ShadowScene(GuestScene):
    """A guest with shadow paging: linear addresses, control registers, INVLPG."""

    formats = (LONG, LONG, PAE, TWO_LEVELS, LONG5)
    flags = _ENTRIES
    weights = _OF_THE_HOST | {
        "execute": 50, "store": 3, "set_sregs": 1, "set_cr0": 1, "set_cr3": 8, "set_cr4": 3, "set_efer": 1,
        "invlpg": 6, "invpcid": 2,
    }  # fmt: skip

    def _beginning(self, vcpu: int) -> list[Step]:
        return [self._registers(vcpu, self._format, ROOTS[vcpu % 2])]

    def _registers(self, vcpu: int, form: Format, root: int) -> Step:
        """A vCPU gets the paging mode of a format."""
        return step("set_sregs", vcpu=vcpu, cr0=form.cr0, cr4=form.cr4, efer=form.efer, cr3=root << 12)

    def _made(self, kind: str, dice: Dice) -> Step | None:
        form = self._format
        vcpu = dice.below(self._options["vcpus"])
        if kind == "set_sregs":
            return self._registers(vcpu, dice.pick((form, form, form, form, *self.formats)), dice.pick(ROOTS))
        if kind == "set_cr3":
            pcid = dice.pick((0, 0, 1, 2, 1 << 63, 1 << 63 | 1))
            return step(kind, vcpu=vcpu, value=dice.pick(ROOTS) << 12 | pcid)
        if kind == "set_cr0":
            return step(kind, vcpu=vcpu, value=dice.pick((CR0 & ~WP, CR0, CR0 & ~WP, CR0, CR0 & ~PG)))
        if kind == "set_cr4":
            more = dice.pick((0, SMEP, 0, SMAP, 0, PCIDE, PCIDE | PGE, SMEP | SMAP, PGE, PKE, PSE))
            return step(kind, vcpu=vcpu, value=form.cr4 | more)
        if kind == "set_efer":
            return step(kind, vcpu=vcpu, value=dice.pick((form.efer & ~NXE, form.efer)))
        if kind == "invlpg":
            return step(kind, vcpu=vcpu, address=self._address(vcpu, dice))
        if kind == "invpcid":
            return step(kind, vcpu=vcpu, type=dice.below(4), address=self._address(vcpu, dice))
        return super()._made(kind, dice)


class NestedScene(GuestScene):
    """L1 with tables for L2: what executes has L1's physical addresses outside of L2, and L2's inside."""

    weights = _OF_THE_HOST | {
        "execute": 50, "store": 3, "enter_l2": 8, "leave_l2": 8, "invept": 2, "access": 4,
    }  # fmt: skip

    def _beginning(self, vcpu: int) -> list[Step]:
        form = self._format
        registers = step("set_sregs", vcpu=vcpu, cr0=CR0, cr4=form.cr4 | CR4, efer=form.efer or EFER, cr3=0)
        return [registers, self._entering(vcpu, 0, 1)]

    def _entering(self, vcpu: int, which: int, ad: int) -> Step:
        """L1 enters L2 with one of its roots."""
        root = ROOTS[which] << 12
        if self._format is not EPT:
            return step("enter_l2", vcpu=vcpu, address=root, ad=0, exec_only=0)
        return step("enter_l2", vcpu=vcpu, address=root | 0x1E | ad << 6, ad=ad, exec_only=1)

    def _made(self, kind: str, dice: Dice) -> Step | None:
        if kind == "enter_l2":
            return self._entering(dice.below(self._options["vcpus"]), dice.below(2), dice.pick((1, 0)))
        if kind == "access":
            gfn = dice.pick((*DATA, *TABLES))
            return step(kind, vcpu=dice.below(self._options["vcpus"]), gfn=gfn, kind=dice.pick((READ, WRITE)))
        return super()._made(kind, dice)

    def _address(self, vcpu: int, dice: Dice) -> int:
        if vcpu in self._preconditions.in_l2:
            return super()._address(vcpu, dice) & 0xFFFFFFFF
        return (dice.pick((*TABLES, *DATA, *ROOTS)) << 12) + dice.below(INDICES) * 8

    def _reached(self, vcpu: int, address: int) -> tuple[int, int] | None:
        if vcpu in self._preconditions.in_l2:
            return super()._reached(vcpu, address)
        return address >> 12, (address & 0xFFF) // self._format.bytes


class NestedEptScene(NestedScene):
    """L1's tables are EPT."""

    formats = (EPT,)
    flags = _EPT_ENTRIES


class NestedNptScene(NestedScene):
    """L1's tables are those of its own paging mode."""

    formats = (LONG, PAE)
    flags = _ENTRIES
