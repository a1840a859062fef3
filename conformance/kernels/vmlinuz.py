# SPDX-License-Identifier: GPL-2.0-only
"""Reads kernel images: the ELF in a bzImage, and vmlinux's BTF."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import IO

from conformance.errors import ConformanceError
from conformance.kernels.elf import MOST_BYTES, Elf
from conformance.kernels.reading import read_stream
from conformance.kernels.unpacking import unpacked

__all__ = ["BTF", "ELF", "MOST_BTF", "btf_of", "vmlinux_of"]

ELF = b"\x7fELF"
BTF = b"\x9f\xeb"
"""The magic number of little-endian BTF."""

MOST_BTF = 64 << 20
"""The largest BTF in bytes; Debian's kernels have 6 MB."""

# Documentation/arch/x86/boot.rst, "The real-mode kernel header".
_MAGIC_AT, _MAGIC = 0x202, b"HdrS"
_VERSION_AT, _HAS_PAYLOAD = 0x206, 0x208
_SETUP_SECTORS_AT, _PAYLOAD_AT = 0x1F1, 0x248


def vmlinux_of(data: bytes, file: str) -> bytes:
    """The vmlinux ELF in a bzImage; an ELF is returned as it is.

    Raises ConformanceError, which names the file, if it is neither, or if the bzImage holds something else.
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
    """The BTF of a vmlinux or a vmlinuz, or the file itself if it is BTF (/sys/kernel/btf/vmlinux).

    Raises ConformanceError if the file is of another kind, is damaged, or has no BTF.
    """
    try:
        with path.expanduser().open("rb") as file:
            # A vmlinux with DWARF has a gigabyte; only one section of it is read.
            stream = file if file.seekable() else io.BytesIO(read_stream(file, MOST_BYTES, str(path)))
            found = _btf_in(stream, str(path))
    except OSError as trouble:
        raise ConformanceError(f"{path} cannot be read: {trouble.strerror}.") from None
    if not found:
        raise ConformanceError(
            f"{path} has no type information (BTF). Pass that of a kernel built with CONFIG_DEBUG_INFO_BTF."
        )
    if len(found) > MOST_BTF:
        raise ConformanceError(
            f"{path} is not read: its type information is larger than {MOST_BTF >> 20} MiB."
        )
    return found


def _btf_in(stream: IO[bytes], file: str) -> bytes | None:
    begin = stream.read(len(ELF))
    stream.seek(0)
    if begin.startswith(BTF):
        return read_stream(stream, MOST_BTF, file)
    if begin == ELF:
        return Elf(stream, file).named(".BTF")
    return Elf(vmlinux_of(read_stream(stream, MOST_BYTES, file), file), file).named(".BTF")
