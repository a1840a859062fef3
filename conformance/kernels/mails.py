# SPDX-License-Identifier: GPL-2.0-only
"""Parses mails, mailboxes and plain diffs in any encoding into message and diff.

The input is untrusted and often damaged in transit. Input without a patch becomes a mail without a diff,
which the caller rejects. Input that is larger than any patch, or nested more deeply than any mail, is refused
before it is parsed, so that time and memory stay proportional to the input.
"""

from __future__ import annotations

import binascii
import codecs
import contextlib
import email
import email.errors
import email.header
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from conformance.errors import ConformanceError

__all__ = ["MOST_BYTES", "Mail", "read_mail", "read_mails", "split_mailbox"]

MOST_BYTES = 64 << 20
"""The largest patch file in bytes. All changes of a stable series in five years are about 20 MiB."""
_MOST_LINES = 2_000_000
"""The largest number of lines of a patch file; such a series has 700,000. Each is an object of about 100
bytes."""
_MOST_MAILS = 20_000
"""The largest number of mails in a mailbox: three months of the KVM list."""
_MOST_MAIL_BYTES, _MOST_MAIL_LINES = 16 << 20, 250_000
"""The largest mail. Mailing lists refuse mails of more than a few hundred kilobytes."""
_MOST_MESSAGE = 1 << 20
"""The longest commit message in bytes; it is parsed word by word."""
_MOST_PARTS = 64
"""The largest number of multiparts and attached mails in a mail; parts nest at most twice as deep."""
_MOST_ATTACHED = 4
"""The deepest nesting of attached mails: the count above does not see inside encoded parts."""
_MOST_HEADER = 8 << 10
"""The longest parsed header in bytes: email takes quadratic time for parameters and encoded words."""

# The start of a mail as in `git mailsplit`; the time of day excludes prose that begins with "From ".
_FROM = re.compile(rb"^From [^\n]{0,500}?\d:\d\d:\d\d", re.MULTILINE)
_HEADER = re.compile(rb"(?:>?From |[A-Za-z][A-Za-z0-9-]*:[ \t])")
# The same lines end the message in `git mailinfo`.
_MESSAGE_END = re.compile(rb"^(?:---[ \t]*$|diff -|Index: |--- \S)", re.MULTILINE)
_DIFF = re.compile(rb"^(?:diff --git |--- \S[^\n]*\n\+\+\+ \S[^\n]*\n@@ -)", re.MULTILINE)
# As in `git mailinfo --scissors`, but without other text in the line.
_SCISSORS = re.compile(
    rb"^[ \t]*-[- \t]*(?:>[8%]|[8%]<)[- \t>8%<]*(?:cut here[- \t>8%<]*)?\n", re.MULTILINE | re.IGNORECASE
)
_INNER = re.compile(
    rb"^(?:(?:From|Date|Subject|To|Cc|Reply-To|In-Reply-To|Message-ID|Author): [^\n]*\n(?:[ \t]+[^\n]+\n)*)+",
    re.MULTILINE | re.IGNORECASE,
)
_PREFIX = re.compile(r"^((?:(?:re|aw|fwd?):\s*)*)((?:\[[^\]]*\]\s*)*)", re.IGNORECASE)
_BASE = re.compile(r"^base-commit: ([0-9a-f]{7,64})$", re.MULTILINE)
# In quoted-printable, every = begins a hex byte or ends a line.
_NOT_QUOTED_PRINTABLE = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|\Z)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=\s]")
_NESTING = re.compile(rb"multipart/|message/", re.IGNORECASE)
_PARSED = ("Subject", "Message-Id", "Content-Type", "Content-Disposition", "Content-Transfer-Encoding")
# Codecs of Python that are no charsets of mails. Those of domain names take quadratic time.
_NO_CHARSETS = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")
_PATCH_TYPES = ("text/plain", "text/x-patch", "text/x-diff", "application/x-patch", "application/mbox")


@dataclass(frozen=True)
class Mail:
    """One mail, or one plain diff, which has no subject and no message.

    ``subject`` is without its [PATCH ...] and Re:, which are ``number``, ``of``, ``version``, ``release`` (a
    stable review's "6.12") and ``reply``. ``message`` is the commit message, ``diff`` what follows it, in
    UTF-8 and with line feeds alone; empty in a cover letter. Of a patch inside a mail, below a scissors line
    or a header of its own, subject and message are the inner ones, and it is ``inline`` if it has a subject.
    ``base_commit`` is what `git format-patch --base` recorded.
    """

    subject: str = ""
    message: str = ""
    diff: bytes = b""
    number: int | None = None
    of: int | None = None
    version: int = 1
    release: str = ""
    reply: bool = False
    inline: bool = False
    base_commit: str = ""
    message_id: str = ""


def read_mails(content: bytes, what: str = "The input") -> list[Mail]:
    """The mails of a mailbox, in order; a single mail or a plain diff counts as one.

    Raises ConformanceError, prefixed with ``what``, if the file is too large.
    """
    mails = split_mailbox(content, what)
    if len(mails) == 1:
        return [read_mail(mails[0], what)]
    return [read_mail(mail, f"{what}, mail {number}") for number, mail in enumerate(mails, 1)]


def split_mailbox(content: bytes, what: str) -> list[bytes]:
    """The mails of a mailbox as they are, in order; what is no mailbox counts as one mail.

    Raises ConformanceError, prefixed with ``what``, if it is too large.
    """
    if len(content) > MOST_BYTES:
        raise _too_large(what, f"{len(content):,} bytes", f"{MOST_BYTES:,}")
    content = _plain_text(content)
    if (lines := content.count(b"\n")) > _MOST_LINES:
        raise _too_large(what, f"{lines:,} lines", f"{_MOST_LINES:,}")
    starts = [match.start() for match in _FROM.finditer(content)]
    if len(starts) > _MOST_MAILS:
        raise _too_large(what, f"{len(starts):,} mails", f"{_MOST_MAILS:,}")
    if not starts or content[: starts[0]].strip():
        return [content]
    ends = [*starts[1:], len(content)]
    return [content[start:end] for start, end in zip(starts, ends, strict=True)]


def read_mail(content: bytes, what: str = "The mail") -> Mail:
    """Read one mail, with or without a mailbox's "From " line, or a plain diff.

    Raises ConformanceError, prefixed with ``what``, if the mail is too large or nested too deeply.
    """
    content = _plain_text(content).lstrip(b"\n")
    if not _HEADER.match(content):
        return Mail(diff=_diff(content))
    _check_size(content, what)
    message = _parsed(content, what)
    body = _body(message, what)
    outer = _decoded(message.get("Subject", ""))
    inner, text = _inner(body, reply=bool(_prefix(outer)[1]))
    end = _MESSAGE_END.search(text)
    commit_message, rest = (text[: end.start()], text[end.start() :]) if end else (text, b"")
    if len(commit_message) > _MOST_MESSAGE:
        raise _too_large(what, f"{len(commit_message):,} bytes before the diff", f"{_MOST_MESSAGE:,}")
    return _named(
        inner or outer,
        message=commit_message.decode("utf-8", "replace").strip(),
        diff=_diff(rest),
        reply=bool(_prefix(outer)[1]),
        inline=bool(inner),
        base_commit=_base_commit(body),
        message_id=_decoded(message.get("Message-Id", "")).strip("<> "),
    )


def _check_size(mail: bytes, what: str) -> None:
    """Raise ConformanceError if a mail exceeds the limits."""
    if len(mail) > _MOST_MAIL_BYTES:
        raise _too_large(what, f"{len(mail):,} bytes in one mail", f"{_MOST_MAIL_BYTES:,}")
    if (lines := mail.count(b"\n")) > _MOST_MAIL_LINES:
        raise _too_large(what, f"{lines:,} lines in one mail", f"{_MOST_MAIL_LINES:,}")
    if (parts := sum(1 for _ in _NESTING.finditer(mail))) > _MOST_PARTS:
        raise _too_large(what, f"{parts:,} mails and multiparts within one mail", f"{_MOST_PARTS}")


def _parsed(mail: bytes, what: str) -> Message:
    """Parse a mail or a part of it; raises ConformanceError if a header that is parsed later is too long."""
    message = email.message_from_bytes(mail)
    for part in message.walk():
        for name in _PARSED:
            length = max((len(str(value)) for value in part.get_all(name, ())), default=0)
            if length > _MOST_HEADER:
                raise _too_large(what, f"{length:,} characters in a header {name}", f"{_MOST_HEADER:,}")
    return message


def _too_large(what: str, has: str, most: str) -> ConformanceError:
    return ConformanceError(f"{what} is not read: it has {has}, more than {most}. Give the patches alone.")


def _inner(body: bytes, *, reply: bool) -> tuple[str, bytes]:
    """The subject of a patch inside a mail, if it has one, and the body from its message.

    As in git, the patch follows a scissors line, or a header at the top of the body. In a reply the header
    may follow other text.
    """
    diff = _DIFF.search(body)
    if diff is None:
        return "", body
    start = max((cut.end() for cut in _SCISSORS.finditer(body, 0, diff.start())), default=0)
    headers = [*_INNER.finditer(body, start, diff.start())]
    if not reply:
        headers = [found for found in headers[:1] if not body[start : found.start()].strip()]
    for found in reversed(headers):
        subject = _subject_of(found.group())
        if subject and body[found.end() : found.end() + 1] == b"\n":
            return subject, body[found.end() :]
    return "", body[start:]


def _subject_of(header: bytes) -> str:
    subject = email.message_from_bytes(header).get("Subject", "")
    return _decoded(subject) if len(str(subject)) <= _MOST_HEADER else ""


def _plain_text(content: bytes) -> bytes:
    """The text in an ASCII-compatible encoding with line feeds, from any Unicode encoding and line ending."""
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if content.startswith(mark):
            content = content.decode("utf-16", "replace").encode()
    return content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")


def _diff(text: bytes) -> bytes:
    """The text from its first diff."""
    start = _DIFF.search(text)
    return text[start.start() :] if start else b""


def _prefix(subject: str) -> re.Match[str]:
    """The prefix of a subject: Re: and the like, then tags in brackets."""
    match = _PREFIX.match(subject)
    assert match is not None  # Both may be empty.
    return match


def _named(subject: str, **rest: str | bytes | bool) -> Mail:
    """Set the fields that a mail's subject determines."""
    match = _prefix(subject)
    tags = match[2]
    place = re.search(r"(?<![\w.])(\d{1,4})/(\d{1,4})(?![\w.])", tags)
    version = re.search(r"\bv(\d{1,3})\b", tags, re.IGNORECASE)
    release = re.search(r"(?<![\w./])\d{1,2}\.\d{1,3}(?=\.y\b|[\s\]])", tags)
    fields: dict[str, object] = {
        "number": int(place[1]) if place else None,
        "of": int(place[2]) if place else None,
        "version": int(version[1]) if version else 1,
        "release": release.group() if release else "",
    }
    return Mail(subject=subject[match.end() :], **fields, **rest)  # type: ignore[arg-type]


def _base_commit(body: bytes) -> str:
    found = _BASE.search(body.decode("utf-8", "replace"))
    return found[1] if found else ""


def _decoded(header: object) -> str:
    """A header as text on one line."""
    text = str(header)
    with contextlib.suppress(email.errors.MessageError, LookupError, ValueError):
        text = str(email.header.make_header(email.header.decode_header(text)))
    # UTF-7 and damaged encoded words can yield lone surrogates.
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _body(message: Message, what: str, within: int = 0) -> bytes:
    """The text of a mail in UTF-8: its first part, then attached patches.

    ``within`` is the number of mails around this one.
    """
    return b"\n".join(_texts(message, what, within))


def _texts(message: Message, what: str, within: int) -> Iterator[bytes]:
    for number, part in enumerate(_leaves(message)):
        kind = part.get_content_type()
        if number and kind not in _PATCH_TYPES[1:] and not _filename(part).endswith((".patch", ".diff")):
            continue
        text = _in_utf8(part)
        # An attachment may be a mail of its own, as git format-patch writes it.
        if number and _HEADER.match(text):
            if within == _MOST_ATTACHED:
                raise _too_large(what, f"{within + 1} mails attached to each other", f"{_MOST_ATTACHED}")
            _check_size(text, what)
            yield _body(_parsed(text, what), what, within + 1)
        else:
            yield text


def _leaves(message: Message) -> Iterator[Message]:
    """The leaves of a mail. A multipart without parts is one too: b4 passes such mails."""
    payload = message.get_payload() if message.is_multipart() else None
    if isinstance(payload, list):
        for part in payload:
            if isinstance(part, Message):
                yield from _leaves(part)
    elif _may_hold_a_patch(message):
        yield message


def _may_hold_a_patch(part: Message) -> bool:
    named = _filename(part).endswith((".patch", ".diff"))
    text = part.get_content_maintype() in ("multipart", "text")
    return named or text or part.get_content_type() in _PATCH_TYPES


def _filename(part: Message) -> str:
    """The name of an attachment; "" without one, or if its charset is unknown."""
    with contextlib.suppress(LookupError, ValueError):
        return str(part.get_filename() or "")
    return ""


def _charset(part: Message) -> str:
    """The charset of a part; UTF-8 if it names no known one."""
    with contextlib.suppress(LookupError, ValueError):
        name = codecs.lookup(str(part.get_content_charset("utf-8"))).name
        if name not in _NO_CHARSETS:
            return name
    return "utf-8"


def _in_utf8(part: Message) -> bytes:
    """The text of one part, decoded from its transfer encoding and charset.

    b4 passes the mail's original header to check commands, but a decoded body. Decoding it again would
    corrupt `mask=20`, so the body itself must look encoded.
    """
    encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    charset = _charset(part)
    # get_payload() would decode both.
    del part["Content-Transfer-Encoding"], part["Content-Type"]
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)  # A leaf has no parts, and its body is decoded already.
    if encoding == "quoted-printable" and not _NOT_QUOTED_PRINTABLE.search(raw):
        raw = quopri.decodestring(raw)
    elif encoding == "base64" and not _NOT_BASE64.search(raw):
        with contextlib.suppress(binascii.Error):
            raw = binascii.a2b_base64(raw)
    # The charset is wrong: keep the bytes, which git compares with the file's.
    with contextlib.suppress(LookupError, UnicodeError):
        raw = raw.decode(charset).encode()
    return raw.replace(b"\r\n", b"\n")
