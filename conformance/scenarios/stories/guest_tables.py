# SPDX-License-Identifier: GPL-2.0-only
"""Page tables of a guest, written by userspace before the guest runs and as a story goes on.

    tables = guest(vm, data=[0x10, 0x11])
    pte = tables.map(VA, 0x10)
    tables.run()
    vm.execute(address=VA, kind=READ)
    vm.execute(address=tables.at(pte), kind=WRITE, value=tables.leaf(0x11))

Tables are allocated from a gfn on, each when an address first needs it. The guest reaches them at linear
addresses of their own, from ALIAS on, under a page directory that maps nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from conformance.interface.access import Privilege
from conformance.model.changes import Change
from conformance.scenarios.stories.setting import READ, WRITE, memory
from conformance.scenarios.story import StoryBuilder

__all__ = [
    "AC",
    "ALIAS",
    "CR0",
    "CR4",
    "EFER",
    "EPT",
    "EPT_A",
    "EPT_D",
    "EPT_R",
    "EPT_RWX",
    "EPT_W",
    "EPT_WB",
    "EPT_X",
    "FIRST_TABLE",
    "LA57",
    "LME",
    "LONG",
    "LONG5",
    "NX",
    "NXE",
    "PAE",
    "PAGE",
    "PCIDE",
    "PG",
    "PGE",
    "PKE",
    "PS",
    "PSE",
    "READY",
    "RW",
    "SHADOW",
    "SMAP",
    "SMEP",
    "TWO_LEVELS",
    "US",
    "USER",
    "VA",
    "WP",
    "A",
    "D",
    "Entry",
    "Format",
    "GuestTables",
    "P",
    "content",
    "guest",
    "reads",
    "writes",
]

# Flags of entries (Intel SDM vol. 3, 4.5), and of EPT (29.3.2).
P, RW, US, A, D, PS, NX = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7, 1 << 63
EPT_R, EPT_W, EPT_X, EPT_RWX, EPT_A, EPT_D = 1, 2, 4, 7, 1 << 8, 1 << 9
READY = P | RW | US | A | D
"""An entry of a page in which KVM need not set anything."""
EPT_WB = 6 << 3

# Control registers.
PG, WP, PE = 1 << 31, 1 << 16, 1
PSE, PAE_BIT, PGE, LA57, PCIDE, SMEP, SMAP, PKE = (1 << bit for bit in (4, 5, 7, 12, 17, 20, 21, 22))
LME, NXE = 1 << 8, 1 << 11
CR0, CR4, EFER = PG | WP | PE, PAE_BIT, LME | NXE
"""What a 64-bit guest usually has."""

USER, AC = Privilege.USER, Privilege.SUPERVISOR_AC

SHADOW = ("shadow",)
"""The mode of stories about guests whose tables are shadowed."""
PAGE = 1 << 12
VA = 0x400000
"""The linear address that most stories map first."""
ALIAS = 0x80000000
"""Where the guest maps its own tables, in the order of their gfns."""
FIRST_TABLE = 0x200
_WORD = (1 << 64) - 1


@dataclass(frozen=True)
class Format:
    """How tables look: the level of the root, bytes of an entry, and the usual flags of entries."""

    name: str
    top: int
    table: int = P | RW | US
    leaf: int = P | RW | US
    bytes: int = 8
    root: int = 0
    """Flags of the root's entries, if they differ from other tables'."""
    cr0: int = CR0
    cr4: int = CR4
    efer: int = EFER

    def index(self, address: int, level: int) -> int:
        """The index of the entry of this level that translates an address."""
        bits = 9 if self.bytes == 8 else 10
        return address >> 12 + bits * (level - 1) & (1 << bits) - 1


LONG = Format("4 levels", 4)
LONG5 = Format("5 levels", 5, cr4=CR4 | LA57)
PAE = Format("PAE", 3, root=P, efer=NXE)
TWO_LEVELS = Format("2 levels", 2, bytes=4, cr4=PSE, efer=0)
EPT = Format("EPT", 4, table=EPT_RWX, leaf=EPT_RWX | EPT_WB)


class Entry(NamedTuple):
    """The place of an entry: the gfn of its table, and its index."""

    gfn: int
    at: int


def content(gfn: int) -> int:
    """The first word of a page that :func:`guest` made: it differs from page to page."""
    return 0xDA7A0000 + gfn


def guest(
    vm: StoryBuilder,
    format: Format = LONG,
    *,
    data: Sequence[int] = (),
    npages: int = 0x400,
    level: int = 1,
    aliases: int = 0,
) -> GuestTables:
    """A guest with one memslot from gfn 0 on, whose pages ``data`` have some content, and empty tables.

    ``aliases`` of its tables, from the first on, are mapped from ALIAS on.
    """
    memory(vm, gfn=0, npages=npages, level=level)
    for gfn in data:
        vm.store(gfn=gfn, value=content(gfn))
    tables = GuestTables(vm, format)
    for number in range(aliases):
        tables.map(ALIAS + number * PAGE, FIRST_TABLE + number)
    return tables


def reads(
    vm: StoryBuilder, address: int, gfn: int, sentence: str, vcpu: int = 0, since: Change | None = None
) -> StoryBuilder:
    """The guest reads an address, and finds the content that a page had from the start."""
    vm.execute(vcpu=vcpu, address=address, kind=READ)
    return vm.claim(sentence, lambda now: now.value == content(gfn), since=since)


def writes(
    vm: StoryBuilder, tables: GuestTables, place: tuple[int, int], value: int, vcpu: int = 0
) -> StoryBuilder:
    """The guest writes an entry of its tables."""
    return vm.execute(vcpu=vcpu, address=tables.at(Entry(*place)), kind=WRITE, value=value)


class GuestTables:
    """A root and the tables below it, allocated from a gfn on; every change is a ``store`` step."""

    def __init__(self, vm: StoryBuilder, format: Format = LONG, *, first: int = FIRST_TABLE) -> None:
        self._vm = vm
        self.format = format
        self._next = first
        self._words: dict[tuple[int, int], int] = {}
        self.root = self.table()

    def table(self) -> int:
        """The gfn of a new table."""
        self._next += 1
        return self._next - 1

    def another(self, first: int) -> GuestTables:
        """Another root, with tables of its own from the gfn ``first`` on."""
        return GuestTables(self._vm, self.format, first=first)

    def leaf(self, gfn: int, flags: int | None = None, *, level: int = 1) -> int:
        """The entry that maps a gfn; ``flags`` are all of its flags but that of a huge page."""
        chosen = self.format.leaf if flags is None else flags
        return gfn << 12 | chosen | (PS if level > 1 else 0)

    def link(self, table: int, flags: int | None = None) -> int:
        """The entry that points to a table."""
        return table << 12 | (self.format.table if flags is None else flags)

    def map(
        self, address: int, gfn: int, flags: int | None = None, *, level: int = 1, upper: int | None = None
    ) -> Entry:
        """Map an address; ``upper`` are the flags of the tables' entries that are made for it."""
        place = self.entry(address, level, upper)
        self.set(place, self.leaf(gfn, flags, level=level))
        return place

    def share(self, address: int, table: int, flags: int | None = None, *, level: int = 1) -> Entry:
        """Let a table translate an address at a level: its entries are of that level."""
        place = self.entry(address, level + 1)
        self.set(place, self.link(table, flags))
        return place

    def entry(self, address: int, level: int = 1, upper: int | None = None) -> Entry:
        """The place of the entry of a level that translates an address; missing tables are made."""
        table = self.root
        for above in range(self.format.top, level, -1):
            place = Entry(table, self.format.index(address, above))
            value = self.read(place)
            if not value:
                root = self.format.root if above == self.format.top else 0
                value = self.link(self.table(), root or upper)
                self.set(place, value)
            table = value >> 12 & (1 << 40) - 1
        return Entry(table, self.format.index(address, level))

    def table_of(self, address: int, level: int = 1) -> int:
        """The gfn of the table whose entries of a level translate an address."""
        return self.entry(address, level).gfn

    def read(self, place: Entry) -> int:
        """The entry as userspace last wrote it."""
        word, shift = self._half(place)
        return self._words.get(word, 0) >> shift & (1 << 8 * self.format.bytes) - 1

    def set(self, place: Entry, value: int) -> None:
        """Userspace writes an entry."""
        word, shift = self._half(place)
        mask = (1 << 8 * self.format.bytes) - 1 << shift
        self._words[word] = self._words.get(word, 0) & ~mask & _WORD | value << shift
        self._vm.store(gfn=word[0], index=word[1], value=self._words[word])

    def _half(self, place: Entry) -> tuple[tuple[int, int], int]:
        """The word of memory that holds an entry, and the entry's first bit in it."""
        first = place.at * self.format.bytes
        return (place.gfn, first // 8), first % 8 * 8

    def at(self, place: Entry) -> int:
        """The linear address of an entry: the guest reaches its tables from ALIAS on."""
        return ALIAS + ((place.gfn - FIRST_TABLE) << 12) + place.at * self.format.bytes

    def physical(self, place: Entry) -> int:
        """The physical address of an entry."""
        return (place.gfn << 12) + place.at * self.format.bytes

    @property
    def cr3(self) -> int:
        """The value of CR3 that selects these tables."""
        return self.root << 12

    def eptp(self, *, ad: int = 1) -> int:
        """The EPT pointer of these tables: write-back, 4 levels, with Accessed and Dirty or without."""
        return self.root << 12 | 0x1E | (0x40 if ad else 0)

    def run(
        self, vcpu: int = 0, *, cr0: int | None = None, cr4: int | None = None, efer: int | None = None
    ) -> StoryBuilder:
        """A vCPU gets these tables, and the control registers of their format but for those given."""
        return self._vm.set_sregs(
            vcpu=vcpu,
            cr0=self.format.cr0 if cr0 is None else cr0,
            cr4=self.format.cr4 if cr4 is None else cr4,
            efer=self.format.efer if efer is None else efer,
            cr3=self.cr3,
        )
