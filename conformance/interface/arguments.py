# SPDX-License-Identifier: GPL-2.0-only
"""One argument of a step, or one option of a VM: its range, its default and its text form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Argument"]


@dataclass(frozen=True)
class Argument:
    """An integer from ``least`` to ``most``; ``words`` gives names to some values.

    ``default`` is the value of an argument that is left out; without one it must be given.
    """

    name: str
    least: int
    most: int
    default: int | None = None
    words: Mapping[str, int] = field(default_factory=dict)

    def show(self, value: int) -> str:
        """The value as text: its word, else hexadecimal for addresses and masks, else decimal."""
        for word, number in self.words.items():
            if number == value:
                return word
        return hex(value) if self.most > 0xFFFF else str(value)

    def read(self, text: str) -> int:
        """The value that ``text`` stands for. Raises ValueError if it is not a number."""
        if text in self.words:
            return self.words[text]
        if not re.fullmatch(r"0x[0-9a-fA-F]{1,16}|[0-9]{1,20}", text):
            raise ValueError(f"{self.name}={text} is not a number{self._choices()}")
        return int(text, 16 if text.startswith("0x") else 10)

    def check(self, value: int) -> None:
        """Raise ValueError for a value out of range."""
        if not isinstance(value, int) or not self.least <= value <= self.most:
            raise ValueError(f"{self.name}={value} is not from {self.least} to {self.most:#x}")
        if self.words and self.most < 64 and value not in self.words.values():
            raise ValueError(f"{self.name}={value} has no meaning{self._choices()}")

    def _choices(self) -> str:
        return f"; there are {', '.join(self.words)}" if self.words else ""
