# SPDX-License-Identifier: GPL-2.0-only
"""Plant changes into a file so that each can be enabled alone at run time.

Code around a piece of the text asks which mutant is enabled (oracles/c/planted.c), so that a file is compiled
once for all of them. Mutants that are written down one by one are kernels/substitutions.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from conformance.coverage.compared.pieces import Change

__all__ = ["MOST", "planted", "substituted"]

MOST = 1 << 16
"""One more than the greatest number of a mutant; as in oracles/c/planted.c."""

_DECLARED = b"""\
#ifdef CONFORMANCE_OURS
#define conformance_planted(number) 0
#else
extern _Bool conformance_planted(unsigned long number);
#endif
#line 1
"""
"""Put in front of a file, whose lines keep their numbers. Code that our own C includes has no mutants."""


def planted(content: bytes, changes: Mapping[int, Change]) -> bytes:
    """The text of a file with changes, each of which is enabled by its number, which is below MOST."""
    assert all(number < MOST for number in changes)
    added: list[tuple[tuple[int, int, int, int], str]] = []
    every = [(number, piece) for number, change in changes.items() for piece in change.pieces]
    for order, (number, piece) in enumerate(every):
        before, between, after = piece.gate
        # Of two pieces that begin or end in the same place the wider one is outside.
        width = piece.end - piece.start
        added.append(((piece.start, 1, -width, order), f"{before}conformance_planted({number}){between}"))
        added.append(((piece.end, 0, width, -order), after))
    text = bytearray(content)
    for (at, *_), words in sorted(added, reverse=True):
        text[at:at] = words.encode()
    return _DECLARED + bytes(text)


def substituted(content: bytes, change: Change) -> bytes:
    """The text of a file with one change in place of its pieces, and as many lines as before."""
    text = bytearray(content)
    for piece in sorted(change.pieces, reverse=True):
        lost = content.count(b"\n", piece.start, piece.end)
        text[piece.start : piece.end] = piece.text.encode() + b"\n" * lost
    return bytes(text)
