# SPDX-License-Identifier: GPL-2.0-only
"""The tokens of C's text: without comments and white space, in brackets or not, between functions.

No grammar is used: attribute macros such as __read_mostly and macro calls at file scope are no C until they
are expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["CLOSE", "OPEN", "is_name", "outside", "pieces", "tokens"]

_TOKEN = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | \\\n            # comments, and the ends of a macro's lines: no token
    | ( "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
      | \w+ | -> | <<=? | >>=? | [-+&|=]{2} | [-+*/%&|^!=<>]= | [^\s\w] )""",
    re.DOTALL | re.VERBOSE,
)
"""A comment, a line continuation or, in the first group, a token."""
_DIRECTIVE = re.compile(r"^[ \t]*#(?:/\*.*?\*/|//[^\n]*|\\\n|[^\n])*", re.DOTALL | re.MULTILINE)

OPEN, CLOSE = frozenset("([{"), frozenset(")]}")


def tokens(text: str) -> tuple[str, ...]:
    """The tokens of a text, without comments."""
    return tuple(match[1] for match in _TOKEN.finditer(text) if match[1])


def pieces(content: str, functions: Sequence[tuple[int, int, str]]) -> Iterator[tuple[str, str]]:
    """Tokens, directives and functions, in the order of the text."""
    at = 0
    for start, end, name in (*functions, (len(content), len(content), "")):
        while at < start:
            line_start = at == 0 or content[at - 1] == "\n"
            directive = _DIRECTIVE.match(content, at) if line_start else None
            if directive:
                yield "directive", directive[0]
                at = directive.end()
                continue
            token = _TOKEN.match(content, at)
            if token is None:
                at += 1
                continue
            if token[1]:
                yield "token", token[1]
            at = token.end()
        if name:
            yield "function", name
        at = max(at, end)


def outside(words: Iterable[str]) -> list[str]:
    """The tokens outside of brackets, and the outermost brackets."""
    found, depth = [], 0
    for word in words:
        depth -= word in CLOSE
        if depth <= 0:
            found.append(word)
        depth += word in OPEN
    return found


def is_name(word: str) -> bool:
    """Whether a token is an identifier or a keyword."""
    return word[0].isalpha() or word[0] == "_"
