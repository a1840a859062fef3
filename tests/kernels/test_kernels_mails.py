# SPDX-License-Identifier: GPL-2.0-only
"""Mails and diffs as they come: encodings, charsets, mailboxes, attachments, and what is no patch."""

import base64
import quopri
from email.message import EmailMessage

import pytest
from mail_samples import DIFF, TEXT, mail

from conformance.kernels.mails import read_mail, read_mails


def test_a_mail_is_taken_apart():
    got = read_mail(mail(TEXT + "\nbase-commit: 0123456789abcdef0123456789abcdef01234567\n"))
    assert (got.subject, got.number, got.of, got.version) == ("KVM: x86/mmu: Say why", 2, 7, 3)
    assert got.message == "Why it is so.\n\nSigned-off-by: Jörg <j@invalid>"
    assert got.diff.decode().startswith(DIFF)
    assert (got.message_id, got.base_commit[:4], got.reply) == ("2@invalid", "0123", False)


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("[PATCH] x", (None, None, 1, False)),
        ("[PATCH 00/12] x", (0, 12, 1, False)),
        ("[RFC PATCH v10 03/12] x", (3, 12, 10, False)),
        ("[PATCH 6.1.y 1/2] x", (1, 2, 1, False)),
        ("[PATCH 5.10 1/2] x", (1, 2, 1, False)),
        ("Re: [PATCH v2 1/2] x", (1, 2, 2, True)),
        ("=?utf-8?q?=5BPATCH_1/2=5D_x?=", (1, 2, 1, False)),
        ("[kvm] [PATCH V2 1/2] x", (1, 2, 2, False)),
        ("x", (None, None, 1, False)),
        ("", (None, None, 1, False)),
    ],
)
def test_the_subject_says_which_part(subject, told):
    got = read_mail(mail(Subject=subject))
    assert (got.number, got.of, got.version, got.reply) == told
    assert got.subject == ("x" if subject else "")


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "nonsense"])
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_every_encoding_and_charset_gives_the_same_diff(encoding, charset):
    body = TEXT.encode("utf-8" if charset == "nonsense" else charset)
    encoded = {"8bit": bytes, "quoted-printable": quopri.encodestring, "base64": base64.encodebytes}
    sent = mail(
        encoded[encoding](body),
        Content_Type=f"text/plain; charset={charset}",
        Content_Transfer_Encoding=encoding,
    )
    assert read_mail(sent).diff.decode().startswith(DIFF)


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
def test_a_body_that_is_decoded_already_is_not_decoded_again(encoding):
    assert read_mail(mail(Content_Transfer_Encoding=encoding)).diff.decode().startswith(DIFF)


def test_a_multipart_header_over_a_plain_body():
    sent = mail(Content_Type='multipart/mixed; boundary="x"')
    assert read_mail(sent).diff.decode().startswith(DIFF)


@pytest.mark.parametrize("whole", [False, True])
def test_an_attached_patch(whole):
    sent = EmailMessage()
    sent["Subject"] = "[PATCH] attached"
    sent.set_content("See the attachment. (No offence.)\n")
    content = mail() if whole else DIFF.encode()
    sent.add_attachment(content, maintype="text", subtype="x-patch", filename="0001-x.patch")
    got = read_mail(bytes(sent))
    assert got.diff.decode().startswith(DIFF)
    assert got.subject == "attached"
    assert "attachment" in got.message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_as_other_systems_write_it(encoding, end):
    for content in (DIFF, mail().decode()):
        got = read_mail(content.replace("\n", end).encode(encoding))
        assert got.diff.decode().startswith(DIFF)


def test_mixed_line_endings():
    lines = mail().decode().splitlines()
    mixed = "".join(line + ("\r\n" if number % 2 else "\n") for number, line in enumerate(lines))
    assert read_mail(mixed.encode()).diff.decode().startswith(DIFF)


def test_a_mailbox():
    box = b"".join(
        b"From 0123 Mon Sep 17 00:00:00 2001\n" + mail(Subject=f"[PATCH {n}/2] part {n}") + b"\n"
        for n in range(3)
    )
    assert [one.subject for one in read_mails(box)] == ["part 0", "part 1", "part 2"]
    assert [one.number for one in read_mails(box.replace(b"\n", b"\r\n"))] == [0, 1, 2]


def test_prose_that_begins_with_from_starts_no_mail():
    (got,) = read_mails(mail(f"From where we are, it looks so.\n{TEXT}"))
    assert got.diff.decode().startswith(DIFF)


def test_a_plain_diff():
    (got,) = read_mails(f"as of today\n\n{DIFF}".encode())
    assert got.diff.decode() == DIFF
    assert (got.subject, got.message) == ("", "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"words\n",
        b"\x00\xff\xfe\x80",
        b"\xff\xfe\x00",
        bytes(range(256)) * 40,
        b"--- a\n+++ b\n",
        b"Subject: =?bogus?q?=zz?=\n\nhello\n",
        b"Content-Type: multipart/mixed\n\nhello\n",
        b"Content-Type: text/plain; charset=\xff\nSubject: \xff\n\n\xff\n",
        b"Content-Type: message/rfc822\n\nSubject: x\n\ny\n",
        b"Content-Transfer-Encoding: base64\nSubject: x\n\nA\n",
    ],
)
def test_what_is_no_patch_has_no_diff(content):
    assert [one.diff for one in read_mails(content)] == [b""]


@pytest.mark.parametrize(
    ("tags", "number", "of", "version", "release"),
    [
        ("PATCH 6.12 123/456", 123, 456, 1, "6.12"),
        ("PATCH 5.10.y 2/3", 2, 3, 1, "5.10"),
        ("PATCH AUTOSEL 6.1 04/18", 4, 18, 1, "6.1"),
        ("PATCH v8 03/11", 3, 11, 8, ""),
        ("PATCH 6.1.y v2 1/2", 1, 2, 2, "6.1"),
        ("6.6 PATCH", None, None, 1, "6.6"),
    ],
)
def test_mails_of_stable_reviews(tags, number, of, version, release):
    got = read_mail(mail(Subject=f"[{tags}] x"))
    assert (got.number, got.of, got.version, got.release, got.subject) == (number, of, version, release, "x")


INNER = "From: K <k@invalid>\nDate: Tue, 2 Jan 2024 03:04:05\nSubject: [PATCH] KVM: inner\n\n"


@pytest.mark.parametrize("line", ["-- >8 --", "-----8<-----", "--->8--- cut here --->8---", "- - - %< - - -"])
def test_a_patch_below_scissors(line):
    got = read_mail(
        mail(f"> Quoted.\n\nHow about:\n\n{line}\n{INNER}Inner.\n---\n\n{DIFF}", Subject="Re: [PATCH 1/2] x")
    )
    assert (got.subject, got.message, got.inline, got.reply) == ("KVM: inner", "Inner.", True, True)
    assert (got.number, got.of) == (None, None)
    assert got.diff.decode() == DIFF
    got = read_mail(mail(f"Hello.\n\n{line}\nInner.\n---\n\n{DIFF}"))
    assert (got.subject, got.message, got.inline) == ("KVM: x86/mmu: Say why", "Inner.", False)


@pytest.mark.parametrize("before", ["", "> Quoted.\n\nSomething like this?\n\n", "So?\n\n---\n"])
def test_a_header_of_its_own_in_a_reply(before):
    got = read_mail(mail(f"{before}{INNER}Inner.\n\n---\n\n{DIFF}", Subject="Re: [PATCH 1/2] x"))
    assert (got.subject, got.message, got.inline) == ("KVM: inner", "Inner.", True)
    assert got.diff.decode() == DIFF


def test_a_header_at_the_top_counts_in_a_mail_and_one_inside_does_not():
    got = read_mail(mail(f"{INNER}Inner.\n---\n{DIFF}"))
    assert (got.subject, got.message) == ("KVM: inner", "Inner.")
    got = read_mail(mail(f"Why.\n\n{INNER}More.\n---\n{DIFF}"))
    assert got.subject == "KVM: x86/mmu: Say why" and got.message.startswith("Why.")
    got = read_mail(mail(f"From: K <k@invalid>\n\nWhy.\n---\n{DIFF}"))
    assert got.subject == "KVM: x86/mmu: Say why" and got.message.endswith("Why.")


def test_a_diff_after_quoted_text():
    got = read_mail(mail(f"> diff --git a/x b/x\n> NFC\n\nRather:\n\n{DIFF}", Subject="Re: [PATCH] x"))
    assert got.diff.decode() == DIFF and got.message.endswith("Rather:")


@pytest.mark.parametrize(
    "body",
    [
        "-" * 1_000_000,
        "From: x\n" * 100_000,
        "- " * 500_000 + ">8x",
        "Subject: x\n\n" * 50_000,
        "--- \n" * 100_000,
    ],
)
@pytest.mark.parametrize("subject", ["x", "Re: x"])
def test_hostile_text_is_read_in_one_pass(body, subject):
    assert read_mail(mail(f"{body}\n{DIFF}", Subject=subject)).diff.decode() == DIFF


def test_parts_within_parts_without_end():
    head = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(1500))
    assert read_mail(f"Subject: x\n{head}".encode()).diff == b""
