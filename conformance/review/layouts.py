# SPDX-License-Identifier: GPL-2.0-only
"""Fields that moved: where the members of structures whose text changed lie, by the compiler's DWARF."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile

from conformance.kernels import BuildError, Kernel
from conformance.kernels.cache import temporary
from conformance.review.constants import HEADERS
from conformance.review.functions import Source
from conformance.review.review import ConstantReview

__all__ = ["Layout", "layouts_of", "moved_fields", "read_layouts"]

_OURS = re.compile(
    r"(struct|union) (kvm_(mmu|page|memory|memslots|gfn|rmap|lpage|arch_memory)|rsvd_bits|tdp_)"
)
"""Structures outside the MMU's own files that are its own affair all the same."""
_AGGREGATES = {"DW_TAG_structure_type": "struct", "DW_TAG_union_type": "union"}

WHOLE = "all"
"""What all of a structure is called among its members."""
Layout = dict[str, tuple[int, int]]
"""A structure's members: the first bit, and how many there are. """


def moved_fields(
    kernels: tuple[Kernel, Kernel], sources: tuple[Source, Source], names: Iterable[str]
) -> list[ConstantReview]:
    """The members of the structures ``names`` that do not lie where they did, or are not as wide.

    One that is in one of the kernels only stands with None for the other.
    """
    wanted = sorted(name for name in names if any(_concerns_us(name, source) for source in sources))
    layouts = [
        layouts_of(kernel, [name for name in wanted if name in source.macros])
        for kernel, source in zip(kernels, sources, strict=True)
    ]
    return [one for name in wanted for one in _compared(name, *(each.get(name, {}) for each in layouts))]


def _concerns_us(name: str, source: Source) -> bool:
    text = source.macros.get(name)
    return text is not None and (text.of_mmu or bool(_OURS.match(name)))


def _compared(name: str, before: Layout, after: Layout) -> Iterator[ConstantReview]:
    """What moved in one structure; of what became wider or narrower, by how much."""
    for member in [*before, *(new for new in after if new not in before)]:
        was, now = before.get(member, (None, None)), after.get(member, (None, None))
        if was[0] != now[0]:
            yield ConstantReview(member, was[0], now[0], name, "first bit")
        if was[1] != now[1] and None not in (*was, *now):
            whole = member == WHOLE
            yield ConstantReview(
                name if whole else member, was[1], now[1], name, "size" if whole else "width"
            )


_MOST_DIES = 4_000_000
"""Entries of DWARF that are gone through; a debug kvm.ko has 1.2 million of them at the top of its units."""
_DEEPEST = 64
"""Types are not nested deeper than this; damaged ones go round in circles."""


def layouts_of(kernel: Kernel, names: Sequence[str]) -> dict[str, Layout]:
    """The layouts of those structures that are complete in the MMU's headers."""
    if not names:
        return {}
    with temporary("layouts") as place:
        unit, headers = place / "layouts.c", place / "headers.h"
        headers.write_text("".join(f"#include <{name}>\n" for name in HEADERS))
        unit.write_text("".join(f"{name} *review_{n};\n" for n, name in enumerate(names)))
        try:
            (made,) = kernel.compile([unit], place / "o", flags=("-g", "-w"), force_include=[headers])
        except BuildError:
            return {}
        with made.open("rb") as file:
            return read_layouts(ELFFile(file), names)


def read_layouts(elf: ELFFile, names: Iterable[str]) -> dict[str, Layout]:
    """The layouts of those structures ("struct kvm") that the file's DWARF tells of."""
    missing, found = set(names), {}
    count = 0
    for unit in elf.get_dwarf_info().iter_CUs():
        for die in unit.get_top_DIE().iter_children():
            count += 1
            if count > _MOST_DIES:
                raise ValueError("its entries go round in circles")
            name = f"{_AGGREGATES.get(str(die.tag), '')} {_name(die)}"
            if name in missing and "DW_AT_byte_size" in die.attributes:
                found[name] = {WHOLE: (0, 8 * _size(die)), **dict(_members(die, 0))}
                missing.remove(name)
        if not missing:
            break
    return found


def _members(structure: DIE, start: int, prefix: str = "") -> Iterator[tuple[str, tuple[int, int]]]:
    """The members, and those of members whose own type has no name and so is told nowhere else."""
    for die in structure.iter_children():
        if die.tag != "DW_TAG_member":
            continue
        given, inner, name = die.attributes, _type_of(die), _name(die)
        if "DW_AT_data_bit_offset" in given:
            at, width = given["DW_AT_data_bit_offset"].value, given["DW_AT_bit_size"].value
        else:
            at = 8 * given["DW_AT_data_member_location"].value if "DW_AT_data_member_location" in given else 0
            width = 8 * _size(inner)
        if name:
            yield prefix + name, (start + at, width)
        if inner.tag in _AGGREGATES and not _name(inner):
            yield from _members(inner, start + at, f"{prefix}{name}." if name else prefix)


def _type_of(die: DIE) -> DIE:
    """A member's type, without names that are given to types and qualifiers."""
    inner = die.get_DIE_from_attribute("DW_AT_type")
    for _ in range(_DEEPEST):
        if inner.tag not in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type"):
            return inner
        inner = inner.get_DIE_from_attribute("DW_AT_type")
    raise ValueError("a type is made of itself")


def _size(kind: DIE) -> int:
    """How many bytes a type takes: what it says, or, of an array, its parts together."""
    if "DW_AT_byte_size" in kind.attributes:
        return int(kind.attributes["DW_AT_byte_size"].value)
    if kind.tag != "DW_TAG_array_type":
        return 0
    size = _size(_type_of(kind))
    for part in kind.iter_children():
        bound = part.attributes.get("DW_AT_upper_bound")
        size *= bound.value + 1 if bound is not None and isinstance(bound.value, int) else 0
    return size


def _name(die: DIE) -> str:
    given = die.attributes.get("DW_AT_name")
    return given.value.decode() if given is not None else ""
