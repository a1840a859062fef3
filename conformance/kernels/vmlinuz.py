# SPDX-License-Identifier: GPL-2.0-only
"""What is packed in kernel images and modules: the ELF in a bzImage, a compressed kvm.ko, vmlinux's BTF."""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import zstandard
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from conformance.errors import ConformanceError

__all__ = ["BTF", "ELF", "btf_of", "read_file", "unpacked", "vmlinux_of"]

ELF = b"\x7fELF"
BTF = b"\x9f\xeb"
"""How little-endian BTF begins."""

# Documentation/arch/x86/boot.rst, "The real-mode kernel header".
_MAGIC_AT, _MAGIC = 0x202, b"HdrS"
_VERSION_AT, _HAS_PAYLOAD = 0x206, 0x208
_SETUP_SECTORS_AT, _PAYLOAD_AT = 0x1F1, 0x248


class _Unpacking(Protocol):
    """What takes packed data apart."""

    @property
    def eof(self) -> bool:
        """Whether the packed data has come to its end."""

    def decompress(self, data: bytes, /) -> bytes:
        """The data without its compression."""


def _whole(unpacking: _Unpacking, data: bytes) -> bytes:
    unpacked = unpacking.decompress(data)
    if not unpacking.eof:
        raise EOFError
    return unpacked


def _lz4(data: bytes) -> bytes:
    # The kernel uses the legacy frame, which libraries for Python do not read; its length lies behind it.
    try:
        done = subprocess.run(["lz4", "-d", "-c", "-"], input=data[:-4], capture_output=True)
    except FileNotFoundError:
        raise ConformanceError(
            "The kernel image is packed with lz4, and there is no lz4 here. Install it: apt-get install lz4"
        ) from None
    if done.returncode:
        raise EOFError
    return done.stdout


_PACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\xfd7zXZ\0": lambda data: _whole(lzma.LZMADecompressor(lzma.FORMAT_XZ), data),
    b"\x28\xb5\x2f\xfd": lambda data: _whole(zstandard.ZstdDecompressor().decompressobj(), data),
    b"\x1f\x8b": lambda data: _whole(zlib.decompressobj(wbits=31), data),
    b"BZh": lambda data: _whole(bz2.BZ2Decompressor(), data),
    b"\x5d\0\0": lambda data: _whole(lzma.LZMADecompressor(lzma.FORMAT_ALONE), data),
    b"\x02\x21\x4c\x18": _lz4,
}
"""How what each has packed begins. What follows the packed data is not looked at."""


def read_file(path: Path) -> bytes:
    """The file's content; ConformanceError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as trouble:
        raise ConformanceError(f"{path} cannot be read: {trouble.strerror}.") from None


def unpacked(data: bytes, file: str) -> bytes:
    """Data without its compression, if it has any (gzip, xz, zstd, bzip2, lzma, lz4).

    Raises ConformanceError, which names the file, if the compressed data is damaged.
    """
    for magic, unpack in _PACKERS.items():
        if data.startswith(magic):
            try:
                return unpack(data)
            except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError):
                raise ConformanceError(
                    f"{file} cannot be unpacked: it is cut off or damaged. Get the file again."
                ) from None
    return data


def vmlinux_of(data: bytes, file: str) -> bytes:
    """The vmlinux ELF in a bzImage; an ELF is returned as it is.

    Raises ConformanceError, which names the file, if it is neither or holds something else.
    """
    data = unpacked(data, file)
    if data.startswith(ELF):
        return data
    if data[_MAGIC_AT : _MAGIC_AT + 4] != _MAGIC or len(data) < _PAYLOAD_AT + 8:
        raise ConformanceError(
            f"{file} is no kernel image: neither vmlinux (ELF) nor vmlinuz (bzImage) begins like this."
        )
    (version,) = struct.unpack_from("<H", data, _VERSION_AT)
    sectors = data[_SETUP_SECTORS_AT] or 4
    offset, length = struct.unpack_from("<II", data, _PAYLOAD_AT)
    start = (sectors + 1) * 512 + offset
    if version < _HAS_PAYLOAD or not length or start + length > len(data):
        raise ConformanceError(f"{file}: the kernel in the image is cut off. Get the file again.")
    inside = unpacked(data[start : start + length], file)
    if not inside.startswith(ELF):
        raise ConformanceError(
            f"{file}: the kernel in the image is packed in a way that is not known (it begins with "
            f"{inside[:4].hex(' ')}). Pass the unpacked vmlinux."
        )
    return inside


def btf_of(path: Path) -> bytes:
    """The BTF of a kernel: of vmlinux, of vmlinuz, or the data itself (as /sys/kernel/btf/vmlinux has it).

    Raises ConformanceError if the file is none of these, or is damaged, or has no BTF.
    """
    data = read_file(path)
    if data.startswith(BTF):
        return data
    try:
        section = ELFFile(io.BytesIO(vmlinux_of(data, str(path)))).get_section_by_name(".BTF")
        found: bytes | None = section.data() if section is not None else None
    except (ELFError, ValueError, KeyError, struct.error, UnicodeDecodeError) as trouble:
        raise ConformanceError(f"{path}: the ELF file is damaged ({trouble}). Get the file again.") from None
    if not found:
        raise ConformanceError(
            f"{path} has no type information (BTF). Pass that of a kernel built with CONFIG_DEBUG_INFO_BTF."
        )
    return found
