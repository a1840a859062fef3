# SPDX-License-Identifier: GPL-2.0-only
"""Calling functions of a shipped module, and reporting where it died."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from pathlib import Path

from conformance.oracles.binary import worker
from conformance.oracles.binary.image_file import load_image, load_reasons
from conformance.oracles.binary.linking import NOWHERE
from conformance.oracles.child import Entry, FunctionOracle, KernelDied
from conformance.oracles.image import Image
from conformance.oracles.lacking import Lacking

__all__ = ["BinaryOracle"]

_AT_ONCE = 1 << 14

_ADD = "It is to be added to conformance/oracles/c/entries/answers.h, with the reason why it is faithful."

_WRITES, _FETCHES = 1 << 1, 1 << 4
"""Bits of a page fault's error code."""


class BinaryOracle(FunctionOracle):
    """A kernel's functions as its distribution ships them, of the image stored in ``folder``."""

    def __init__(self, folder: Path, *, patience: float = 10.0) -> None:
        super().__init__(Path(worker.__file__), folder, patience=patience)
        self.why_not = load_reasons(folder)

    def capacity(self, entry: Entry) -> int:
        """How many cases one batch may have: few, since each complaint and each watched store is a signal."""
        return min(super().capacity(entry), _AT_ONCE)

    def _death(self, code: int, case: int) -> KernelDied | Lacking:
        """See FunctionOracle. At NOWHERE lies what the module needs of the rest of the kernel."""
        at, address, _, signal, caller = (int(word) for word in self._at[1:6])
        if signal and NOWHERE <= address < NOWHERE + (1 << 28):
            return Lacking(
                f"nothing stands in for {self._name(address)}",
                f", which {self._name(caller or at)} wants",
                _ADD,
            )
        return super()._death(code, case)

    def _explained(self, how: str) -> str:
        """``how``, and the instruction and the access that it died of."""
        at, address, error, signal, _ = (int(word) for word in self._at[1:6])
        if not signal:
            return how
        text = f"{how} at {self._name(at)}"
        if address:
            what = "executing" if error & _FETCHES else "writing" if error & _WRITES else "reading"
            text += f", {what} {self._name(address)}"
        return text

    @cached_property
    def image(self) -> Image:
        """What the child has laid out: read here only when it is needed, as when code has died."""
        return load_image(self._what)

    @cached_property
    def _places(self) -> list[tuple[int, str, int]]:
        """Address, name and size of each symbol, in their order."""
        return sorted((one.address, name, one.size) for name, one in self.image.symbols.items())

    def _name(self, address: int) -> str:
        """An address as symbol and offset, or as a number if no symbol is near."""
        index = bisect_right(self._places, (address, "\U0010ffff", 0)) - 1
        if index >= 0:
            start, name, size = self._places[index]
            if address - start < max(size, 1):
                return name if address == start else f"{name}+{address - start:#x}"
        return f"{address:#x}"
