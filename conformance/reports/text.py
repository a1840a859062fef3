# SPDX-License-Identifier: GPL-2.0-only
"""Escaped text and short numbers for reports.

Reasons, crash messages and file names come from compilers, kernel code and users. They may contain escape
sequences, newlines or undecodable bytes, none of which may change the meaning of a report.
"""

from __future__ import annotations

__all__ = ["compact", "duration", "escaped", "line", "lines", "word"]


def escaped(text: str) -> str:
    """``text`` with every character that is not printable written as an escape.

    That covers control characters, bidirectional overrides, undecodable bytes (lone surrogates) and the code
    points that XML forbids. Spaces are kept.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def line(text: str) -> str:
    """``text`` on one line, escaped: each run of white space, newlines included, becomes one space."""
    return escaped(" ".join(text.split()))


def lines(text: str) -> list[str]:
    """The lines of ``text``, escaped; indentation is kept, blank lines at both ends are dropped."""
    return [escaped(part.rstrip()) for part in text.strip("\r\n").expandtabs().splitlines()]


def word(value: int) -> str:
    """A 64-bit word in hex with sixteen digits."""
    return f"{value:#018x}"


def compact(count: int) -> str:
    """A count in at most six characters: ``999``, ``65.5k``, ``1.2M``."""
    if count < 1000:
        return str(count)
    size = float(count)
    for unit in "kMGT":
        size /= 1000
        # Not 1000: a value that would be printed as "1000.0k" belongs to the next unit.
        if size < 999.95 or unit == "T":
            return f"{size:.1f}{unit}"
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """A time as text: ``0.4 s``, ``31 s``, ``2 min 5 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
