# SPDX-License-Identifier: GPL-2.0-only
"""The firmware of the machine in Bochs, and the disk from which it loads a kernel (c/firmware.S).

A BIOS and a boot loader would read the kernel compressed, and unpacking it takes most of a boot there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, key_of
from conformance.kernels.building import build
from conformance.kernels.compilers import chosen
from conformance.kernels.tools import Progress, first_error, quiet
from conformance.oracles.common import digest_of_parts
from conformance.oracles.live.pvh import pvh_kernel, start_info

__all__ = ["boot_medium", "build_firmware"]

_SOURCE = Path(__file__).parent / "c" / "firmware.S"
_FLAGS = ("-m32", "-nostdlib", "-static", "-Wl,-Ttext=0xfffff000,--oformat=binary,--build-id=none")

KIND = "firmware"
KEEP = 4

SECTOR = 512
_CYLINDER = 16 * 63 * SECTOR
"""The size of a disk is a multiple of it."""
_ROM, _CODE = 0x10000, 0x1000
"""Bytes of the ROM, and of the code at its end."""
_START_INFO = 0x10000
_INITRD = 0x10000000
"""Where they are put, unless the kernel reaches so far."""
_ROOM = 32 << 20
"""Bytes behind a kernel's segments that it may use before it knows the memory."""


def build_firmware(cache: Cache, progress: Progress = quiet) -> bytes:
    """The code of the firmware, from the cache or assembled now. Raises BuildError."""
    compiler = chosen()

    def make(entry: Path) -> None:
        progress("Assembling the firmware of emulated machines")
        done = build(
            [*compiler.command, *_FLAGS, _SOURCE, "-o", entry / "firmware"],
            read=[_SOURCE, *compiler.places],
            write=[entry],
            purpose="Assembling the firmware of emulated machines",
        )
        if done.returncode or (entry / "firmware").stat().st_size != _CODE:
            raise BuildError(
                f"The firmware of emulated machines cannot be assembled: {first_error(done.stderr)}"
            )

    key = key_of("firmware", digest_of_parts("oracles/live/c/firmware.S"), *_FLAGS, compiler.identity)
    place = cache.get_or_build(KIND, key, make, what="the firmware", keep=KEEP, progress=progress)
    return (place / "firmware").read_bytes()


def boot_medium(
    code: bytes, vmlinux: Path, initrd: bytes, options: str, memory: int
) -> tuple[bytes, list[bytes]]:
    """The ROM, and the content of the disk in pieces.

    Raises ConformanceError if the kernel cannot be booted.
    """
    kernel = pvh_kernel(vmlinux.read_bytes(), str(vmlinux), memory)
    place = max(_INITRD, kernel.end + _ROOM & ~0xFFF)
    if place + len(initrd) > memory:
        raise ConformanceError(f"{vmlinux} cannot be booted: the initrd does not fit into the memory.")
    info = start_info(_START_INFO, (place, len(initrd)), memory, options)
    loads = [*kernel.loads, (place, initrd), (_START_INFO, info)]
    return _rom(code, loads, kernel.entry), [*_disk(loads)]


def _rom(code: bytes, loads: Sequence[tuple[int, bytes]], entry: int) -> bytes:
    """The table of what is read from the disk, and the code."""
    table = b"".join(struct.pack("<II", _sectors(content), address) for address, content in loads)
    return (table + struct.pack("<III", 0, entry, _START_INFO)).ljust(_ROM - len(code), b"\0") + code


def _disk(loads: Sequence[tuple[int, bytes]]) -> Iterator[bytes]:
    size = 0
    for _, content in loads:
        yield content
        yield bytes(-len(content) % SECTOR)
        size += _sectors(content) * SECTOR
    yield bytes(-size % _CYLINDER)


def _sectors(content: bytes) -> int:
    return -(-len(content) // SECTOR)
