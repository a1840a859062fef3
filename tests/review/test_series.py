# SPDX-License-Identifier: GPL-2.0-only
"""Series: put in order, complete or refused, judged patch by patch. The kernels here are toys."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from mail_samples import DIFF, mail

from conformance.errors import ConformanceError
from conformance.kernels import Kernel
from conformance.review import ConstantReview, FunctionReview, Review, Standing, judging_series
from conformance.review.judging_series import judge
from conformance.review.outcome import Outcome
from conformance.review.review import ScopeReview
from conformance.review.series import read_series
from conformance.review.series_review import SeriesReview

OTHER = DIFF.replace("arch/x86/kvm/mmu/spte.h", "drivers/net/tun.c")


def patch(number: int, of: int, text: str = "Why.", diff: str = DIFF, version: str = "") -> bytes:
    # A patch of its own each time, or it would pass for a mail received twice.
    body = f"{text}\n---\n{diff.replace('mask |= a', f'mask |= a{number}')}"
    return mail(body, Subject=f"[PATCH{version} {number}/{of}] part {number}")


def box(*mails: bytes) -> bytes:
    return b"".join(b"From 0123 Mon Sep 17 00:00:00 2001\n" + one + b"\n" for one in mails)


def read(tmp_path: Path, **contents: bytes):
    files = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        files.append(str(tmp_path / name))
    return read_series(files)


def numbers(series) -> list[int | None]:
    return [part.mail.number for part in series.parts]


def test_the_order_is_that_of_the_numbers(tmp_path):
    cover = mail("About.\n", Subject="[PATCH 0/3] cover")
    series = read(tmp_path, box=box(patch(3, 3), cover, patch(1, 3), patch(2, 3)))
    assert numbers(series) == [1, 2, 3]
    assert [part.title for part in series.parts] == ["1/3 part 1", "2/3 part 2", "3/3 part 3"]
    assert numbers(read(tmp_path, b=patch(2, 2), a=patch(1, 2))) == [1, 2]


def test_patches_without_numbers_stay_in_order(tmp_path):
    series = read(tmp_path, b=DIFF.encode(), a=mail(Subject="[PATCH] single"))
    assert [part.title for part in series.parts] == ["b", "single"]


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ([1, 3], "2/3 of the series was not given; those given are judged in order, without the others"),
        ([2], "1/3, 3/3 of the series were not given; this patch is judged alone, without the others"),
        ([2, 1], "3/3 of the series was not given; those given are judged in order, without the others"),
    ],
)
def test_what_is_given_of_a_series_is_judged_and_what_is_missing_is_said(tmp_path, there, missing):
    series = read(tmp_path, **{f"p{number}": patch(number, 3) for number in there})
    assert numbers(series) == sorted(there)
    assert series.incomplete == (f"p{min(there)}: {missing}",)


def test_of_many_missing_parts_five_are_named(tmp_path):
    (said,) = read(tmp_path, box=patch(1, 200)).incomplete
    assert "2/200, 3/200, 4/200, 5/200, 6/200 and 194 more of the series were not given" in said


def test_a_complete_series_has_nothing_missing(tmp_path):
    assert read(tmp_path, a=patch(1, 2), b=patch(2, 2)).incomplete == ()


@pytest.mark.parametrize(
    ("tags", "number", "of"),
    [
        ("PATCH v8 03/11", 3, 11),
        ("PATCH 6.12 123/456", 123, 456),
        ("PATCH 5.10.y 2/3", 2, 3),
        ("PATCH AUTOSEL 6.1 04/18", 4, 18),
    ],
)
def test_one_mail_of_a_series(tmp_path, tags, number, of):
    series = read(tmp_path, a=mail(Subject=f"[{tags}] x"))
    assert [(part.mail.number, part.mail.of) for part in series.parts] == [(number, of)]
    assert "judged alone" in series.incomplete[0]


def test_the_same_numbers_for_two_releases_are_two_series(tmp_path):
    series = read(tmp_path, a=patch(1, 1, version=" 6.12"), b=patch(1, 1, version=" 6.6"))
    assert [part.mail.release for part in series.parts] == ["6.12", "6.6"]


NFC = "No functional change intended."


def test_a_cover_letter_in_a_file_of_its_own(tmp_path):
    cover = mail("About.\n", Subject="[PATCH 0/2] cover")
    series = read(tmp_path, cover=cover, one=patch(1, 2), two=patch(2, 2))
    assert (numbers(series), series.claim) == ([1, 2], None)
    assert series.notes == ("cover is the cover letter",)
    series = read(tmp_path, one=patch(1, 1), words=mail("words\n", Subject="hello"), empty=b"")
    assert series.notes == ("words holds no patch, left out", "empty holds no patch, left out")
    with pytest.raises(ConformanceError, match=r"words holds no patch.* empty is no patch"):
        read(tmp_path, words=mail("words\n"), empty=b"")


@pytest.mark.parametrize(
    ("about", "promised"),
    [
        (NFC, True),
        (f"Clean up.\n\n{NFC}\n\nJ (2):\n  KVM: Rename it\n  KVM: Move it", True),
        ("This patch series is NFC.", True),
        ("Clean up.\n\nJ (2):\n  KVM: Rename it, NFC\n  KVM: Fix it\n", False),
        ("Patch 1 is a rename, no functional change intended.", False),
        ("The first patch is a rename. No functional change intended in that patch.", False),
        (f"> {NFC}", False),
    ],
)
def test_the_promise_of_the_cover_letter(tmp_path, about, promised):
    cover = mail(f"{about}\n", Subject="[PATCH 0/2] cover")
    series = read(tmp_path, cover=cover, one=patch(1, 2), two=patch(2, 2))
    assert (series.claim is not None) == promised
    assert [part.claim for part in series.parts] == [None, None]
    other = read(tmp_path, cover=mail(f"{NFC}\n", Subject="[PATCH 0/7] other"), one=patch(1, 2))
    assert other.claim is None


def test_the_subject_of_a_reply_is_that_of_the_patch_replied_to(tmp_path):
    (part,) = read(tmp_path, a=mail(f"How about:\n\n{DIFF}", Subject="Re: [PATCH] Rename it, NFC")).parts
    assert part.claim is None
    inner = f"> {NFC}\n\nSo:\n\n-- >8 --\nSubject: [PATCH] Move it, NFC\n\nWhy.\n---\n{DIFF}"
    (part,) = read(tmp_path, a=mail(inner, Subject="Re: [PATCH 1/2] Rename it")).parts
    assert (part.title, part.claim.sentence) == ("Move it, NFC", "Move it, NFC")


def test_replies_older_versions_and_copies_are_left_out(tmp_path):
    reply = mail(Subject="Re: [PATCH v2 1/2] part 1")
    older = patch(1, 2, "older", version=" v1")
    newer = [patch(number, 2, version=" v2") for number in (1, 2)]
    series = read(tmp_path, box=box(older, *newer, newer[0], reply))
    assert numbers(series) == [1, 2]
    assert [part.mail.version for part in series.parts] == [2, 2]
    assert len(series.notes) == 2


def test_a_reply_alone_is_a_patch(tmp_path):
    assert len(read(tmp_path, box=mail(Subject="Re: [PATCH] so?")).parts) == 1


def test_two_patches_of_one_number(tmp_path):
    with pytest.raises(ConformanceError, match="1/2 is there twice"):
        read(tmp_path, box=box(patch(1, 2), patch(1, 2, "other"), patch(2, 2)))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no patch"),
        (b"words\n", "is no patch"),
        (b"@@ -1 +1 @@\n-a\n+b\n", "no hunk in it says to which file"),
        (mail("words\n"), "the mail does not hold a unified diff"),
        (box(mail("words\n"), mail("words\n")), "none of its 2 mails"),
    ],
)
def test_no_patch(tmp_path, content, complaint):
    with pytest.raises(ConformanceError, match=complaint):
        read(tmp_path, file=content)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConformanceError, match="is a directory"):
        read_series([str(tmp_path)])
    with pytest.raises(ConformanceError, match="No such file"):
        read_series([str(tmp_path / "missing")])
    with pytest.raises(ConformanceError, match="once"):
        read_series(["-", "-"])


def test_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(DIFF.encode())))
    assert [part.name for part in read_series(["-"]).parts] == ["stdin"]


def test_the_files_that_a_patch_touches(tmp_path):
    renamed = "diff --git a/x/old.c b/x/new.c\nrename from x/old.c\nrename to x/new.c\n"
    added = "diff --git a/new.h b/new.h\n--- /dev/null\n+++ b/new.h\n@@ -0,0 +1 @@\n+x\n"
    (part,) = read(tmp_path, file=(DIFF + renamed + added).encode()).parts
    assert part.paths == {"arch/x86/kvm/mmu/spte.h", "x/old.c", "x/new.c", "new.h"}


@pytest.mark.parametrize(
    ("name", "concerns"),
    [
        ("arch/x86/kvm/mmu/spte.h", True),
        ("include/linux/kvm_host.h", True),
        ("drivers/net/tun.c", False),
        ("Documentation/virt/kvm/api.rst", False),
        ('"a/arch/x86/kvm/mmu/\\163pte.h"', True),
        ("x/y.c", True),
        ("kvm/mmu/spte.h", True),
    ],
)
def test_what_may_concern_the_mmu(tmp_path, name, concerns):
    (part,) = read(tmp_path, file=f"--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-a\n+b\n".encode()).parts
    assert part.may_concern is concerns


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("i/", "w/"),
        ("c/", "o/"),
        ("1/", "2/"),
        ("", ""),
        ("./", "./"),
        ("linux.orig/", "linux/"),
        ("a/l/", "b/l/"),
    ],
)
@pytest.mark.parametrize(
    ("file", "concerns"), [("arch/x86/kvm/mmu/spte.h", True), ("drivers/net/tun.c", False)]
)
def test_whatever_stands_before_the_name(tmp_path, old, new, file, concerns):
    text = f"--- {old}{file}\t2024-01-01\n+++ {new}{file}\t2024-01-01\n@@ -1 +1 @@\n-a\n+b\n"
    (part,) = read(tmp_path, file=text.encode()).parts
    assert (part.paths, part.may_concern) == ({file}, concerns)


EXPORT = ScopeReview("EXPORT_SYMBOL_GPL(kvm_mmu_reload)", "arch/x86/kvm/mmu/mmu.c")
COMMENT = ScopeReview("comments", "arch/x86/kvm/mmu/mmu.c", proved="only comments changed")
MOVED = ConstantReview("gfn", 0, 64, "struct tdp_iter", "first bit")


def review(standing: Standing = Standing.UNSEEN, **changes) -> Review:
    function = FunctionReview("make_spte", "arch/x86/kvm/mmu/spte.c", standing)
    return Review(**{"before": "a", "after": "b", "functions": (function,), **changes})


class Kernels:
    """Stands in for kernels: one is told from another by how many patches it has."""

    def __init__(self) -> None:
        self.compared: list[tuple[int, int]] = []
        self.origins: set[int] = set()
        self.suspected: dict[tuple[int, int], tuple[str, ...]] = {}
        self.refuse: dict[int, str] = {}
        self.reviews: dict[tuple[int, int], Review | ConformanceError] = {}
        self.notes: tuple[str, ...] = ()

    def open(self, selector, patches=(), *, progress, idle=False):
        if len(patches) in self.refuse:
            raise ConformanceError(self.refuse[len(patches)])
        assert all(path.read_bytes() for path in patches)
        notes = self.notes if patches else ()
        count = str(len(patches))
        return Kernel(selector, selector, None, "9", (6, 1), None, Path(), fingerprint=count, notes=notes)

    def compare(self, before, after, suspects, origin) -> Review:
        key = (int(before.fingerprint), int(after.fingerprint))
        self.compared.append(key)
        self.suspected[key] = tuple(suspects)
        self.origins.add(int(origin.fingerprint))
        told = self.reviews.get(key, review())
        if isinstance(told, ConformanceError):
            raise told
        return told


@pytest.fixture
def kernels(monkeypatch) -> Kernels:
    made = Kernels()
    monkeypatch.setattr(judging_series, "open_kernel", made.open)
    return made


def judged(kernels: Kernels, tmp_path: Path, *mails: bytes) -> SeriesReview:
    return judge(read(tmp_path, box=box(*mails)), "6.1", kernels.compare, lambda line: None)


def test_each_on_top_of_the_one_before_then_the_whole(kernels, tmp_path):
    told = judged(kernels, tmp_path, *(patch(number, 3) for number in (1, 2, 3)))
    assert sorted(kernels.compared[:3]) == [(0, 1), (1, 2), (2, 3)] and kernels.compared[3:] == [(0, 3)]
    assert [one.outcome for one in told.judged] == [Outcome.KEPT] * 4
    assert told.status() == 0


@pytest.mark.parametrize("applied", [0, 2])
def test_a_series_is_measured_on_the_kernel_that_it_starts_from(kernels, tmp_path, applied):
    series = read(tmp_path, box=box(*(patch(number, 3) for number in (1, 2, 3))))
    judge(series, "6.1", kernels.compare, lambda line: None, applied=applied)
    assert len(kernels.compared) == (4, 0, 1)[applied]
    assert kernels.origins == {0}


def test_one_patch_is_the_whole(kernels, tmp_path):
    told = judged(kernels, tmp_path, patch(1, 1))
    assert kernels.compared == [(0, 1)]
    assert told.whole is None


def test_a_promise_that_is_not_kept(kernels, tmp_path):
    kernels.reviews[1, 2] = review(Standing.DIFFERS)
    nfc = "No functional change intended."
    told = judged(kernels, tmp_path, patch(1, 2, nfc), patch(2, 2, nfc))
    assert [one.outcome for one in told.judged] == [Outcome.KEPT, Outcome.BROKEN, Outcome.KEPT]
    assert told.status() == 1
    assert told.whole.claim.sentence == nfc


def test_a_promise_of_the_cover_letter_is_one_of_the_whole(kernels, tmp_path):
    kernels.reviews[0, 1] = kernels.reviews[0, 2] = review(Standing.DIFFERS)
    cover = mail(f"{NFC}\n", Subject="[PATCH 0/2] cover")
    told = judged(kernels, tmp_path, cover, patch(1, 2), patch(2, 2))
    assert [one.outcome for one in told.judged] == [Outcome.CHANGES, Outcome.KEPT, Outcome.BROKEN]
    assert told.whole.claim.sentence == NFC


def test_what_is_missing_is_said_in_the_result_and_where_a_patch_does_not_apply(kernels, tmp_path):
    told = judged(kernels, tmp_path, patch(2, 3))
    assert "1/3, 3/3 of the series were not given" in told.notes[0]
    kernels.refuse[1] = "hunk 1 does not apply."
    with pytest.raises(ConformanceError, match=r"does not apply\. box: 1/3, 3/3 of the series were"):
        judged(kernels, tmp_path, patch(2, 3))


def test_how_patches_were_applied_is_said_in_the_result(kernels, tmp_path):
    kernels.notes = ("hunk 1 of spte.h applied with fuzz 1",)
    assert judged(kernels, tmp_path, patch(1, 1)).parts[0].remarks == kernels.notes


def test_a_change_that_was_not_denied(kernels, tmp_path):
    kernels.reviews[0, 1] = kernels.reviews[0, 2] = review(Standing.DIFFERS)
    told = judged(kernels, tmp_path, patch(1, 2), patch(2, 2, "NFC."))
    assert [one.outcome for one in told.judged] == [Outcome.CHANGES, Outcome.KEPT, Outcome.CHANGES]
    assert told.status() == 1
    assert told.whole.claim is None


def test_what_differs_in_a_patch_is_looked_at_closely_in_the_whole(kernels, tmp_path):
    kernels.reviews[0, 1] = review(Standing.DIFFERS)
    told = judged(kernels, tmp_path, patch(1, 2), patch(2, 2))
    assert kernels.suspected == {(0, 1): (), (1, 2): (), (0, 2): ("make_spte",)}
    assert told.whole.remarks == (
        "What '1/2 part 1' changes in make_spte() is not seen to change once all patches are applied.",
    )


def test_patches_are_heard_of_in_order_then_the_whole(kernels, tmp_path):
    heard = []

    class Listening(judging_series.Listener):
        def begin(self, count, base, notes):
            heard.append((count, base))

        def receive(self, one):
            heard.append(one.title)
            return one

    series = read(tmp_path, box=box(*(patch(number, 3) for number in (1, 2, 3))))
    judge(series, "6.1", kernels.compare, lambda line: None, listener=Listening())
    assert heard[0][1].startswith("6.1 (9, ")
    assert heard == [(3, heard[0][1]), "1/3 part 1", "2/3 part 2", "3/3 part 3", "all 3 patches"]


def test_a_promise_with_an_exception_is_not_broken_by_a_change(kernels, tmp_path):
    kernels.reviews[0, 1] = review(Standing.DIFFERS)
    (one,) = judged(kernels, tmp_path, patch(1, 1, "NFC except on TDX.")).parts
    assert one.outcome is Outcome.CHANGES


@pytest.mark.parametrize(
    ("told", "outcome", "status"),
    [
        (review(Standing.SAME_CODE), Outcome.PROVED, 0),
        (review(Standing.EQUIVALENT), Outcome.PROVED, 0),
        (review(Standing.UNCOVERED), Outcome.UNEXECUTED, 0),
        (review(Standing.UNOBSERVED), Outcome.UNOBSERVED, 0),
        (review(Standing.ADDED), Outcome.UNEXECUTED, 0),
        (review(functions=(), scope=(EXPORT,)), Outcome.UNOBSERVED, 0),
        (review(functions=(), constants=(MOVED,)), Outcome.UNOBSERVED, 0),
        (review(functions=(), scope=(COMMENT,)), Outcome.PROVED, 0),
        (review(Standing.SAME_CODE, scope=(EXPORT,)), Outcome.UNOBSERVED, 0),
        (review(scope=(EXPORT,)), Outcome.UNCOVERED, 0),
        (review(Standing.SAME), Outcome.UNOBSERVED, 0),
        (review(functions=()), Outcome.UNOBSERVED, 0),
        (review(errors=("it hung",)), Outcome.UNJUDGED, 2),
        (review(Standing.DIFFERS, errors=("it hung",)), Outcome.CHANGES, 1),
        (ConformanceError("does not compile"), Outcome.UNJUDGED, 2),
    ],
)
def test_outcomes(kernels, tmp_path, told, outcome, status):
    kernels.reviews[0, 1] = told
    found = judged(kernels, tmp_path, patch(1, 1))
    assert (found.parts[0].outcome, found.status()) == (outcome, status)


def test_other_files_do_not_concern_the_mmu(kernels, tmp_path):
    told = judged(kernels, tmp_path, patch(1, 2, diff=OTHER), patch(2, 2, diff=OTHER))
    assert [one.outcome for one in told.judged] == [Outcome.UNCONCERNED] * 2
    assert kernels.compared == []
    assert told.status() == 0


def test_a_patch_for_other_files_within_a_series(kernels, tmp_path):
    told = judged(kernels, tmp_path, patch(1, 2, "NFC."), patch(2, 2, diff=OTHER))
    assert [one.outcome for one in told.judged] == [Outcome.KEPT, Outcome.UNCONCERNED, Outcome.KEPT]
    assert told.whole.claim.sentence == "NFC."


def test_what_does_not_apply_ends_the_series(kernels, tmp_path):
    kernels.refuse[2] = "hunk 1 does not apply"
    told = judged(kernels, tmp_path, *(patch(number, 3) for number in (1, 2, 3)))
    assert [one.outcome for one in told.judged] == [Outcome.KEPT, Outcome.UNJUDGED, Outcome.UNJUDGED]
    assert told.parts[1].reason == "hunk 1 does not apply"
    assert told.status() == 2 and told.whole is None
    kernels.refuse[1] = "no such kernel"
    with pytest.raises(ConformanceError, match="no such kernel"):
        judged(kernels, tmp_path, patch(1, 1))


def test_a_kernel_that_is_none_is_said_even_if_none_is_needed(kernels, tmp_path):
    series = read(tmp_path, box=patch(1, 1, diff=OTHER))
    with pytest.raises(ConformanceError, match="no kernel"):
        judge(series, "6.2", kernels.compare, lambda line: None)


def test_a_big_mailbox_of_other_things_is_quick(tmp_path):
    mails = [patch(number, 2500, diff=OTHER * 24) for number in range(1, 2501)]
    content = box(*mails)
    assert len(content) > 10_000_000
    series = read(tmp_path, box=content)
    assert len(series.parts) == 2500
    assert not any(part.may_concern for part in series.parts)
