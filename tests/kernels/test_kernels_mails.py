# SPDX-License-Identifier: GPL-2.0-only
"""Parsing mails and diffs: encodings, charsets, mailboxes, attachments, and input without a patch."""

import base64
import quopri
from email.message import EmailMessage

import pytest
from mail_samples import DIFF, TEXT, mail

from conformance.errors import ConformanceError
from conformance.kernels.diffs import read_diff
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
def test_input_without_a_patch_has_no_diff(content):
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
        "From " + "1:11:11 " * 100_000 + "1",
    ],
)
@pytest.mark.parametrize("subject", ["x", "Re: x"])
def test_hostile_text_is_read_in_one_pass(body, subject):
    assert read_mail(mail(f"{body}\n{DIFF}", Subject=subject)).diff.decode() == DIFF


def within(number: int) -> bytes:
    """A mail in a base64 attachment of a mail in a base64 attachment of a mail ..."""
    content = mail()
    for _ in range(number):
        part = b"Content-Type: text/x-patch\nContent-Transfer-Encoding: base64\n\n"
        body = b"--x\n\nSee there.\n--x\n" + part + base64.encodebytes(content) + b"--x--\n"
        content = mail(body, Content_Type="multipart/mixed; boundary=x")
    return content


NESTED = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(1500))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda: f"Subject: x\n{NESTED}".encode(), "1,500 mails and multiparts within one mail"),
        (lambda: b"Subject: x\n" + b"Content-Type: message/rfc822\n\n" * 1000, "1,000 mails and multiparts"),
        (lambda: b"Subject: x\n" + b"Content-Type: MESSAGE/x\n\n" * 1000, "1,000 mails and multiparts"),
        (lambda: within(5), "5 mails attached to each other, more than 4"),
        (lambda: mail(Subject="=?utf-8?q?a?= " * 100_000), "1,400,000 characters in a header Subject"),
        (
            lambda: mail(Content_Type="text/plain; " + "a=b;" * 10_000),
            "40,012 characters in a header Content-Type",
        ),
        (
            lambda: mail(Content_Disposition="a;" + ";" * 100_000),
            "in a header Content-Disposition, more than 8,192",
        ),
        (lambda: mail("x\n" * 250_001), "250,005 lines in one mail"),
        (lambda: mail("x" * (16 << 20)), "bytes in one mail, more than 16,777,216"),
        (lambda: mail("x" * (1 << 20) + "y"), "1,048,577 bytes before the diff"),
        (lambda: b"From 1:11:11\n" * 20_001, "20,001 mails"),
        (lambda: b"\n" * 2_000_001, "2,000,001 lines"),
        (lambda: bytes((64 << 20) + 1), "67,108,865 bytes, more than 67,108,864"),
    ],
)
def test_oversized_mails_are_refused_before_they_are_parsed(content, told):
    with pytest.raises(ConformanceError) as refusal:
        read_mails(content(), "x.mbox")
    assert str(refusal.value).startswith("x.mbox") and told in str(refusal.value)


def test_attachments_within_the_limit_are_read():
    assert read_mail(within(4)).diff.decode().startswith(DIFF)


@pytest.mark.parametrize(
    "charset", ['"a\0b"', "punycode", "idna", "unicode_escape", "undefined", "\xff", "hex"]
)
@pytest.mark.parametrize("parameter", ["charset", "charset*", "charset*0"])
def test_charsets_that_are_not_for_mails(charset, parameter):
    value = f"a\0b''{charset}" if parameter == "charset*" else charset
    got = read_mail(mail(Content_Type=f"text/plain; {parameter}={value}; name*=a\0b''x.patch"))
    assert got.diff.decode().startswith(DIFF)


@pytest.mark.parametrize(
    "charset", ["utf\xff8", "\u20ac", "a\0b", "hex", "punycode", "?", "undefined", "*en"]
)
def test_a_subject_in_an_unknown_charset(charset):
    for encoding in "qbx":
        got = read_mail(mail(Subject=f"[PATCH 1/2] =?{charset}?{encoding}?YQ==?= x"))
        assert (got.number, got.of) == (1, 2) and got.diff.decode().startswith(DIFF)


def test_half_a_character_in_a_subject():
    assert read_mail(mail(Subject="=?utf-7?q?+2AA-?= x")).subject.encode() == b"? x"


def test_a_name_of_blanks_in_a_diff():
    named = DIFF.replace("--- a/arch/x86/kvm/mmu/spte.h", "--- a/x" + " " * 100_000 + "x")
    with pytest.raises(ConformanceError, match="it names a file in 100,004 bytes"):
        read_diff(named.encode(), "x.patch")


def test_a_diff_of_more_files_than_a_kernel_has():
    with pytest.raises(ConformanceError, match=r"x\.patch is not read: it has more than 100,000 files"):
        read_diff(b"diff --git a/virt/a b/virt/a\n" * 100_001, "x.patch")
