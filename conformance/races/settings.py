# SPDX-License-Identifier: GPL-2.0-only
"""The settings of drawn programs: a setup each, and words for the steps that its threads may take.

A setting is legal whatever its threads do in which order: every word may come after every other, in any
interleaving, but for those that end their thread. Guests access the gfns A and B, which are neighbours; words
of B end in 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from conformance.interface.access import FETCH, READ, WRITE
from conformance.interface.options import check_options
from conformance.model.changes import NO_CHANGE_PTE, Change
from conformance.races.race import RaceBuilder, Steps
from conformance.races.stories.setting import GFN, HUGE, LOG, PAGE, X2M, memory
from conformance.races.stories.shadowed_guest import NEW, NPAGES, OLD, shadowed
from conformance.scenarios.modes import DIRECT_MODES, PML_MODES, TDP_MODES
from conformance.scenarios.stories.guest_tables import PAGE as BYTES
from conformance.scenarios.stories.guest_tables import READY, SHADOW, VA
from conformance.scenarios.stories.setting import memory as area

__all__ = ["SETTINGS", "VCPUS", "Setting", "Word"]

VCPUS = ("vcpu0", "vcpu1")
SLOT_1, PAGE_1 = 0x10000, 0x40
"""The first gfn of another memslot, and the host page behind it."""


@dataclass(frozen=True)
class Word:
    """A word: the steps that it stands for. Guests' steps are those of the thread's vCPU.

    ``until`` is the change that removed what it does, ``once``: it comes once in a program at most, ``last``:
    no other word of its thread comes after it. A memslot that is deleted is not made again: the invariants
    know a memslot by its number.
    """

    steps: tuple[tuple[str, Mapping[str, int]], ...]
    until: Change | None = None
    once: bool = False
    last: bool = False

    def append_to(self, thread: Steps, vcpu: int | None) -> None:
        """Append the steps to a thread."""
        of: dict[str, int] = {} if vcpu is None else {"vcpu": vcpu}
        for kind, given in self.steps:
            getattr(thread, kind)(**of, **given)


def _word(kind: str, /, **given: int) -> Word:
    return Word(((kind, given),))


Words = Mapping[str, Word]


@dataclass(frozen=True)
class Setting:
    """A setting: its setup and its closing steps, and the words of each kind of thread.

    ``first`` builds the setup and the closing steps. ``threads`` has the words by thread: those of ``vcpu0``
    are those of every vCPU.
    """

    name: str
    description: str
    modes: tuple[str, ...]
    first: Callable[[RaceBuilder], None]
    threads: Mapping[str, Words]
    options: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The threads that a program may have, in order."""
        return (*VCPUS, *(thread for thread in self.threads if thread != "vcpu0"))

    def words(self, thread: str) -> Words:
        """The words of a thread."""
        return self.threads["vcpu0" if thread in VCPUS else thread]

    @property
    def text(self) -> str:
        """What it is, and the words of its threads."""
        threads = (f"{name}: {' '.join(words)}" for name, words in self.threads.items())
        return f"{self.description}; {'; '.join(threads)}"

    @property
    def every_option(self) -> dict[str, int]:
        """The options of the VM."""
        return check_options(self.options)


def _guest(gfn: int) -> Words:
    """What a vCPU does to two neighbouring gfns."""
    return {
        **{
            f"{name}{suffix}": _word("access", gfn=gfn + at, kind=kind)
            for at, suffix in enumerate(("", "2"))
            for name, kind in (("read", READ), ("write", WRITE), ("fetch", FETCH))
        },
        "enter": _word("enter"),
    }


def _host(page: int, npages: int = 16) -> Words:
    """What the host does to the page of A, and to all pages."""
    return {
        "discard": _word("madvise_dontneed", page=page),
        "discard-all": _word("madvise_dontneed", page=page & ~(npages - 1), npages=npages),
        "protect": _word("wrprotect", page=page),
        "age": _word("clear_young", page=page),
        "age-flush": _word("clear_flush_young", page=page),
        "test": _word("test_young", page=page),
        "touch": _word("touch", page=page, write=1),
    }


_SMALL = {
    **_host(PAGE),
    "merge": _word("ksm_merge", page=PAGE),
    "change": Word((("change_pte", {"page": PAGE}),), until=NO_CHANGE_PTE),
}
_GET = _word("get_dirty_log", slot=0)
_RCU = {"grace": _word("grace_period")}


def _region(slot: int, gfn: int, npages: int, page: int, flags: int = 0) -> Word:
    given = {"slot": slot, "gfn": gfn, "npages": npages, "page": page, "flags": flags}
    return Word((("set_memory_region", given),), last=not npages)


_DELETE = _region(0, 0x100, 0, 0)
_DELETE_1 = _region(1, SLOT_1, 0, 0)


def _ends(at: RaceBuilder, *, logged: bool = False, destroys: bool = True) -> None:
    """Both vCPUs have entered the guest before, and enter it in the end, after which nothing may be left."""
    for vcpu in range(2):
        at.first.enter(vcpu=vcpu)
        at.last.enter(vcpu=vcpu)
    if logged:
        at.last.get_dirty_log(slot=0)
    if destroys:
        at.last.grace_period().destroy()


def _unmapped(at: RaceBuilder) -> None:
    memory(at)
    _ends(at)


def _mapped(at: RaceBuilder) -> None:
    memory(at)
    area(at.first, gfn=SLOT_1, npages=16, page=PAGE_1, slot=1)  # type: ignore[arg-type]
    for gfn in (GFN, GFN + 1):
        at.first.access(vcpu=0, gfn=gfn, kind=WRITE)
    _ends(at)


def _written(at: RaceBuilder) -> None:
    """Both pages were written."""
    memory(at, flags=LOG)
    for gfn in (GFN, GFN + 1):
        at.first.access(vcpu=0, gfn=gfn, kind=WRITE)


def _reported(at: RaceBuilder) -> None:
    _written(at)
    at.first.get_dirty_log(slot=0)
    _ends(at, logged=True)


def _collected(at: RaceBuilder) -> None:
    _written(at)
    _ends(at, logged=True)


def _huge(at: RaceBuilder) -> None:
    at.first.mmap(page=0, npages=X2M, level=HUGE)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0)
    at.first.access(vcpu=0, gfn=X2M, kind=WRITE)
    _ends(at, logged=True)


def _executed(at: RaceBuilder) -> None:
    at.first.mmap(page=0, npages=X2M, level=HUGE)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0)
    at.first.access(vcpu=1, gfn=X2M, kind=FETCH).access(vcpu=1, gfn=X2M + 1, kind=WRITE)
    _ends(at)


def _shadowed(at: RaceBuilder) -> None:
    _tables_of(at, flags=0)


def _shadowed_logged(at: RaceBuilder) -> None:
    _tables_of(at, flags=LOG)


def _tables_of(at: RaceBuilder, *, flags: int) -> Words:
    """A guest that maps VA and its neighbour, and has another memslot; the words of its vCPUs."""
    area(at.first, gfn=SLOT_1, npages=16, page=NPAGES, slot=1)  # type: ignore[arg-type]
    tables, entry = shadowed(at, flags=flags)
    neighbour = VA + 8 * BYTES
    tables.map(neighbour, NEW, READY)
    for vcpu in range(2):
        at.first.execute(vcpu=vcpu, address=VA, kind=READ)
    if flags:
        at.first.get_dirty_log(slot=0)
    _ends(at, logged=bool(flags), destroys=False)

    def remapped(value: int) -> Word:
        write = {"address": tables.at(entry), "kind": WRITE, "value": value}
        return Word((("execute", write), ("invlpg", {"address": VA})))

    return {
        "read": _word("execute", address=VA, kind=READ),
        "write": _word("execute", address=VA, kind=WRITE, value=1),
        "read2": _word("execute", address=neighbour, kind=READ),
        "write2": _word("execute", address=neighbour, kind=WRITE, value=2),
        "remap": remapped(tables.leaf(NEW, READY)),
        "back": remapped(tables.leaf(OLD, READY)),
        "unmap": remapped(0),
        "flush": _word("invlpg", address=VA),
        "cr3": _word("set_cr3", value=tables.cr3),
        "enter": _word("enter"),
    }


_AGING = {
    "age": _word("clear_young", page=OLD),
    "age-flush": _word("clear_flush_young", page=OLD),
    "age-table": _word("clear_young", page=0x200, npages=6),
    "test": _word("test_young", page=OLD),
}
_OF_HUGE = {
    "log-on": _region(0, X2M, X2M, 0, LOG),
    "log-off": _region(0, X2M, X2M, 0),
    "log": _GET,
    "delete": _region(0, X2M, 0, 0),
}
_TWO = {"vcpus": 2}
_LOGS = {"log": _GET, "log-off": _region(0, 0x100, 16, 0), "delete": _DELETE}
_SHADOW_GUEST = _tables_of(RaceBuilder(), flags=0)

SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            "unmapped",
            "a memslot of 16 small pages, of which A and B are unmapped",
            DIRECT_MODES,
            _unmapped,
            {"vcpu0": _guest(GFN), "host": _SMALL, "user": {"delete": _DELETE}, "rcu": _RCU},
            _TWO,
        ),
        Setting(
            "mapped",
            "the same with A and B mapped, and another memslot",
            DIRECT_MODES,
            _mapped,
            {"vcpu0": _guest(GFN), "host": _SMALL, "user": {"delete": _DELETE, "delete2": _DELETE_1}},
            _TWO,
        ),
        Setting(
            "logged",
            "writes are logged; A and B were written and reported",
            DIRECT_MODES,
            _reported,
            {"vcpu0": _guest(GFN), "host": _SMALL, "user": _LOGS},
            _TWO,
        ),
        Setting(
            "logged-pml",
            "the same with the processor's dirty log",
            PML_MODES,
            _reported,
            {"vcpu0": _guest(GFN), "host": _SMALL, "user": _LOGS},
            {**_TWO, "pml": 1},
        ),
        Setting(
            "collected",
            "writes are logged, and userspace clears the log itself; A and B were written",
            DIRECT_MODES,
            _collected,
            {
                "vcpu0": _guest(GFN),
                "host": _SMALL,
                "user": {
                    "log": _GET,
                    "collect": Word(
                        (
                            ("get_dirty_log", {"slot": 0}),
                            ("clear_dirty_log", {"slot": 0, "first": 0, "npages": 16, "mask": 0xFFFF}),
                        ),
                        once=True,
                    ),
                },
            },
            {**_TWO, "manual_protect": 1},
        ),
        Setting(
            "huge",
            "a huge page, A and B in it; writes can be logged",
            DIRECT_MODES,
            _huge,
            {"vcpu0": _guest(X2M + 1), "host": _host(1, X2M), "user": _OF_HUGE},
            {**_TWO, "eager_page_split": 0},
        ),
        Setting(
            "executed",
            "a huge page that was split since the guest executes in it; A is mapped",
            TDP_MODES,
            _executed,
            {
                "vcpu0": _guest(X2M + 1),
                "host": _host(1, X2M),
                "worker": {"recover": _word("recover_nx_huge_pages")},
                "rcu": _RCU,
            },
            {**_TWO, "nx_huge_pages": 1},
        ),
        Setting(
            "shadowed",
            "the guest has page tables, which map A and B, and can write them; another memslot",
            SHADOW,
            _shadowed,
            {"vcpu0": _SHADOW_GUEST, "host": _AGING, "user": {"delete2": _DELETE_1}},
            _TWO,
        ),
        Setting(
            "shadowed-logged",
            "the same with writes logged",
            SHADOW,
            _shadowed_logged,
            {"vcpu0": _SHADOW_GUEST, "host": _AGING, "user": {"log": _GET, "delete2": _DELETE_1}},
            _TWO,
        ),
    )
}
"""Every setting by name."""
