# SPDX-License-Identifier: GPL-2.0-only
"""The steps of which stories are made: one table of kinds, and what is checked of every step.

A step is one line of text, ``access vcpu=0 gfn=0x200 kind=write``: in reports, in transcripts and in the
files that ``lockstep --save`` writes. Addresses are page numbers, lengths numbers of 4 KiB pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "KINDS",
    "OPTIONS",
    "PAGES",
    "Argument",
    "Kind",
    "Step",
    "check_options",
    "parse",
    "step",
    "unusual",
]

PAGES = 1 << 24
"""How many virtual pages the host process has."""
GFNS = 1 << 36
"""How many gfns there are with 48 address bits."""


@dataclass(frozen=True)
class Argument:
    """One argument of a step: from ``least`` to ``most``. ``words`` name values that have a name.

    ``default`` is what a story gets that does not say.
    """

    name: str
    least: int
    most: int
    default: int | None = None
    words: Mapping[str, int] = field(default_factory=dict)

    def show(self, value: int) -> str:
        """The value as people write it."""
        for word, number in self.words.items():
            if number == value:
                return word
        return hex(value) if self.most > 0xFFFF else str(value)

    def read(self, text: str) -> int:
        """The value of ``text``; raises ValueError if it is none."""
        if text in self.words:
            return self.words[text]
        if not re.fullmatch(r"0x[0-9a-fA-F]{1,16}|[0-9]{1,20}", text):
            raise ValueError(f"{self.name}={text} is no number{self._among()}")
        return int(text, 16 if text.startswith("0x") else 10)

    def check(self, value: int) -> None:
        """Raise ValueError about a value that is out of range."""
        if not isinstance(value, int) or not self.least <= value <= self.most:
            raise ValueError(f"{self.name}={value} is not from {self.least} to {self.most:#x}")
        if self.words and self.most < 64 and value not in self.words.values():
            raise ValueError(f"{self.name}={value} is nothing{self._among()}")

    def _among(self) -> str:
        return f"; there are {', '.join(self.words)}" if self.words else ""


@dataclass(frozen=True)
class Kind:
    """A kind of step: its name, what it takes and what it does, in a line."""

    name: str
    meaning: str
    takes: tuple[Argument, ...] = ()


READ, WRITE, FETCH = 1, 2, 4
_VCPU = Argument("vcpu", 0, 7, 0)
_PAGE = Argument("page", 0, PAGES - 1)
_NPAGES = Argument("npages", 1, PAGES, 1)
_GFN = Argument("gfn", 0, GFNS - 1)
_SLOT = Argument("slot", 0, 31, 0)
_AS_ID = Argument("as_id", 0, 1, 0)
_ON = Argument("on", 0, 1)
_ACCESS = Argument("kind", READ, FETCH, words={"read": READ, "write": WRITE, "fetch": FETCH})
_LEVEL = Argument("level", 1, 3, 1, {"4K": 1, "2M": 2, "1G": 3})
_FLAGS = Argument("flags", 0, 3, 0, {"none": 0, "log": 1, "readonly": 2, "log+readonly": 3})

_TABLE = (
    # The host process and its kernel.
    Kind(
        "mmap",
        "the host maps an area, unpopulated: 4K anonymous, 2M with transparent huge pages, 1G hugetlb",
        (_PAGE, _NPAGES, Argument("writable", 0, 1, 1), _LEVEL),
    ),
    Kind("touch", "the host process reads or writes a page", (_PAGE, Argument("write", 0, 1, 0))),
    Kind("madvise_dontneed", "the host gives pages back; a huge one is split first", (_PAGE, _NPAGES)),
    Kind("wrprotect", "the host makes pages read-only, as fork() does", (_PAGE, _NPAGES)),
    Kind("ksm_merge", "the host replaces a 4K page by a shared, read-only copy, as KSM does", (_PAGE,)),
    Kind("collapse", "the host makes one 2M page of the range around a page, as khugepaged does", (_PAGE,)),
    Kind("notifier_start", "an MMU notifier invalidation of a range begins", (_PAGE, _NPAGES)),
    Kind("notifier_end", "the invalidation that began for this range ends", (_PAGE, _NPAGES)),
    Kind("change_pte", ".change_pte() of a present page, wrapped in an invalidation", (_PAGE,)),
    Kind("clear_flush_young", "the host ages pages: .clear_flush_young()", (_PAGE, _NPAGES)),
    Kind("clear_young", "the host ages pages without a flush: .clear_young()", (_PAGE, _NPAGES)),
    Kind("test_young", "the host asks whether a page was used: .test_young()", (_PAGE,)),
    # KVM's own interface.
    Kind(
        "set_memory_region",
        "KVM_SET_USER_MEMORY_REGION: create, move, change, or with npages=0 delete a memslot",
        (_SLOT, _AS_ID, _GFN, Argument("npages", 0, PAGES), _PAGE, _FLAGS),
    ),
    Kind("get_dirty_log", "KVM_GET_DIRTY_LOG", (_SLOT, _AS_ID)),
    Kind(
        "clear_dirty_log",
        "KVM_CLEAR_DIRTY_LOG of up to 64 pages from a multiple of 64 on, those in the mask",
        (
            _SLOT,
            _AS_ID,
            Argument("first", 0, PAGES - 64, 0),
            Argument("npages", 1, 64, 64),
            Argument("mask", 0, (1 << 64) - 1),
        ),
    ),
    Kind("set_nx_huge_pages", "the module parameter nx_huge_pages is written", (_ON,)),
    Kind("recover_nx_huge_pages", "one run of the worker that takes back what NX huge pages split"),
    Kind("set_generation", "the memslots' generation becomes this", (Argument("value", 0, (1 << 62) - 1),)),
    # The guest.
    Kind("enter", "KVM prepares entering the guest: requests, the root, TLB flushes", (_VCPU,)),
    Kind("access", "one guest instruction reads, writes or fetches a gfn", (_VCPU, _GFN, _ACCESS)),
    Kind("smm", "a vCPU enters or leaves system management mode: address space 1 or 0", (_VCPU, _ON)),
    # Somebody else inside KVM.
    Kind("walk_begin", "a lockless reader begins to walk towards a gfn, inside RCU", (_VCPU, _GFN)),
    Kind("walk_next", "the reader goes on by tdp_iter_next(): down, else beside, else up"),
    Kind("walk_end", "the reader leaves RCU"),
    Kind("grace_period", "RCU callbacks run, unless a reader is inside"),
    Kind("resched", "need_resched() says yes (or no) from now on, so that long walks yield", (_ON,)),
    Kind(
        "delete_while_unmapping",
        "a memslot is deleted; when KVM first gives way while it zaps roots, the host gives pages back",
        (_SLOT, _AS_ID, _PAGE, _NPAGES),
    ),
    Kind("destroy", "vCPUs and VM are destroyed; what they took must be free again"),
)  # fmt: skip

KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}
"""Every kind of step by name."""


@dataclass(frozen=True)
class Step:
    """One step: its kind and its arguments, all of them, in the table's order."""

    kind: str
    given: tuple[int, ...]

    @property
    def arguments(self) -> dict[str, int]:
        """The arguments by name, as machines take them."""
        return {
            argument.name: value for argument, value in zip(KINDS[self.kind].takes, self.given, strict=True)
        }

    def __str__(self) -> str:
        pairs = zip(KINDS[self.kind].takes, self.given, strict=True)
        return " ".join(
            [self.kind, *(f"{argument.name}={argument.show(value)}" for argument, value in pairs)]
        )


def step(kind: str, /, **given: int) -> Step:
    """A step, checked; arguments that have a default may be left out.

    Raises ValueError that says what to pass instead.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no step {kind}; there are {', '.join(KINDS)}")
    takes = KINDS[kind].takes
    unknown = given.keys() - {argument.name for argument in takes}
    if unknown:
        allowed = ", ".join(argument.name for argument in takes) or "nothing"
        raise ValueError(f"{kind} takes {allowed}, and not {', '.join(sorted(unknown))}")
    values = []
    for argument in takes:
        value = given.get(argument.name, argument.default)
        if value is None:
            raise ValueError(f"{kind} needs {argument.name}")
        try:
            argument.check(value)
        except ValueError as problem:
            raise ValueError(f"{kind}: {problem}") from None
        values.append(value)
    if "page" in given and given["page"] + given.get("npages", 1) > PAGES:
        raise ValueError(f"{kind}: the pages end after the last one, {PAGES - 1:#x}")
    return Step(kind, tuple(values))


def parse(line: str) -> Step:
    """The step that ``line`` tells; the inverse of ``str(step)``. Raises ValueError."""
    kind, *pairs = line.split()
    takes = {argument.name: argument for argument in KINDS[kind].takes} if kind in KINDS else {}
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value:
            raise ValueError(f"{pair} is not name=value")
        if name in given:
            raise ValueError(f"{kind}: {name} is given twice")
        given[name] = takes[name].read(value) if name in takes else 0
    return step(kind, **given)


OPTIONS: dict[str, Argument] = {
    argument.name: argument
    for argument in (
        Argument("vcpus", 1, 4, 1),
        Argument("eager_page_split", 0, 1, 1),
        Argument("nx_huge_pages", 0, 1, 0),
        Argument("manual_protect", 0, 3, 0),
        Argument("pml", 0, 1, 0),
    )
}
"""How a VM is set up: vCPUs, module parameters, manual dirty log protection, the processor's dirty log."""


def unusual(options: Mapping[str, int]) -> list[str]:
    """The options that are not at their default, as text."""
    return [f"option {name}={value}" for name, value in options.items() if value != OPTIONS[name].default]


def check_options(given: Mapping[str, int]) -> dict[str, int]:
    """All options, those not given at their default. Raises ValueError about one that there is not."""
    for name, value in given.items():
        if name not in OPTIONS:
            raise ValueError(f"there is no option {name}; there are {', '.join(OPTIONS)}")
        OPTIONS[name].check(value)
    if given.get("manual_protect") == 2:
        raise ValueError("manual_protect=2 (INITIALLY_SET) needs 1 (ENABLE), too; pass 0, 1 or 3")
    return {name: given.get(name, argument.default or 0) for name, argument in OPTIONS.items()}
