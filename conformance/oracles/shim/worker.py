# SPDX-License-Identifier: GPL-2.0-only
"""The process in which a shim library's code runs; see serving.py. Its one argument is the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cffi

from conformance.oracles.lacking import written
from conformance.oracles.serving import keep_serving
from conformance.oracles.shim.interface import CDEF


class Library:
    """A shim."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._ffi = cffi.FFI()
        self._ffi.cdef(CDEF)

    def load(self, *more: Any) -> None:
        """See Functions. The planted difference of that number shows from here on, if one is named."""
        self._lib = self._ffi.dlopen(self._path)
        for number in more:
            self._lib.conformance_plant(int(number))

    def entries(self) -> list[list[Any]]:
        """See Functions."""
        found = (self._lib.shim_entry(i) for i in range(self._lib.shim_nr_entries()))
        return [[self._ffi.string(entry.name).decode(), entry.nr_in, entry.nr_out] for entry in found]

    def configure(self, host: Sequence[int]) -> None:
        """See Functions."""
        self._lib.shim_configure(self._ffi.new("uint64_t[]", host))

    def expect(self, names: Sequence[str]) -> None:
        """See Functions."""
        for slot, name in enumerate(names):
            self._lib.shim_expect(slot, name.encode())

    def run(self, entry: int, inputs: int, outputs: int, n: int, at: int) -> str:
        """See Functions."""
        words = [self._ffi.cast("uint64_t *", address) for address in (inputs, outputs, at)]
        self._lib.shim_run(entry, words[0], words[1], n, words[2])
        # A pointer that is wrong leads to bytes that are no text.
        return written(self._ffi.string(self._lib.shim_unexpected()))

    def coverage(self, to: int, size: int) -> int:
        """See Functions."""
        return int(self._lib.conformance_coverage(self._ffi.cast("void *", to), size))


if __name__ == "__main__":
    keep_serving(Library)
