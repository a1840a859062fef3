# SPDX-License-Identifier: GPL-2.0-only
"""The functions of a library by offset."""

from __future__ import annotations

from pathlib import Path

__all__ = ["symbols_of"]


def symbols_of(library: Path) -> list[tuple[int, str]]:
    """The library's functions as (offset, name), sorted."""
    lines = library.with_name("symbols").read_text().splitlines()
    return sorted((int(value, 16), name) for value, name in (line.split() for line in lines))
