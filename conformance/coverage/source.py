# SPDX-License-Identifier: GPL-2.0-only
"""The lines of kernel files, numbered as compilers number them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["source_lines"]


def source_lines(path: Path) -> list[str]:
    """The lines of a file, the first with index 0; [] if the file does not exist.

    Only newlines end a line: str.splitlines() would also split at form feeds.
    """
    return path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
