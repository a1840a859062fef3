# SPDX-License-Identifier: GPL-2.0-only
"""Compare the state that two kernels' KVMs keep: structures and variables, member by member, by name.

The model has no such memory; two kernels do. A member or variable that only one of them has is not compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from conformance.oracles.kvm.members import Layout, Member
from conformance.oracles.kvm.raw_state import (
    FLUSHES,
    PAE_ROOT,
    STRUCTURES,
    VARIABLES,
    Dump,
    Object,
    RawStateReader,
    label,
    value_text,
)

__all__ = ["Kept", "Rules", "keeping"]

Fact = tuple[str, str, str]

MOST = 5
"""The number of differing members that are listed."""

SMALL = 64
"""Up to this many bytes a value that equals the size of a structure is not taken for a size."""

_NOTHING = "nothing"


@dataclass(eq=False)
class Kept:
    """The state of one side after a step; equal to the other side's if no common member differs."""

    rules: Rules
    dump: Dump

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kept) and next(self.rules.differing(self.dump, other.dump), None) is None

    @property
    def digest(self) -> bytes:
        """A digest of what is compared: two states of one library are equal if their digests are."""
        digest = hashlib.sha256()
        for key, one in self.dump.items():
            digest.update(repr((key, one.size, one.rings)).encode())
            digest.update(self.rules.compared(one))
        return digest.digest()

    def facts(self, other: Kept) -> list[Fact]:
        """The members that differ from the other side's, with both values."""
        found = list(self.rules.differing(self.dump, other.dump))
        if len(found) > MOST:
            more = f"{len(found) - MOST} more differ"
            found = [*found[:MOST], ("kept: further words", "-", more)]
        return found


class Rules:
    """How the states of the kernels before and after are compared.

    ``noise`` names what differs between two runs of the same kernel: variables, and members as "kvm.name".
    """

    def __init__(self, before: RawStateReader, after: RawStateReader, noise: Collection[str] = ()) -> None:
        self.readers = before, after
        self._pairs = {
            kind: _Pair(before.layouts[name], after.layouts[name], name, frozenset(noise))
            for kind, name in STRUCTURES.items()
        }
        self._noise = frozenset(noise)
        # Allocation sizes that differ as the sizes of a structure do are no difference.
        sizes = ((before.layouts[name].size, after.layouts[name].size) for name in STRUCTURES.values())
        self._sizes = {pair for pair in sizes if min(pair) > SMALL}

    def differing(self, before: Dump, after: Dump) -> Iterator[Fact]:
        """Everything that differs: what it is, and the value on each side."""
        for key in [*before, *(key for key in after if key not in before)]:
            one, other = before.get(key), after.get(key)
            if one is None or other is None:
                sides = ("kept", _NOTHING) if other is None else (_NOTHING, "kept")
                yield (f"kept: {label(*key)}", *sides)
            elif key[0] == VARIABLES:
                yield from self._variables(one, other)
            elif key[0] == FLUSHES:
                yield from _flushes(one, other)
            elif key[0] == PAE_ROOT:
                if not np.array_equal(one.words, other.words):
                    yield (f"kept: {label(*key)}", str(one.words.tolist()), str(other.words.tolist()))
            else:
                yield from self._pairs[key[0]].differing(one, other)

    def compared(self, one: Object) -> bytes:
        """The bytes of an object of the kernel before that are compared."""
        if one.kind == VARIABLES:
            return one.words[self._common[0]].tobytes()
        return self._pairs[one.kind].compared(one) if one.kind in self._pairs else one.words.tobytes()

    def _variables(self, one: Object, other: Object) -> Iterator[Fact]:
        mine, theirs = self._common
        for index in np.flatnonzero(one.words[mine] != other.words[theirs]):
            values = int(one.words[mine[index]]), int(other.words[theirs[index]])
            if values in self._sizes:
                continue
            yield f"kept: variable {self._words[index]}", value_text(values[0]), value_text(values[1])

    @cached_property
    def _words(self) -> list[str]:
        """The name of each compared word of the variables."""
        sizes = {one.name: one.size for one in self.readers[0].variables}
        return [
            name if sizes[name] <= 8 else f"{name}, word {word}"
            for name in self._both
            for word in range((sizes[name] + 7) // 8)
        ]

    @cached_property
    def _both(self) -> list[str]:
        """The variables that both kernels have in the same size."""
        sizes = [{one.name: one.size for one in reader.variables} for reader in self.readers]
        return [
            name for name, size in sizes[0].items() if sizes[1].get(name) == size and name not in self._noise
        ]

    @cached_property
    def _common(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The indices of the words of the common variables, on either side."""
        found = []
        for reader in self.readers:
            starts, at = {}, 0
            for one in reader.variables:
                starts[one.name] = (at, (one.size + 7) // 8)
                at += (one.size + 7) // 8
            places = [range(starts[name][0], sum(starts[name])) for name in self._both]
            found.append(np.array([place for each in places for place in each], np.int64))
        return found[0], found[1]


def _flushes(one: Object, other: Object) -> Iterator[Fact]:
    """The ranges of gfns that KVM flushed in the step, in order, if they differ."""

    def text(ranges: Object) -> str:
        pairs = ranges.words.reshape(-1, 2).tolist()
        return ", ".join(f"{gfn:#x}+{npages:#x}" for gfn, npages in pairs) or "none"

    if not np.array_equal(one.words, other.words):
        yield ("ranges of gfns flushed (start+pages)", text(one), text(other))


class _Pair:
    """The layouts of one structure on both kernels, and the members that are compared."""

    def __init__(self, before: Layout, after: Layout, structure: str, noise: frozenset[str]) -> None:
        self._sizes = before.size, after.size
        self._structure = structure
        known = {one.name: one for one in after.members}
        shared = [(one, known[one.name]) for one in before.members if one.name in known]
        shared = [pair for pair in shared if f"{structure}.{pair[0].name}" not in noise]
        self._rings = [before.rings, after.rings]
        shared = [pair for pair in shared if "list" not in (pair[0].form, pair[1].form)]
        if before != after:
            shared = [
                pair for pair in shared if not (_overlaid(pair[0], before) or _overlaid(pair[1], after))
            ]
        self._shared = shared

    @cached_property
    def _masks(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
        """Of members of the same width and alignment: the offset of each byte on either side, and its mask.

        Bit fields count if they are at the same bits of a byte on both sides.
        """
        mine: list[int] = []
        theirs: list[int] = []
        bits: list[int] = []
        for one, other in self._shared:
            if not _alike(one, other):
                continue
            for byte in range((one.bit % 8 + one.bits * one.number + 7) // 8):
                mine.append(one.bit // 8 + byte)
                theirs.append(other.bit // 8 + byte)
                first = one.bit % 8 if byte == 0 else 0
                last = min(one.bit % 8 + one.bits * one.number - 8 * byte, 8)
                bits.append((1 << last) - (1 << first))
        return np.array(mine, np.int64), np.array(theirs, np.int64), np.array(bits, np.uint8)

    @cached_property
    def _mask(self) -> NDArray[np.uint64] | None:
        """The mask of the compared bits, if both layouts are equal and fill whole words."""
        mine, theirs, bits = self._masks
        if self._sizes[0] != self._sizes[1] or self._sizes[0] % 8 or self._apart or (mine != theirs).any():
            return None
        mask = np.zeros(self._sizes[0], np.uint8)
        np.bitwise_or.at(mask, mine, bits)
        return mask.view(np.uint64)

    @cached_property
    def _apart(self) -> list[tuple[Member, Member]]:
        """Members that are compared as numbers: of different width, or at different bits of a byte."""
        return [pair for pair in self._shared if not _alike(*pair)]

    def differing(self, one: Object, other: Object) -> Iterator[Fact]:
        """The members that differ between two structures of this kind, or two arrays of them."""
        count = max(one.size // self._sizes[0], 1)
        if count != max(other.size // self._sizes[1], 1):
            yield (
                f"kept: {label(one.kind, one.which)}, number",
                str(count),
                str(other.size // self._sizes[1]),
            )
            return
        for index in range(count) if self._differ(one, other, count) else ():
            place = f"{label(one.kind, one.which)}{f'[{index}]' if count > 1 else ''}"
            yield from self._facts(
                place, one.bytes[index * self._sizes[0] :], other.bytes[index * self._sizes[1] :]
            )
        yield from self._ring_facts(one, other)

    def compared(self, one: Object) -> bytes:
        """The bytes of a structure of the kernel before, or of an array of them, that are compared.

        Members that are compared as numbers are not among them; those of one library never are.
        """
        count = max(one.size // self._sizes[0], 1)
        if self._mask is not None:
            return (one.words[: len(self._mask) * count] & np.tile(self._mask, count)).tobytes()
        mine, _, bits = self._masks
        return (one.bytes[: count * self._sizes[0]].reshape(count, self._sizes[0])[:, mine] & bits).tobytes()

    def _differ(self, one: Object, other: Object, count: int) -> bool:
        """Whether any member differs; fast."""
        if self._mask is not None:
            return bool(
                (((one.words ^ other.words)[: len(self._mask) * count]) & np.tile(self._mask, count)).any()
            )
        mine, theirs, bits = self._masks
        ours, others = (each.bytes[: count * size].reshape(count, size) for each, size in zip(
            (one, other), self._sizes, strict=True
        ))  # fmt: skip
        if ((ours[:, mine] ^ others[:, theirs]) & bits).any():
            return True
        return any(_read(a, one.bytes, 0) != _read(b, other.bytes, 0) for a, b in self._apart)

    def _facts(self, place: str, ours: NDArray[np.uint8], others: NDArray[np.uint8]) -> Iterator[Fact]:
        found: list[tuple[Member, int, int, int]] = []
        for a, b in self._shared:
            for index in range(min(a.number, b.number)):
                values = _read(a, ours, index), _read(b, others, index)
                if values[0] != values[1]:
                    found.append((a, index, *values))
        for member, index, before, after in found:
            inner = (other for other, *_ in found if other is not member)
            if any(_inside(other, member) for other in inner):
                continue
            name = f"{member.name}[{index}]" if member.number > 1 else member.name
            whose = f" (struct {member.structure})" if member.structure != self._structure else ""
            yield (f"kept: {place}: {name}{whose}", value_text(before), value_text(after))

    def _ring_facts(self, one: Object, other: Object) -> Iterator[Fact]:
        """The lists whose lengths differ."""
        lengths = [
            dict(zip((ring.name for ring in rings), each.rings, strict=True))
            for rings, each in zip(self._rings, (one, other), strict=True)
            if each.rings
        ]
        if len(lengths) == 2:
            for name, length in lengths[0].items():
                if lengths[1].get(name, length) != length:
                    place = f"kept: {label(one.kind, one.which)}: list {name}, length"
                    yield (place, str(length), str(lengths[1][name]))


def keeping(reader: RawStateReader) -> Callable[[bytes], Kept]:
    """Decodes copies of the state of one library, so that they can be compared with each other."""
    rules = Rules(reader, reader)
    return lambda dump: Kept(rules, reader.read(dump))


def _alike(one: Member, other: Member) -> bool:
    """Whether two members are compared byte by byte."""
    return one.bits == other.bits and one.number == other.number and one.bit % 8 == other.bit % 8


def _overlaid(member: Member, layout: Layout) -> bool:
    """Whether bit fields overlay the member: then these are compared instead."""
    return any(other.form == "bits" and _inside(other, member) for other in layout.members)


def _inside(inner: Member, outer: Member) -> bool:
    """Whether a member is a proper part of another one, in a union."""
    ends = inner.bit + inner.bits * inner.number, outer.bit + outer.bits * outer.number
    within = outer.bit <= inner.bit and ends[0] <= ends[1]
    return within and inner.bits * inner.number < outer.bits * outer.number


def _read(member: Member, content: NDArray[np.uint8], index: int) -> int:
    """The value of a member, or of one element of it."""
    bit = member.bit + index * member.bits
    last = (bit + member.bits + 7) // 8
    number = int.from_bytes(content[bit // 8 : last].tobytes(), "little")
    return number >> bit % 8 & (1 << member.bits) - 1
