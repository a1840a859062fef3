# SPDX-License-Identifier: GPL-2.0-only
"""What a commit message promises: that nothing changes, in the spellings that KVM's authors use."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Claim", "claim_of"]

_WHAT = r"(?:functional(?:ity|ly)?|behaviou?r(?:al)?|semantic)"
_CLAIM = re.compile(
    rf"""(?: \bno \s+ (?:(?:intended|real|actual|visible|meaningful) \s+)?
             {_WHAT} \s+ (?:changes?|differences?|impact|effects?) \b
           | \bno \s+ (?:intended \s+)? changes? \s+ (?:in|to|of) \s+ {_WHAT} \b
           | \bno \s+ changes? \s+ (?:in \s+)? (?:is|are) \s+ intended \b
           | \b(?:does|do|should) \s+ not \s+ change \s+ (?:any \s+)? (?:functionality|behaviou?r) \b
           | (?-i:\bNFCI?\b)
         )""",
    re.VERBOSE | re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:\bnot?|n't|\bnon|\bnever)(?:\s+(?:an?|purely|strictly|entirely))?[\s-]*$", re.IGNORECASE
)
_EXCEPTED = re.compile(
    r"\b(?:other|rather)\s+than\b|\b(?:except|apart\s+from|aside\s+from|besides|beyond|unless)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n\s*\n")


@dataclass(frozen=True)
class Claim:
    """A promise to change nothing. ``sentence`` is the author's; ``excepted`` if it names an exception."""

    sentence: str
    excepted: bool = False


def claim_of(subject: str, message: str) -> Claim | None:
    """The promise in a commit message (what stands above its "---"), or None if it makes none."""
    text = f"{subject}\n\n{message}"
    for found in _CLAIM.finditer(text):
        if found.group().startswith("NFC") and _DENIED.search(text[: found.start()]):
            continue
        start = max((end.end() for end in _SENTENCE_END.finditer(text, 0, found.start())), default=0)
        stop = _SENTENCE_END.search(text, found.end())
        sentence = " ".join(text[start : stop.end() if stop else len(text)].split())
        return Claim(sentence, _EXCEPTED.search(sentence) is not None)
    return None
