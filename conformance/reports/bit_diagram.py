# SPDX-License-Identifier: GPL-2.0-only
"""The bits of an SPTE as a diagram: four rows of boxes, a box for each field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.text import Text

from conformance.model.spte.decode.fields import Field

__all__ = ["bit_diagram"]

_ROW = 16
"""Bits in a row, of four columns each: a row fits a terminal of eighty columns."""
_JOINTS = {
    # Keys: whether a line leads up, down, left, right.
    (False, False, True, True): "─",
    (False, True, False, True): "┌",
    (False, True, True, False): "┐",
    (False, True, True, True): "┬",
    (True, False, False, True): "└",
    (True, False, True, False): "┘",
    (True, False, True, True): "┴",
    (True, True, False, True): "├",
    (True, True, True, False): "┤",
    (True, True, True, True): "┼",
}
_ASCII = str.maketrans("─│·┌┐└┘├┤┬┴┼", "-|.+++++++++")


def bit_diagram(found: Sequence[Field], *, ascii_only: bool = False) -> Text:
    """Draw 64 bits as four rows of boxes; a box has the bit numbers, the bits and the name of a field.

    A field that continues in the next row is named in both. Clear bits are dots, so that set ones stand out.
    """
    rows = [_cut(found, high) for high in range(63, 0, -_ROW)]
    drawn = Text()
    above: set[int] = set()
    for pieces in rows:
        edges = {4 * (pieces[0].high - piece.high) for piece in pieces} | {4 * _ROW}
        drawn.append_text(_border(above, edges, pieces)).append("\n")
        for cells in ([_bits(piece) for piece in pieces], [_name(piece) for piece in pieces]):
            drawn.append("│", "dim")
            for cell in cells:
                drawn.append_text(cell)
                drawn.append("│", "dim")
            drawn.append("\n")
        above = edges
    drawn.append_text(_border(above, set(), ()))
    if ascii_only:
        return Text(drawn.plain.translate(_ASCII), spans=drawn.spans)
    return drawn


def _cut(found: Sequence[Field], high: int) -> list[Field]:
    """The parts of the fields in the row whose highest bit is ``high``."""
    low = high - _ROW + 1
    pieces = []
    for field in found:
        if field.high >= low and field.low <= high:
            top, bottom = min(field.high, high), max(field.low, low)
            value = field.value >> (bottom - field.low) & ((1 << (top - bottom + 1)) - 1)
            pieces.append(replace(field, high=top, low=bottom, value=value))
    return pieces


def _border(above: set[int], below: set[int], pieces: Sequence[Field]) -> Text:
    """The line between two rows, with the bit numbers of the fields below."""
    end = 4 * _ROW
    drawn = [_JOINTS[n in above, n in below, n > 0, n < end] for n in range(end + 1)]
    for piece in pieces:
        left, right = 4 * (pieces[0].high - piece.high), 4 * (pieces[0].high - piece.low + 1)
        drawn[left + 1 : left + 3] = f"{piece.high:─<2}"
        if piece.high > piece.low:
            drawn[right - 2 : right] = f"{piece.low:─>2}"
    border = Text("".join(drawn))
    border.highlight_regex("[^0-9]+", "dim")
    return border


def _bits(piece: Field) -> Text:
    shown = Text()
    for n in range(piece.high, piece.low - 1, -1):
        is_set = piece.value >> (n - piece.low) & 1
        shown.append(" 1 " if is_set else " · ", "bold green" if is_set else "dim")
        shown.append(" " if n > piece.low else "")
    return shown


def _name(piece: Field) -> Text:
    width = 4 * (piece.high - piece.low + 1) - 1
    name = piece.name if len(piece.name) <= width else piece.label
    return Text(name[:width].center(width), "" if piece.value else "dim")
