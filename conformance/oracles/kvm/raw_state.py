# SPDX-License-Identifier: GPL-2.0-only
"""The raw state of KVM after a step, as c/machine/raw_state.c copies it, in a form that can be compared.

Addresses differ between kernels, so a pointer is replaced by what it points to: the name of a function or
variable, the number and the member of a structure that is copied too, or the place of a page table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conformance.oracles.kvm import members
from conformance.oracles.kvm.members import Layout, Member
from conformance.oracles.kvm.server import RawStateRequest
from conformance.oracles.kvm.symbols import symbols_of
from conformance.oracles.kvm.variables import Variable, variables_of

__all__ = [
    "FLUSHES",
    "LPAGE_INFO",
    "PAE_ROOT",
    "PAGE",
    "RMAP",
    "SLOT",
    "STRUCTURES",
    "VARIABLES",
    "VCPU",
    "VM",
    "Dump",
    "Object",
    "RawStateReader",
    "label",
    "value_text",
]  # fmt: skip

VARIABLES, VM, VCPU, SLOT, PAGE, LPAGE_INFO, RMAP, PAE_ROOT, FLUSHES = range(9)
STRUCTURES = dict(enumerate(members.STRUCTURES, VM))
"""The structure of each kind that has one."""

Words = NDArray[np.uint64]

_DIRECT_MAP, _DIRECT_MAP_SIZE = 0x200000000000, 1 << 30
_VMEMMAP, _VMEMMAP_SIZE = 0x300000000000, 0x1100000 * 64
_NAMED = 0xFEED << 48
"""The first of the numbers that replace an address by a name."""
_WITHIN = 0xFEEE << 48
"""The first of those that replace an address inside: the number of its name, shifted, and of the part's."""

_NAMES: list[str] = []
_NUMBERS: dict[str, int] = {}


def _number(name: str) -> int:
    """The number of a name, the same on both sides of a comparison."""
    if name not in _NUMBERS:
        _NUMBERS[name] = len(_NAMES)
        _NAMES.append(name)
    return _NUMBERS[name]


def value_text(value: int) -> str:
    """A word as text: what it points to, or the number."""
    name, part = value & (1 << 48) - 1, value & (1 << 24) - 1
    if value >> 48 == _NAMED >> 48 and name < len(_NAMES):
        return _NAMES[name]
    if value >> 48 == _WITHIN >> 48 and max(name >> 24, part) < len(_NAMES):
        return f"{_NAMES[part]} of {_NAMES[name >> 24]}"
    return f"{value:#x}"


def label(kind: int, which: int) -> str:
    """The name of an object."""
    if kind == VM:
        return "struct kvm"
    if kind == VCPU:
        return f"vCPU {which}"
    if kind == PAGE:
        root, level, gfn = which >> 60, which >> 56 & 15, which & (1 << 56) - 1
        return f"struct kvm_mmu_page of root {root}, level {level}, gfn {gfn:#x}"
    if kind == PAE_ROOT:
        return f"pae_root of vCPU {which // 2}'s {'guest_mmu' if which % 2 else 'root_mmu'}"
    slot = f"memslot {which & 0xFFFF} of address space {which >> 32 & 0xFF}"
    if kind == LPAGE_INFO:
        return f"lpage_info of {slot}, level {(which >> 40) + 1}"
    return f"rmap of {slot}, level {(which >> 40) + 1}" if kind == RMAP else slot


@dataclass(frozen=True)
class Object:
    """A copied structure, or an array of them; words that are pointers are replaced."""

    kind: int
    which: int
    size: int
    words: Words
    rings: tuple[int, ...] = ()

    @cached_property
    def bytes(self) -> NDArray[np.uint8]:
        """The words as bytes."""
        return self.words.view(np.uint8)


class _Place(NamedTuple):
    """The address of a copied object, and its place in the copy."""

    kind: int
    which: int
    address: int
    size: int
    start: int
    end: int


Dump = dict[tuple[int, int], Object]
"""All objects of a copy, by kind and number."""


@dataclass
class RawStateReader:
    """Reads the copies of a library. ``renamed`` maps names of functions to those that are compared."""

    library: Path
    layouts: Mapping[str, Layout]
    renamed: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def variables(self) -> list[Variable]:
        """The variables that are copied."""
        return variables_of(self.library)

    @cached_property
    def request(self) -> RawStateRequest:
        """What the library has to copy."""
        places = tuple((one.offset, one.size) for one in self.variables)
        rings = [
            (kind, ring.bit // 8)
            for kind, name in STRUCTURES.items()
            if kind in (VM, VCPU, PAGE)
            for ring in self.layouts[name].rings
        ]
        return RawStateRequest(places, tuple(rings))

    def read(self, dump: bytes) -> Dump:
        """Decode the copy after a step."""
        raw = np.frombuffer(dump, np.uint64)
        words = raw.copy()
        at, found = 2, []
        while at < len(raw):
            kind, which, address, size = raw[at : at + 4].tolist()
            end = at + 4 + (size + 7) // 8
            found.append(_Place(kind, which, address, size, at + 4, end))
            at = end + self._nr_rings[kind]
        base, size = raw[:2]
        self._name_library(words, words - base < size, int(base))
        self._name_memory(words, words - np.uint64(_DIRECT_MAP) < np.uint64(_DIRECT_MAP_SIZE), found)
        words[words - np.uint64(_VMEMMAP) < np.uint64(_VMEMMAP_SIZE)] = _NAMED | _number("a struct page")
        self._name_tables(raw, words, found)
        return {
            (one.kind, one.which): Object(
                one.kind,
                one.which,
                one.size,
                words[one.start : one.end],
                tuple(raw[one.end : one.end + self._nr_rings[one.kind]].tolist()),
            )
            for one in found
        }

    @cached_property
    def _nr_rings(self) -> list[int]:
        """The number of list lengths that follow a structure of each kind."""
        kinds = [kind for kind, _ in self.request.rings]
        return [kinds.count(kind) for kind in range(FLUSHES + 1)]

    def _name_tables(self, raw: Words, words: Words, found: Sequence[_Place]) -> None:
        """Replace physical addresses of tables by their places."""
        (spt,) = (one.bit // 64 for one in self.layouts["kvm_mmu_page"].members if one.name == "spt")
        pages = {
            int(raw[one.start + spt]) - _DIRECT_MAP: f"the table of {label(one.kind, one.which)}"
            for one in found
            if one.kind == PAGE
        }
        for one in found:
            for index in self._physical.get(one.kind, ()):
                value = int(raw[one.start + index])
                if value not in (0, (1 << 64) - 1):
                    words[one.start + index] = _NAMED | _number(pages.get(value, "a page"))

    @cached_property
    def _physical(self) -> dict[int, list[int]]:
        """The indices of words, in structures of each kind, that are physical addresses of tables."""
        return {
            kind: [one.bit // 64 for one in self.layouts[STRUCTURES[kind]].members if one.form == "hpa"]
            for kind in (VM, VCPU, PAGE)
        }

    def _name_library(self, words: Words, which: NDArray[np.bool_], base: int) -> None:
        """Replace addresses in the library by names of functions and of KVM's variables."""
        offsets = words[which] - np.uint64(base)
        starts, ends, numbers, other = self._symbols
        index = np.searchsorted(starts, offsets, "right") - 1
        within = (index >= 0) & (offsets < ends[index])
        names = np.where(within, np.uint64(_NAMED) | numbers[index], np.uint64(_NAMED | other))
        for at in np.flatnonzero(within & (offsets != starts[index])):
            part = _number(f"byte {int(offsets[at] - starts[index[at]]):#x}")
            names[at] = _WITHIN | int(numbers[index[at]]) << 24 | part
        words[which] = names

    @cached_property
    def _symbols(self) -> tuple[Words, Words, Words, int]:
        """Starts and ends of functions and variables, the numbers of their names, and that of all else."""
        places = [(one.offset, one.offset + one.size, one.name) for one in self.variables]
        for offset, symbol in symbols_of(self.library):
            name = re.sub(r"\.(isra|part|constprop|cold)\b.*", "", symbol)
            places.append((offset, offset + 1, f"{self.renamed.get(name, name)}()"))
        places.sort()
        starts, ends, names = zip(*places, strict=True)
        numbers = np.array([_number(name) for name in names], np.uint64)
        return np.array(starts, np.uint64), np.array(ends, np.uint64), numbers, _number("the library")

    def _name_memory(self, words: Words, which: NDArray[np.bool_], found: Sequence[_Place]) -> None:
        """Replace addresses in the kernel's memory by members of copied objects, or by "memory"."""
        places = sorted((one for one in found if one.address), key=lambda one: one.address)
        starts = np.array([one.address for one in places], np.uint64)
        ends = np.array([one.address + one.size for one in places], np.uint64)
        addresses = words[which]
        index = np.searchsorted(starts, addresses, "right") - 1
        within = (index >= 0) & (addresses < ends[index]) if places else np.zeros(len(addresses), bool)
        names = np.full(len(addresses), np.uint64(_NAMED | _number("memory")))
        for at in np.flatnonzero(within):
            place = places[index[at]]
            part = self._member(place.kind, int(addresses[at]) - place.address)
            names[at] = _WITHIN | _number(label(place.kind, place.which)) << 24 | part
        words[which] = names

    def _member(self, kind: int, offset: int) -> int:
        """The number of the name of the member at an offset into a structure."""
        if (kind, offset) not in self._members:
            name = "the start" if offset == 0 else f"byte {offset:#x}"
            if offset and kind in STRUCTURES:
                before = (one for one in self.layouts[STRUCTURES[kind]].members if one.bit <= 8 * offset)
                last = max(before, key=lambda one: one.bit)
                more = offset - last.bit // 8
                name = f"{last.name}+{more:#x}" if more else self._outermost(kind, last)
            self._members[kind, offset] = _number(name)
        return self._members[kind, offset]

    def _outermost(self, kind: int, first: Member) -> str:
        """The widest structure or member that begins where a member does: it may get another first member."""
        members = self.layouts[STRUCTURES[kind]].members
        parts = first.name.split(".")
        for number in range(1, len(parts)):
            name = ".".join(parts[:number])
            if min(one.bit for one in members if one.name.startswith(f"{name}.")) == first.bit:
                return name
        return first.name

    _members: dict[tuple[int, int], int] = field(default_factory=dict)
