# SPDX-License-Identifier: GPL-2.0-only
"""Reading a file that a stranger made: all of it or a sentence, and never more than its reader can bear."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from conformance.errors import ConformanceError

__all__ = ["read_file", "read_stream"]


def read_file(path: Path | str, most: int) -> bytes:
    """The content of a file of at most ``most`` bytes.

    Raises ConformanceError, which names the file, if it cannot be read or is larger.
    """
    try:
        with open(Path(path).expanduser(), "rb") as file:
            return read_stream(file, most, str(path))
    except (OSError, ValueError, RuntimeError) as trouble:  # A NUL in its name, a ~ of no user.
        why = getattr(trouble, "strerror", None) or trouble
        raise ConformanceError(f"{path} cannot be read: {why}.") from None


def read_stream(stream: IO[bytes], most: int, what: str) -> bytes:
    """What is left of a stream. Raises ConformanceError if that is more than ``most`` bytes."""
    content = stream.read(most + 1)
    if len(content) > most:
        size = f"{most >> 20} MiB" if most >> 20 else f"{most >> 10} KiB"
        raise ConformanceError(f"{what} is not read: it is larger than {size}, which no such file is.")
    return content
