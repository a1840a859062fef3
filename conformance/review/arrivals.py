# SPDX-License-Identifier: GPL-2.0-only
"""Mails as they arrive in a Maildir or an mbox, neither of which is ever written to.

What a mail says is read by kernels/mails.py; here its header is read for what makes it part of a thread.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parseaddr, parsedate_to_datetime
from pathlib import Path
from typing import Protocol

from conformance.errors import ConformanceError
from conformance.kernels.cache import key_of
from conformance.kernels.mails import MOST_BYTES, Mail, read_mail, split_mailbox
from conformance.kernels.reading import read_file

__all__ = ["Arrived", "Box", "Damaged", "Mailbox", "Maildir", "open_box", "read_arrived"]

SETTLED = 2.0
"""Seconds for which an mbox must not have changed: its last mail may still be written."""

_MOST_MAIL = 16 << 20
_MOST_ANSWERED = 100
"""The number of message IDs that are read of a mail's references, the last ones."""
_IDS = re.compile(r"<([^<>\s]{1,998})>")


@dataclass(frozen=True)
class Arrived:
    """A mail that holds a patch or a cover letter.

    ``id`` is its Message-ID, or a digest of the mail without one. ``answers`` are the Message-IDs that it
    refers to, ``date`` is in seconds since the epoch, ``content`` the mail as it is.
    """

    id: str
    mail: Mail
    sender: str
    answers: tuple[str, ...]
    date: float
    content: bytes

    @property
    def patch(self) -> bool:
        """Whether it holds a patch; otherwise it is a cover letter."""
        return bool(self.mail.diff)


@dataclass(frozen=True)
class Damaged:
    """A mail that cannot be read, by the name of its file, or its place in the mbox."""

    name: str
    reason: str


Found = Arrived | Damaged | None
"""A mail; None if it is neither a patch nor a cover letter."""


class Box(Protocol):
    """Where mails arrive."""

    once: bool
    """Whether no further mails can arrive."""

    def read(self, *, last: bool) -> list[Found]:
        """The mails that are there. ``last``: it is not read again, so that nothing is left for later.

        Raises ConformanceError if it cannot be read.
        """


def open_box(name: str, content: bytes | None = None) -> Box:
    """The Maildir or mbox of this name; ``content`` is that of an mbox that can be read only once.

    Raises ConformanceError if it is neither.
    """
    if content is not None:
        return Mailbox(name, content)
    path = Path(name)
    if path.is_dir():
        return Maildir(path)
    if not path.exists():
        raise ConformanceError(f"{name} does not exist. Name a Maildir, an mbox, or - for stdin.")
    return Mailbox(name)


class Maildir:
    """A Maildir. Mails in tmp/ are still being written, and are not read."""

    once = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Found] = {}
        self._folders()

    def read(self, *, last: bool) -> list[Found]:
        """The mails in new/ and cur/; the files of those that are known are not read again."""
        for _ in range(3):
            found = dict(self._names())
            if self._take(found):
                break
        self._known = {name: self._known[name] for name in found if name in self._known}
        return [*self._known.values()]

    def _folders(self) -> list[Path]:
        folders = [self.path / name for name in ("new", "cur")]
        there = [folder for folder in folders if folder.is_dir()]
        if not there:
            raise ConformanceError(
                f"{self.path} is no Maildir: it has neither new/ nor cur/ in it. Name a Maildir or an mbox."
            )
        return there

    def _names(self) -> Iterator[tuple[str, Path]]:
        """The files of mails, by the part of their names that stays when flags are set."""
        for folder in self._folders():
            try:
                names = sorted(os.listdir(folder))
            except OSError as trouble:
                raise ConformanceError(f"{folder} cannot be read: {trouble.strerror}.") from None
            yield from ((name.partition(":")[0], folder / name) for name in names if name[0] != ".")

    def _take(self, files: dict[str, Path]) -> bool:
        """Read the mails that are not known; False if another program has moved one meanwhile."""
        whole = True
        for name, file in files.items():
            if name in self._known:
                continue
            try:
                if not stat.S_ISREG(file.stat().st_mode):
                    continue
            except OSError as trouble:
                if isinstance(trouble, FileNotFoundError):
                    whole = False
                else:
                    self._known[name] = Damaged(file.name, f"it cannot be read: {trouble.strerror}")
                continue
            try:
                content = read_file(file, _MOST_MAIL)
            except ConformanceError as trouble:
                if file.exists():
                    self._known[name] = Damaged(file.name, str(trouble))
                else:
                    whole = False
                continue
            self._known[name] = _read(content, file.name)
        return whole


class Mailbox:
    """An mbox; with ``content`` one that can be read only once, such as stdin."""

    def __init__(self, name: str, content: bytes | None = None) -> None:
        self.name = name
        self.once = content is not None
        self._content = content
        self._stamp: tuple[int, int] | None = None
        self._known: dict[str, Found] = {}

    def read(self, *, last: bool) -> list[Found]:
        """The mails of the file; those of the last time if it has not changed, or is being written."""
        content = self._content
        if content is None:
            try:
                status = os.stat(self.name)
            except OSError as trouble:
                raise ConformanceError(f"{self.name} cannot be read: {trouble.strerror}.") from None
            stamp = status.st_mtime_ns, status.st_size
            being_written = abs(time.time() - status.st_mtime) < SETTLED
            if stamp == self._stamp or (being_written and not last):
                return [*self._known.values()]
            content = read_file(self.name, MOST_BYTES)
            self._stamp = stamp
        known, self._known = self._known, {}
        mails = split_mailbox(content, self.name)
        for number, mail in enumerate(mails, 1):
            if mail.strip():
                key = key_of(mail.decode("latin-1"))
                self._known[key] = known[key] if key in known else _read(mail, f"mail {number}")
        return [*self._known.values()]


def _read(content: bytes, name: str) -> Found:
    """Read a mail, whatever is wrong with it."""
    try:
        return read_arrived(content)
    except ConformanceError as trouble:
        return Damaged(name, str(trouble))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as trouble:
        # What the parser of Python's library raises for headers that it does not foresee.
        return Damaged(name, f"it cannot be parsed ({type(trouble).__name__})")


def read_arrived(content: bytes) -> Arrived | None:
    """Read a mail; None if it is neither a patch nor a cover letter. Raises ConformanceError."""
    mail = read_mail(content)
    cover = mail.number == 0 and mail.of and not mail.diff
    if mail.reply or not (mail.diff or cover):
        if not content.strip():
            raise ConformanceError("The mail is empty.")
        return None
    header = BytesHeaderParser().parsebytes(content.lstrip(b"\n"))
    ids = _IDS.findall(" ".join(str(header.get(name, "")) for name in ("References", "In-Reply-To")))
    return Arrived(
        mail.message_id or key_of(content.decode("latin-1")),
        mail,
        parseaddr(str(header.get("From", "")))[1].lower(),
        tuple(ids[-_MOST_ANSWERED:]),
        _date(header),
        content,
    )


def _date(header: Message) -> float:
    """When a mail was sent; 0 if its header does not say so."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return parsedate_to_datetime(str(header.get("Date", ""))).timestamp()
    return 0.0
