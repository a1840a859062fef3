# SPDX-License-Identifier: GPL-2.0-only
"""Decompresses kernels and modules, of any format that is used for them, within a limit.

Half a megabyte of xz can hold gigabytes. So data is decompressed in steps, and refused when the output
exceeds the limit.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard

from conformance.errors import ConformanceError
from conformance.kernels.building import build
from conformance.kernels.elf import MOST_BYTES

__all__ = ["unpacked"]

_MOST_MEMORY = 256 << 20
"""The memory limit of decompressors. The kernel's build uses dictionaries of up to 128 MiB."""
_STEP = 1 << 20
"""The number of bytes that a step decompresses."""
_PACKED_STEP = 256
"""The number of compressed bytes per step for zstd: every four may become 128 KiB."""

Pieces = Iterator[bytes]


class _Damaged(Exception):
    """The data is truncated or damaged."""


class _Limited(Protocol):
    """The interface of Python's decompressors that limit their output."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed data was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether more input is needed."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Decompress up to ``max_length`` bytes."""


def _limited(unpacking: _Limited, data: bytes) -> Pieces:
    yield unpacking.decompress(data, _STEP)
    while not unpacking.eof:
        if unpacking.needs_input:
            raise _Damaged
        yield unpacking.decompress(b"", _STEP)


def _gzip(data: bytes) -> Pieces:
    unpacking = zlib.decompressobj(wbits=31)
    for at in range(0, len(data), _STEP):
        step = data[at : at + _STEP]
        while step:
            yield unpacking.decompress(step, _STEP)
            step = unpacking.unconsumed_tail
        if unpacking.eof:
            return
    while not unpacking.eof:
        piece = unpacking.decompress(b"", _STEP)
        if not piece:
            raise _Damaged
        yield piece


def _zstd(data: bytes) -> Pieces:
    unpacking = zstandard.ZstdDecompressor(max_window_size=_MOST_MEMORY).decompressobj()
    for at in range(0, len(data), _PACKED_STEP):
        yield unpacking.decompress(data[at : at + _PACKED_STEP])
        if unpacking.eof:
            return
    raise _Damaged


def _lz4(data: bytes) -> Pieces:
    # The kernel uses the legacy frame, which Python's libraries do not read; its length follows it.
    done = build(["lz4", "-d", "-c", "-"], given=data[:-4], output=MOST_BYTES, purpose="Unpacking a kernel")
    if done.returncode:
        raise _Damaged
    yield done.stdout.encode("utf-8", "surrogateescape")


_PACKERS: dict[bytes, Callable[[bytes], Pieces]] = {
    b"\xfd7zXZ\0": lambda data: _limited(lzma.LZMADecompressor(lzma.FORMAT_XZ, _MOST_MEMORY), data),
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\x1f\x8b": _gzip,
    b"BZh": lambda data: _limited(bz2.BZ2Decompressor(), data),
    b"\x5d\0\0": lambda data: _limited(lzma.LZMADecompressor(lzma.FORMAT_ALONE, _MOST_MEMORY), data),
    b"\x02\x21\x4c\x18": _lz4,
}
"""Decompressors by magic number. Data after the compressed stream is ignored."""


def unpacked(data: bytes, file: str, most: int = MOST_BYTES) -> bytes:
    """Decompress data, if it is compressed (gzip, xz, zstd, bzip2, lzma, lz4).

    Raises ConformanceError, which names the file, if the data is damaged or exceeds ``most`` bytes.
    """
    for magic, unpack in _PACKERS.items():
        if data.startswith(magic):
            try:
                return _together(unpack(data), file, most)
            except (_Damaged, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError):
                raise ConformanceError(
                    f"{file} cannot be unpacked: it is cut off or damaged. Get the file again."
                ) from None
    return data


def _together(pieces: Pieces, file: str, most: int) -> bytes:
    whole = bytearray()
    for piece in pieces:
        if len(whole) + len(piece) > most:
            raise ConformanceError(
                f"{file} is not unpacked: it becomes larger than {most >> 20} MiB, "
                "which no kernel or module is."
            )
        whole += piece
    return bytes(whole)
