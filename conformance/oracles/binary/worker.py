# SPDX-License-Identifier: GPL-2.0-only
"""The process that runs a module's code: it maps the image to its addresses; see serving.py."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cffi

from conformance.errors import ConformanceError
from conformance.oracles.binary.image_file import load_image
from conformance.oracles.lacking import written
from conformance.oracles.serving import keep_serving

_LIBC = """
void *mmap(void *address, size_t length, int rights, int flags, int fd, long offset);
int mprotect(void *address, size_t length, int rights);
"""
_READ, _WRITE, _EXECUTE = 1, 2, 4
_PRIVATE, _ANONYMOUS, _FIXED_NOREPLACE = 0x02, 0x20, 0x100000

_FUNCTIONS = {
    "shim_begin": "long (*)(void)",
    "shim_run": "void (*)(unsigned long, const uint64_t *, uint64_t *, unsigned long, uint64_t *)",
    "shim_configure": "void (*)(const uint64_t *)",
    "shim_expect": "void (*)(unsigned int, const char *)",
    "shim_unexpected": "const char *(*)(void)",
}


class Loaded:
    """An image, to be laid out in memory at its addresses."""

    def __init__(self, folder: str) -> None:
        self._ffi = cffi.FFI()
        self._ffi.cdef(_LIBC)
        image = load_image(Path(folder))
        self._segments = image.segments
        self._entries = [[name, entry.nr_in, entry.nr_out] for name, entry in image.entries.items()]
        self._call = {
            name: self._ffi.cast(kind, image.symbols[name].address) for name, kind in _FUNCTIONS.items()
        }

    def _map(self, address: int, content: bytes, writable: bool, executable: bool) -> None:
        libc = self._ffi.dlopen(None)
        at = self._ffi.cast("void *", address)
        flags = _PRIVATE | _ANONYMOUS | _FIXED_NOREPLACE
        got = libc.mmap(at, len(content), _READ | _WRITE, flags, -1, 0)
        if got != at:
            # Not the image's fault: the system has mapped something of Python's there.
            why = os.strerror(self._ffi.errno)
            raise ConformanceError(
                f"Address {address:#x} is not free for the module's code ({why}). Try again."
            )
        self._ffi.memmove(at, content, len(content))
        rights = _READ | (_WRITE if writable else 0) | (_EXECUTE if executable else 0)
        if libc.mprotect(at, len(content), rights):
            why = os.strerror(self._ffi.errno)
            raise ConformanceError(f"This system does not let the module's code run ({why}).")

    def load(self, *more: Any) -> None:
        """See Functions."""
        for segment in self._segments:
            self._map(segment.address, segment.content, segment.writable, segment.executable)
        error = self._call["shim_begin"]()
        if error:
            raise ConformanceError(
                f"This system does not let the module's code be watched ({os.strerror(-error)})."
            )

    def entries(self) -> list[list[Any]]:
        """See Functions."""
        return self._entries

    def configure(self, host: Sequence[int]) -> None:
        """See Functions."""
        self._call["shim_configure"](self._ffi.new("uint64_t[]", host))

    def expect(self, names: Sequence[str]) -> None:
        """See Functions."""
        for slot, name in enumerate(names):
            self._call["shim_expect"](slot, self._ffi.new("char[]", name.encode()))

    def run(self, entry: int, inputs: int, outputs: int, n: int, at: int) -> str:
        """See Functions."""
        words = [self._ffi.cast("uint64_t *", address) for address in (inputs, outputs, at)]
        self._call["shim_run"](entry, words[0], words[1], n, words[2])
        # A pointer that is wrong leads to bytes that are no text.
        return written(self._ffi.string(self._call["shim_unexpected"]()))

    def coverage(self, to: int, size: int) -> int:
        """See Functions. A module has no counters."""
        return 0


if __name__ == "__main__":
    keep_serving(Loaded)
