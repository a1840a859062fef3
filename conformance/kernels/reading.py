# SPDX-License-Identifier: GPL-2.0-only
"""Reads untrusted files within limits; every failure is a ConformanceError."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from conformance.errors import ConformanceError

__all__ = ["GOLDEN_BYTES", "read_file", "read_stream", "read_text"]


GOLDEN_BYTES = 1 << 20
"""The largest golden file in bytes; the largest has 33 KB."""
LONGEST_LINE = 1 << 12
"""The longest line of a golden, story or race file, in characters; the longest has 400."""


def read_file(path: Path | str, most: int) -> bytes:
    """The content of a file of at most ``most`` bytes.

    Raises ConformanceError, which names the file, if it cannot be read or is larger.
    """
    try:
        with open(Path(path).expanduser(), "rb") as file:
            return read_stream(file, most, str(path))
    except (OSError, ValueError, RuntimeError) as trouble:  # The name has a NUL, or ~ of an unknown user.
        why = getattr(trouble, "strerror", None) or trouble
        raise ConformanceError(f"{path} cannot be read: {why}.") from None


def read_text(path: Path | str, most: int) -> list[str]:
    """The lines of a UTF-8 file. Raises ConformanceError as read_file() does, and if it is not text."""
    try:
        text = read_file(path, most).decode("utf-8")
    except UnicodeDecodeError:
        raise ConformanceError(f"{path} cannot be read: it is not text.") from None
    lines = text.splitlines()
    if (longest := max(map(len, lines), default=0)) > LONGEST_LINE:
        raise ConformanceError(f"{path} is not read: it has a line of {longest:,} characters.")
    return lines


def read_stream(stream: IO[bytes], most: int, what: str) -> bytes:
    """The rest of a stream. Raises ConformanceError if that is more than ``most`` bytes."""
    content = stream.read(most + 1)
    if len(content) > most:
        size = f"{most >> 20} MiB" if most >> 20 else f"{most >> 10} KiB"
        raise ConformanceError(f"{what} is not read: it is larger than {size}.")
    return content
