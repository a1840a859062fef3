# SPDX-License-Identifier: GPL-2.0-only
"""What changed at file scope between two kernels, item by item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.review.items import Item, Kind, cut

__all__ = ["Changed", "changed_items", "only_comments"]

Items = Mapping[str, Sequence[Item]]
"""The items of each file."""


@dataclass(frozen=True)
class Changed:
    """An item that differs: in ``both`` kernels or in one only; by itself, or ``through`` what it uses."""

    item: Item
    file: str
    both: bool = True
    through: tuple[str, ...] = ()

    @property
    def by_code(self) -> bool:
        """Whether only the machine code of functions shows its effect, since no function mentions it."""
        item = self.item
        return not item.registered and not item.names and item.kind != Kind.CONDITION


def changed_items(before: Items, after: Items, files: Iterable[str]) -> list[Changed]:
    """The items of ``files`` that differ between the kernels, conditions around functions included."""
    found = []
    for file in sorted(files):
        ours, theirs = (_by_key(items.get(file, ())) for items in (before, after))
        for key in dict.fromkeys([*theirs, *ours]):
            if Counter(_content(ours.get(key, ()))) == Counter(_content(theirs.get(key, ()))):
                continue
            if key[0] == Kind.CONDITION and not (key in ours and key in theirs):
                continue  # The function itself is reported as added or removed.
            found.append(Changed((theirs.get(key) or ours[key])[0], file, key in ours and key in theirs))
    return found


def _by_key(items: Iterable[Item]) -> dict[tuple[str, str], list[Item]]:
    found: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        found.setdefault((item.kind, item.name), []).append(item)
    return found


def _content(items: Iterable[Item]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    return ((item.words, item.under) for item in items)


def only_comments(roots: tuple[Path, Path], file: str) -> bool:
    """Whether a file has the same tokens in both kernels, in the same order and under the same conditions."""
    texts = [(root / file).read_bytes().decode("latin-1") for root in roots if (root / file).is_file()]
    if len(texts) < 2 or not file.endswith((".c", ".h")):
        return False
    return cut(texts[0], ()) == cut(texts[1], ())
