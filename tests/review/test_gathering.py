# SPDX-License-Identifier: GPL-2.0-only
"""Which mails of a mailbox are read, and which belong to one series."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.review import arrivals
from conformance.review.arrivals import Arrived, Damaged, Maildir, open_box, read_arrived
from conformance.review.gathering import gather

DIFF = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-was\n+{}\n"


def mail(subject, number=0, *, after="", sender="a@invalid", patch=True, name="", day=1) -> bytes:
    """A mail; ``after`` is the Message-ID that it answers, ``number`` its place in time."""
    name = name or "".join(filter(str.isalnum, subject))
    answers = f"In-Reply-To: <{after}@invalid>\nReferences: <{after}@invalid>\n" if after else ""
    return (
        f"From: A <{sender}>\nSubject: {subject}\nMessage-ID: <{name}@invalid>\n{answers}"
        f"Date: {day} Nov 2026 10:00:{number:02} +0000\n\nWhy.\n---\n{DIFF.format(name) if patch else ''}"
    ).encode()


def series(of=2, tags="PATCH", *, after="", **given) -> list[bytes]:
    """A series with a cover letter."""
    top = "".join(filter(str.isalnum, f"{tags}0{of}Whole"))
    cover = mail(f"[{tags} 0/{of}] Whole", after=after, patch=False, **given)
    return [cover, *(mail(f"[{tags} {n}/{of}] Part {n}", n, after=top, **given) for n in range(1, of + 1))]


def gathered(*mails: bytes):
    found = [one for one in map(read_arrived, mails) if one is not None]
    random.Random(len(mails)).shuffle(found)
    return gather(found)


def subjects(one) -> list[str]:
    return [patch.mail.subject for patch in one.patches]


def test_a_series_in_any_order_and_twice():
    (one,) = gathered(*series(3), *series(3))
    assert subjects(one) == ["Part 1", "Part 2", "Part 3"] and one.title == "Whole"
    assert not one.missing and not one.newer
    assert [part.title for part in one.series.parts] == ["1/3 Part 1", "2/3 Part 2", "3/3 Part 3"]


def test_what_is_missing_is_named():
    (one,) = gathered(*series(3)[:2])
    assert one.missing == ["2/3", "3/3"]
    (one,) = gathered(series(3)[0])
    assert one.missing == ["1/3", "2/3", "3/3"] and not one.patches


def test_replies_and_mails_without_patches_are_none():
    assert read_arrived(mail("Re: [PATCH] x")) is None
    assert read_arrived(mail("[ANNOUNCE] x", patch=False)) is None
    assert read_arrived(mail("[PATCH] x")).patch
    (one,) = gathered(mail("[PATCH] x"), mail("Re: [PATCH] x", name="other"))
    assert subjects(one) == ["x"] and not one.missing


def test_series_of_the_same_length_are_kept_apart():
    other = [one.replace(b"PATCH", b"PATCH RFC").replace(b"Part", b"Other") for one in series(2)]
    other = [one.replace(b"<PATCH", b"<RFC") for one in other]
    for found in (
        gathered(*series(2), *[one.replace(b"a@invalid>", b"b@invalid>", 1) for one in other]),
        gathered(*series(2), *other),
    ):
        assert sorted(map(subjects, found)) == [["Other 1", "Other 2"], ["Part 1", "Part 2"]]


def test_a_thread_without_a_cover_letter_or_with_each_mail_below_the_one_before():
    first = mail("[PATCH 1/3] A", 1, name="a")
    (one,) = gathered(
        first, mail("[PATCH 2/3] B", 2, after="a", name="b"), mail("[PATCH 3/3] C", 3, after="b")
    )
    assert subjects(one) == ["A", "B", "C"]


def test_patches_without_references_belong_to_those_of_their_sender():
    mails = [mail(f"[PATCH {n}/2] {name}", n, day=day) for day, name in ((1, "A"), (2, "B")) for n in (1, 2)]
    assert [subjects(one) for one in gathered(*mails)] == [["A", "A"], ["B", "B"]]


def test_a_series_that_was_sent_again_is_another():
    again = [one.replace(b"PATCH0", b"AGAIN0") for one in series(2, day=2)]
    again = [one.replace(b"<PATCH", b"<AGAIN") for one in again]
    assert len(gathered(*series(2), *again)) == 2


@pytest.mark.parametrize("after", ["", "PATCH02Whole"])
def test_a_newer_version_replaces_a_series_once_it_is_complete(after):
    newer = series(2, "PATCH v2", after=after, day=2)
    one, two = gathered(*series(2), *newer)
    assert (one.newer, two.newer, two.title) == (2, 0, "v2 Whole")
    one, two = gathered(*series(2), *newer[:-1])
    assert (one.newer, two.missing) == (0, ["2/2"])
    stranger = [mail.replace(b"a@invalid>", b"b@invalid>", 1) for mail in newer]
    assert [one.newer for one in gathered(*series(2), *stranger)] == [0, 0]


def test_the_digest_depends_on_ids_and_patches_alone():
    text = mail("[PATCH] x")
    (one,), (same,) = gathered(text), gathered(text.replace(b"Why.", b"Because."))
    assert one.digest == same.digest
    assert gathered(text.replace(b"+PATCHx", b"+other"))[0].digest != one.digest
    assert gathered(text.replace(b"<PATCHx", b"<other"))[0].digest != one.digest


@pytest.fixture
def maildir(tmp_path) -> Path:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "list" / name).mkdir(parents=True)
    return tmp_path / "list"


def state(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_maildir_is_read_and_not_written(maildir):
    (maildir / "new" / "1.a").write_bytes(mail("[PATCH] a"))
    (maildir / "cur" / "2.b:2,S").write_bytes(mail("[PATCH] b"))
    (maildir / "tmp" / "3.c").write_bytes(mail("[PATCH] c")[:99])
    (maildir / "new" / "4.d").write_bytes(b"")
    (maildir / "new" / "5.e").write_bytes(b"Subject: x\nMessage-ID: <e>\n\nText.\n")
    os.mkfifo(maildir / "new" / "6.f")
    (maildir / "new" / "7.g").symlink_to(maildir / "nowhere")
    before = state(maildir)
    box = open_box(str(maildir))
    found = box.read(last=True)
    assert [one.mail.subject for one in found if isinstance(one, Arrived)] == ["a", "b"]
    assert [one.name for one in found if isinstance(one, Damaged)] == ["4.d"] and found.count(None) == 1
    assert state(maildir) == before


def test_a_mail_that_is_flagged_meanwhile_is_found(maildir, monkeypatch):
    (maildir / "new" / "1.a").write_bytes(mail("[PATCH] a"))
    real, moved = arrivals.read_file, []

    def read_file(path, most):
        if not moved:
            moved.append(path)
            Path(path).rename(maildir / "cur" / "1.a:2,S")
        return real(path, most)

    monkeypatch.setattr(arrivals, "read_file", read_file)
    box = Maildir(maildir)
    (one,) = box.read(last=True)
    assert isinstance(one, Arrived) and moved
    (maildir / "cur" / "1.a:2,S").rename(maildir / "cur" / "1.a:2,RS")
    assert box.read(last=False) == [one]
    (maildir / "cur" / "1.a:2,RS").unlink()
    assert box.read(last=False) == []


def test_mails_that_cannot_be_read_are_damaged(maildir, monkeypatch):
    nested = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Type: message/rfc822\n\n" * 80
    (maildir / "new" / "1").write_bytes(b"Subject: [PATCH] x\n" + nested)
    (maildir / "new" / "2").write_bytes(b"Subject: x\nDate: Mon, 99 Foo\nFrom: (((\n\n" + DIFF.encode())
    found = Maildir(maildir).read(last=True)
    assert isinstance(found[0], Damaged) and "within one mail" in found[0].reason
    assert isinstance(found[1], Arrived) and found[1].date == 0
    monkeypatch.setattr(arrivals, "read_mail", lambda content: {}["x"])
    (one, _) = Maildir(maildir).read(last=True)
    assert one.reason == "it cannot be parsed (KeyError)"


def mbox(*mails: bytes) -> bytes:
    return b"".join(b"From x@y Mon Nov 30 10:00:00 2026\n" + one + b"\n" for one in mails)


def test_an_mbox_that_grows(tmp_path):
    file = tmp_path / "list.mbox"
    file.write_bytes(mbox(mail("[PATCH] a")))
    box = open_box(str(file))
    assert box.read(last=False) == []  # It was written just now, and its last mail may not be whole.
    assert len(box.read(last=True)) == 1
    old = file.stat().st_mtime - 60
    file.write_bytes(mbox(mail("[PATCH] a"), mail("[PATCH] b")))
    os.utime(file, (old, old))
    assert [one.mail.subject for one in box.read(last=False)] == ["a", "b"]


def test_what_is_no_mailbox(tmp_path):
    with pytest.raises(ConformanceError, match="neither new/ nor cur/"):
        open_box(str(tmp_path))
    with pytest.raises(ConformanceError, match="does not exist"):
        open_box(str(tmp_path / "nothing"))
    box = open_box("stdin", mbox(mail("[PATCH] a")))
    assert box.once and len(box.read(last=True)) == 1
