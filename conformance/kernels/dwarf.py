# SPDX-License-Identifier: GPL-2.0-only
"""Types as the compiler describes them (DWARF): names, sizes, and where members lie in structures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile

__all__ = [
    "AGGREGATES",
    "WHOLE",
    "Places",
    "length_of",
    "name_of",
    "place_of",
    "read_places",
    "size_of",
    "type_of",
    "types_of",
]

AGGREGATES = {"DW_TAG_structure_type": "struct", "DW_TAG_union_type": "union"}
_QUALIFIERS = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_atomic_type")

_MOST_DIES = 4_000_000
"""Entries that are read at most; a debug kvm.ko has 1.2 million of them at the top of its units."""
_DEEPEST = 64
"""Types are not nested deeper than this; damaged ones refer to themselves."""
_POINTER = 8
"""Bytes of a pointer: some compilers leave its size out."""

WHOLE = "all"
"""The name of the structure itself among its members."""
Places = dict[str, tuple[int, int]]
"""The members of a structure, each with its first bit and its width in bits."""


def read_places(elf: ELFFile, names: Iterable[str]) -> dict[str, Places]:
    """Where the members lie of those of the structures ``names`` ("struct kvm") that the file describes.

    Members of a member whose own type has no name are listed with it, as "role.level". Raises ValueError,
    and whatever pyelftools raises, about damaged DWARF.
    """
    missing, found = set(names), {}
    count = 0
    for unit in elf.get_dwarf_info().iter_CUs():
        for die in unit.get_top_DIE().iter_children():
            count += 1
            if count > _MOST_DIES:
                raise ValueError("its entries refer to each other in a circle")
            name = f"{AGGREGATES.get(str(die.tag), '')} {name_of(die)}"
            if name in missing and "DW_AT_byte_size" in die.attributes:
                found[name] = {WHOLE: (0, 8 * size_of(die)), **dict(_members(die, 0))}
                missing.remove(name)
        if not missing:
            break
    return found


def _members(structure: DIE, start: int, prefix: str = "") -> Iterator[tuple[str, tuple[int, int]]]:
    """The members, and those of members whose type has no name."""
    for die in structure.iter_children():
        if die.tag != "DW_TAG_member":
            continue
        inner, name = type_of(die), name_of(die)
        at, width = place_of(die)
        if name:
            yield prefix + name, (start + at, 8 * size_of(inner) if width is None else width)
        if inner.tag in AGGREGATES and not name_of(inner):
            yield from _members(inner, start + at, f"{prefix}{name}." if name else prefix)


def name_of(die: DIE) -> str:
    """The name of a type or a member; "" if it has none."""
    given = die.attributes.get("DW_AT_name")
    return given.value.decode() if given is not None else ""


def place_of(member: DIE) -> tuple[int, int | None]:
    """The first bit of a member, from the start of its structure; the width of a bit field, else None."""
    given = member.attributes
    if "DW_AT_data_bit_offset" in given:
        return given["DW_AT_data_bit_offset"].value, given["DW_AT_bit_size"].value
    # A union's members need not say that they are at its start.
    at = 8 * given["DW_AT_data_member_location"].value if "DW_AT_data_member_location" in given else 0
    if "DW_AT_bit_size" in given:
        # Before DWARF 5: counted from the other end of the storage unit.
        width = given["DW_AT_bit_size"].value
        return at + 8 * given["DW_AT_byte_size"].value - given["DW_AT_bit_offset"].value - width, width
    return at, None


def types_of(die: DIE) -> list[DIE]:
    """The type of a member or of an array's elements: typedefs and qualifiers, then what they stand for."""
    found: list[DIE] = []
    while "DW_AT_type" in die.attributes and (not found or die.tag in _QUALIFIERS):
        if len(found) > _DEEPEST:
            raise ValueError("a type is defined by itself")
        die = die.get_DIE_from_attribute("DW_AT_type")
        found.append(die)
    return found


def type_of(die: DIE) -> DIE:
    """The type of a member or of an array's elements, without typedefs and qualifiers."""
    return types_of(die)[-1]


def size_of(kind: DIE) -> int:
    """The size of a type in bytes; 0 for one that is incomplete."""
    if "DW_AT_byte_size" in kind.attributes:
        return int(kind.attributes["DW_AT_byte_size"].value)
    if kind.tag == "DW_TAG_pointer_type":
        return _POINTER
    if kind.tag == "DW_TAG_array_type":
        return length_of(kind) * size_of(type_of(kind))
    return 0


def length_of(array: DIE) -> int:
    """The number of elements of an array, of all its dimensions; 0 if its length is not given."""
    count = 1
    for part in array.iter_children():
        bound = part.attributes.get("DW_AT_upper_bound")
        count *= bound.value + 1 if bound is not None and isinstance(bound.value, int) else 0
    return count
