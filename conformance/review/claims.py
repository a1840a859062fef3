# SPDX-License-Identifier: GPL-2.0-only
"""The claim of a commit message that nothing changes ("No functional change intended").

A sentence is such a claim if it says that the patch changes nothing. Misspellings are tolerated ("No
functonal changed intended"); what is quoted, cited, conceded, asked, or said about KVM instead of the patch
is no claim.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Claim", "claim_of"]

_TRAILER = r"(?:[A-Z][\w-]*-by|Acked|Fixes|Link|Closes|Cc|References|Bug[\w-]*|Change-Id|Message-I[Dd])"
# Not the author's own statement about the patch: replies, trailers, code, citations.
_FOREIGN = re.compile(
    rf"""^[ \t]*[>|].*$ | ^[ \t]*{_TRAILER}:.*(?:\n[ \t]+.*)*$ | ^(?:[ ]{{4}}|[ ]*\t|[-+@]\S).*$
       | `[^`\n]{{1,200}}` | (?<![\w\\])"(?:[^"\n]|\n(?!\n)){{1,300}}"(?!\w)""",
    re.VERBOSE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[)\"']*(?=\s)|\n\s*\n|\n(?=\s*[-*]\s)")
_WORD = re.compile(r"[A-Za-z]+")
_EXCEPTED = re.compile(
    r"\b(?:other|rather)\s+than\b|\b(?:except|apart\s+from|aside\s+from|besides|beyond|unless)\b"
    r"|\bpatch(?:es)?\s+#?\d",
    re.IGNORECASE,
)
_DOUBTED = re.compile(
    r"""\?\s*$ | ^\W*if\b | \b(?:while|although|though|despite)\W+(?:\w+\W+){0,3}?(?:no|not|NFCI?)\b
      | \b(?:supposedly|allegedly|claim(?:s|ed)?|advertised)\b
      | \bcommit\s+[0-9a-f]{7,}\b.{0,300}\b(?:broke|breaks|regress\w*|bug|unintended|inadvertent\w*)
      | \b(?:broke|regress\w*)\b.{0,300}\bcommit\s+[0-9a-f]{7,}\b""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_NFC_TAG = re.compile(
    r"(?:^|[,;:(\[/-])\s*(?:(?:this|it)\s+is\s+|intended\s+(?:to\s+be|as)\s+|an?\s+)?(?:purely\s+|strictly\s+)?"
    r"NFCI?(?:\s+intended)?\s*(?:[)\].,;!]|$)"
    r"|\b(?:this|it|patch|commit|change|series)\s+(?:is|are|should\s+be)\s+"
    r"(?:intended\s+(?:to\s+be|as)\s+)?(?:an?\s+)?(?:purely\s+|strictly\s+)?"
    r"(?-i:NFCI?)\b|:\s+(?-i:NFCI?):\s",
    re.IGNORECASE,
)
_NFC = re.compile(r"\bNFCI?\b")

_WHAT = ("functional", "functionality", "functionally", "behavior", "behaviour", "behavioral", "behavioural")
_WHAT_ELSE = ("semantic", "semantics", "function", "logic", "logical")
_CHANGE = (
    "change",
    "changes",
    "changed",
    "difference",
    "differences",
    "impact",
    "effect",
    "effects",
    "modification",
)
_INTENDED = ("intended", "intend", "intention", "expected", "planned", "meant", "desired")
# fmt: off
_QUALIFIER = {
    "true", "real", "actual", "visible", "meaningful", "intended", "expected", "observable", "user",
    "guest", "host", "externally", "other", "further", "known", "any", "net", "intentional",
}
_FILLER = {
    "or", "and", "nor", "the", "any", "in", "to", "of", "on", "its", "overall", "existing", "current", "kvm",
    "s",
}
_AUXILIARY = {
    "is", "are", "was", "were", "do", "does", "did", "should", "must", "will", "would", "shall",
}
_OF_THE_PATCH = {
    "this", "these", "it", "that", "patch", "patches", "commit", "commits", "change", "changes", "series",
    "cleanup", "refactoring", "rename", "rework", "conversion", "movement",
}
# fmt: on
_ALTER = {"change", "alter", "affect", "modify"}


@dataclass(frozen=True)
class Claim:
    """A claim to change nothing. ``sentence`` is the author's; ``excepted`` if it names an exception."""

    sentence: str
    excepted: bool = False


def claim_of(subject: str, message: str) -> Claim | None:
    """The claim in a commit message (the text above "---"); None if it makes no such claim."""
    for sentence, own in _sentences(f"{subject}\n\n{message}"):
        if not _DOUBTED.search(own) and (_says_nfc(own) or _promises(_words(own))):
            text = " ".join(sentence.split())
            return Claim(text, _EXCEPTED.search(text) is not None)
    return None


def _sentences(text: str) -> Iterator[tuple[str, str]]:
    """The sentences of a text, each in full and with what is not the author's own blanked out."""
    own = _FOREIGN.sub(lambda found: re.sub(r"[^\n]", "\0", found.group()), text)
    start = 0
    for end in (*(match.end() for match in _SENTENCE_END.finditer(own)), len(text)):
        if own[start:end].strip("\0 \t\n"):
            yield text[start:end], own[start:end].replace("\0", " ")
        start = end


def _words(sentence: str) -> list[str]:
    """The words of a sentence in lower case; "doesn't" counts as two."""
    return [word.lower() for word in _WORD.findall(re.sub(r"n['\u2019]t\b", " not", sentence))]


def _says_nfc(sentence: str) -> bool:
    return _NFC.search(sentence) is not None and _NFC_TAG.search(sentence.strip()) is not None


def _promises(words: Sequence[str]) -> bool:
    return any(
        (word in ("no", "zero", "without") and _denies_change(words, at))
        or (word == "not" and _will_not_change(words, at))
        for at, word in enumerate(words)
    )


def _denies_change(words: Sequence[str], at: int) -> bool:
    """Whether "no" at this place begins "no functional change", "no change in behavior is intended" etc."""
    if at and words[at - 1] in ("not", "a"):
        return False
    rest = [*words[at + 1 : at + 12]]
    while rest and rest[0] in _QUALIFIER:
        rest.pop(0)
    what = rest[:1]
    while rest and _is(rest[0], _WHAT + _WHAT_ELSE):
        rest.pop(0)
        while rest and rest[0] in ("or", "and", "nor"):
            rest.pop(0)
    if rest[:1] != what:
        # "No function changes its name" is no promise; "no function change intended" is.
        strict = what[0] in ("function", "functions")
        changed = bool(rest) and (
            _is(rest[0], _CHANGE) or (rest[0] in ("is", "are") and "changed" in rest[:2])
        )
        return changed and (not strict or _ends_or_is_intended(rest[1:]))
    if words[at] == "without" or not rest or not _is(rest.pop(0), _CHANGE):
        return False
    if rest[:1] in (["in"], ["to"], ["of"], ["on"]):
        while rest and rest[0] in _FILLER | _QUALIFIER:
            rest.pop(0)
        return bool(rest) and _is(rest[0], _WHAT + _WHAT_ELSE)
    return rest[:1] in (["is"], ["are"]) and _ends_or_is_intended(rest)


def _ends_or_is_intended(rest: Sequence[str]) -> bool:
    return (
        not rest
        or _is(rest[0], _INTENDED)
        or (rest[0] in _AUXILIARY and any(_is(w, _INTENDED) for w in rest[1:3]))
    )


def _will_not_change(words: Sequence[str], at: int) -> bool:
    """Whether "not" at this place belongs to "this does not change behavior", "not intended to change it"."""
    before = [word for word in words[max(at - 6, 0) : at] if word not in _AUXILIARY]
    if before and not (before[-1] in _OF_THE_PATCH and len(before) <= 3):
        return False
    rest = [*words[at + 1 : at + 12]]
    if rest and (_is(rest[0], _INTENDED) or rest[0] == "supposed"):
        rest = rest[2:] if rest[1:2] == ["to"] else []
    elif not before:
        return False
    if rest[:1] in (["have"], ["cause"], ["introduce"], ["be"], ["result"]):
        rest = ["no", *(word for word in rest[1:] if word not in ("any", "a", "in"))]
        return _denies_change(rest, 0)
    if not rest or rest.pop(0) not in _ALTER:
        return False
    while rest and rest[0] in _FILLER | _QUALIFIER:
        rest.pop(0)
    return bool(rest) and _is(rest[0], _WHAT + _WHAT_ELSE)


@lru_cache(maxsize=4096)
def _is(word: str, spellings: tuple[str, ...]) -> bool:
    """Whether a word is one of these, or a misspelling of one."""
    return word in spellings or (
        5 <= len(word) <= 20 and bool(difflib.get_close_matches(word, spellings, n=1, cutoff=0.82))
    )
