# SPDX-License-Identifier: GPL-2.0-only
"""Parsing SPTEs in text: numbers on the command line, lines of dmesg, of traces and of mails.

A number counts if the line calls it an SPTE. The formats are those of KVM's tracepoints and messages:
kvm_mmu_set_spte, check_mmio_spte, fast_page_fault, kvm_tdp_mmu_spte_changed, kvm_mmu_split_huge_page, the
hierarchies of get_mmio_spte(), the WARNs of make_spte() and check_spte_writable_invariants(), the messages
of handle_changed_spte() and mmu_spte_free(), and free text such as ``spte=0x...,``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.errors import ConformanceError

__all__ = ["Found", "numbers", "search"]

_BITS = 64


@dataclass(frozen=True)
class Found:
    """An SPTE, with the name, level, gfn and address that the text gives it."""

    spte: int
    name: str = ""
    level: int | None = None
    gfn: int | None = None
    sptep: int | None = None


_NUMBER = r"(-?)(0[xX][0-9a-fA-F_]+|[0-9a-fA-F][0-9a-fA-F_]*)(?:[uU]?[lL]{0,2})(?!\w|[.:]\d|\+0x)"
"""A number, its sign in a group of its own; not the start of a word, a time or a sum."""

_ALONE = re.compile(_NUMBER)
_NAMED = re.compile(
    # The name: spte, new_spte, iter->old_spte, *sptep, shadow PTE; or spte[3] with its level.
    r"(?<!\w)(?P<name>\*\s?\w*sptep|\w*(?:spte|shadow[ _]pte)(?P<many>s?)\d?(?:_?val(?:ue)?)?)(?!\w)"
    r"(?:\[(?:level\s*=?\s*)?(?P<level>\d)\])?"
    # The separator: nothing, "=", ": ", " is ", " value ", " changed from ", quotes and markup.
    r"""[)"'`*]*\s*(?:value|val|changed)?\s*(?P<sign>[:=]?>?|->|→|\b(?:is|was|from|of)\b)"""
    r"""["'`(<{\[*\s]*"""
    # rmap_printk() prints the pointer first.
    r"(?:ffff[0-9a-f]{12}\s+(?=[0-9a-f]*\d)|0{8}[0-9a-f]{8}\s+(?=[0-9a-f]*\d)(?=[0-9a-f]{1,15}\b))?"
    + _NUMBER,
    re.IGNORECASE,
)
_NEXT = re.compile(rf"\s*(?:->|=>|→|\bto\b|(?P<comma>,))\s*(?=0x){_NUMBER}", re.IGNORECASE)
_OLD_AND_NEW = re.compile(rf"\bsptep\s+\S+\s+old\s+{_NUMBER}\s+new\s+{_NUMBER}")
"""fast_page_fault."""
_NOT_WRITABLE = re.compile(rf"SPTE is not (?:MMU|Host)-writable:\s*{_NUMBER}")
"""check_spte_writable_invariants()."""

_HEX = r"(?:0x)?([0-9a-f]+)(?!\w)"
_LEVEL = re.compile(
    r"""(?<!root )(?<!max )(?<!\w)(?:level|lvl)"?\s*[:=]?\s*"?"""
    r"(?:(?P<number>[0-9])(?!\w|\.\d)|(?:PG_LEVEL_)?(?P<size>4K|2M|1G)\b)",
    re.IGNORECASE,
)
_SIZES = {"4K": 1, "2M": 2, "1G": 3}
_GFN = re.compile(rf"""(?<!\w)gfn"?\s*[:=]?\s*"?{_HEX}""", re.IGNORECASE)
_SPTEP = re.compile(rf"(?:(?<![\w*])sptep\s*[:=]?\s*|\(@ |\blevel \d at ){_HEX}", re.IGNORECASE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PUNCTUATION = "\"'`()[]{}<>.,;:*=!?"


def numbers(text: str, *, decimal: bool = False, strict: bool = True) -> list[Found]:
    """The SPTEs of a text that consists of numbers, and of ``level N``, ``gfn N`` and ``sptep N``.

    Empty for any other text. Numbers are hex, with or without 0x, unless those without are ``decimal``. In
    lines of a log (not ``strict``), numbers that may be words or bytes of a hex dump are no SPTEs. Raises
    ConformanceError if a number is negative or has more than 64 bits.
    """
    text = _COLOURS.sub("", text).strip().lstrip("> ")
    rest = text
    for pattern in (_LEVEL, _GFN, _SPTEP):
        rest = pattern.sub(" ", rest)
    if not rest.strip():
        return []
    words = [word for part in re.split(r"[\s,;|]+", rest) if (word := part.strip(_PUNCTUATION))]
    if len(words) > 1 and re.match(r"\s*(0x)?[0-9a-f]{12,16}:\s", rest, re.IGNORECASE):
        del words[0]  # The address in a memory dump.
    matches = [_ALONE.fullmatch(word) for word in words]
    if not all(matches):
        return []
    if not strict and words:
        if not all(_plain(word) and not word.startswith("-") for word in words):
            return []
        if len(words) > 1 and len(words[0]) <= 8 and words[0][:2].lower() != "0x":
            return []
    place = _place(text)
    level = next(iter(map(_level, _LEVEL.finditer(text))), None)
    return [_found(match, "", place, decimal, level) for match in matches if match is not None]


def search(text: str, *, decimal: bool = False) -> list[Found]:
    """The SPTEs of a line that calls them so, in the order of the line.

    Raises ConformanceError if one of them is negative or has more than 64 bits.
    """
    if "pte" not in text.lower():
        return []
    text = _COLOURS.sub("", text)
    matches = list(_matches(text))
    whole = {level for level in map(_level, _LEVEL.finditer(text)) if level is not None}
    found: dict[int, Found] = {}
    place = _place(text)
    for number, (start, match, name, index) in enumerate(matches):
        end = matches[number + 1][0] if number + 1 < len(matches) else len(text)
        levels = [index, *map(_level, _LEVEL.finditer(text, start, end)), *(whole if len(whole) == 1 else ())]
        level = next((level for level in levels if level is not None), None)
        one = _found(match, name, place, decimal, level)
        found.setdefault(start, one)
    return [found[start] for start in sorted(found)]


def _matches(text: str) -> Iterator[tuple[int, re.Match[str], str, int | None]]:
    """For each number its position, the match that ends in its sign and digits, its name, N of spte[N]."""
    found: dict[int, tuple[re.Match[str], str, int | None]] = {}
    for match in _NAMED.finditer(text):
        digits = match.groups()[-1]
        if not _plain(digits) or not (_long(digits) or re.search(r"\W", match["sign"])):
            continue
        at = match.start(match.re.groups)
        name = "spte" if match["level"] else match["name"].replace(" ", "")
        index = int(match["level"]) if match["level"] else None
        found[at] = match, name, index if index in range(1, 6) else None
        following = _NEXT.match(text, match.end())
        while following is not None and (match["many"] or not following["comma"]):
            found[following.start(following.re.groups)] = following, name, None
            following = _NEXT.match(text, following.end())
    for pattern, names in ((_OLD_AND_NEW, ("old", "new")), (_NOT_WRITABLE, ("SPTE",))):
        for match in pattern.finditer(text):
            for number, name in enumerate(names, start=1):
                part = _ALONE.search(text, match.start(2 * number - 1))
                assert part is not None
                found[part.start(2)] = part, name, None
    for at in sorted(found):
        yield at, *found[at]


def _plain(digits: str) -> bool:
    """Whether the digits cannot be an English word, such as "add" or "dead"."""
    return any(char.isdigit() for char in digits)


def _long(digits: str) -> bool:
    """Whether the digits are a value, not a count in a sentence ("each SPTE 2 times")."""
    return digits[:2].lower() == "0x" or digits == "0" or len(digits) > 2


def _level(match: re.Match[str]) -> int | None:
    if match["size"]:
        return _SIZES[match["size"].upper()]
    level = int(match["number"])
    return level if 1 <= level <= 5 else None


def _place(text: str) -> tuple[int | None, int | None]:
    """The first gfn and the first sptep in a line; None for one that it does not have."""
    gfn, sptep = _GFN.search(text), _SPTEP.search(text)
    return None if gfn is None else int(gfn[1], 16), None if sptep is None else int(sptep[1], 16)


def _found(
    match: re.Match[str], name: str, place: tuple[int | None, int | None], decimal: bool, level: int | None
) -> Found:
    """The SPTE of a match whose last groups are sign and digits, with what its line says of it."""
    sign, digits = match.groups()[-2:]
    return Found(_value(sign, digits, decimal), name, level, *place)


def _value(sign: str, digits: str, decimal: bool) -> int:
    """The number as an int. Raises ConformanceError if it cannot be an SPTE."""
    digits = digits.strip("_")
    # More hex digits than these are no SPTE; so many decimal ones may be.
    long = digits.isdecimal() and len(digits) > _BITS // 4 and digits[0] != "0"
    hexadecimal = digits[:2].lower() == "0x" or not (decimal or long)
    try:
        value = int(digits.replace("_", ""), 16 if hexadecimal else 10)
    except ValueError:
        raise ConformanceError(
            f"'{_short(digits)}' is no {'hex' if hexadecimal else 'decimal'} number."
        ) from None
    if sign:
        raise ConformanceError(f"'-{_short(digits)}' is negative; an SPTE is 64 bits without a sign.")
    if value >> _BITS:
        raise ConformanceError(f"'{_short(digits)}' has {value.bit_length()} bits; an SPTE has {_BITS}.")
    return value


def _short(digits: str) -> str:
    return digits if len(digits) <= 40 else f"{digits[:37]}..."
