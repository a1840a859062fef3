# SPDX-License-Identifier: GPL-2.0-only
"""Text that is safe to put into a report, and numbers that are short enough for one.

Reasons, crash messages and file names come from compilers, kernel code and users: they may hold
escape sequences, newlines, or bytes that are no text. Nothing of that may change a report's meaning.
"""

from __future__ import annotations

__all__ = ["compact", "duration", "escaped", "line", "lines", "word"]


def escaped(text: str) -> str:
    """``text`` with every character that is not plainly printable written as an escape.

    That covers control characters, bidirectional overrides, undecodable bytes (lone surrogates) and
    the code points XML forbids. Spaces stay as they are.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def line(text: str) -> str:
    """``text`` as a single clean line: white space of any kind, newlines too, becomes one space."""
    return escaped(" ".join(text.split()))


def lines(text: str) -> list[str]:
    """``text`` as clean lines, indentation kept, blank lines at either end dropped."""
    return [escaped(part.rstrip()) for part in text.strip("\r\n").expandtabs().splitlines()]


def word(value: int) -> str:
    """A 64-bit word in hex, all sixteen digits, so that columns of them line up."""
    return f"{value:#018x}"


def compact(count: int) -> str:
    """A count in at most six characters: ``999``, ``65.5k``, ``1.2M``."""
    if count < 1000:
        return str(count)
    size = float(count)
    for unit in "kMGT":
        size /= 1000
        # Not 1000: what would be printed as "1000.0k" belongs to the next unit.
        if size < 999.95 or unit == "T":
            return f"{size:.1f}{unit}"
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Wall time as people say it: ``0.4 s``, ``31 s``, ``2 min 5 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
