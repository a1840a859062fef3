# SPDX-License-Identifier: GPL-2.0-only
"""The text for a mail: 72 columns except for commands, and proofs apart from observations."""

import re
from dataclasses import replace

import pytest
from report_samples import NASTY, failed, found
from review_samples import FILE, function, judged, review, series

from conformance.differential.verdict import KernelReport, Report
from conformance.reports import mail, review_mail
from conformance.review import ConstantReview, Standing
from conformance.review.claims import Claim
from conformance.review.reply import names, reply, seen
from conformance.review.review import ScopeReview
from conformance.review.series_review import Judged, SeriesReview


def series_of(functions) -> SeriesReview:
    return SeriesReview("6.1 (6.1.9-1)", (Judged("a patch", review=review(*functions)),))


def too_long(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > 72 and not line.strip().startswith("again")]


def test_a_run(mixed):
    text = mail.render(mixed)
    assert text.startswith("6.1 + fix.mbox (6.1.176-1)\n    note: pinned 6.1.170-1 is gone\n")
    assert "    5 properties: 1 PASS, 1 FAIL, 1 SKIP, 1 ERROR, 1 MISS; " in text
    assert "\nFAIL  spte_has_volatile_bits" in text
    assert "    ERROR: the oracle hung in two lines (make_spte)\n" in text
    assert "\ntree:linux\n    ERROR: spte.c does not compile." in text
    assert too_long(text) == []
    assert any(len(line) > 72 for line in text.splitlines()), "a command is never folded"


def test_a_run_without_results(empty, idle):
    assert mail.render(empty) == "No kernel was asked for, so nothing was compared.\n"
    assert "1 property: 1 SKIP; 0 cases\n    ERROR: nothing was compared, so nothing" in mail.render(idle)


def test_odd_text_stays_on_its_line(nasty):
    text = mail.render(nasty)
    assert "\x1b" not in text and "\u202e" not in text
    assert "\nnot ok" not in text


def test_long_names_and_values_are_folded():
    given = found(decoded={"spte": "one two three four " * 12}, kernel={"returns": "many words " * 20})
    report = Report([KernelReport("6.1", "6.1", "6.1-1", results=[failed(counterexample=given)])], seed=7)
    assert too_long(mail.render(report)) == []


def test_a_series_says_what_becomes_of_each_patch_and_of_the_whole():
    text = review_mail.render_series(series())
    assert text.startswith(
        "2 patches on 6.1 (6.1.9-1)\nnote: v1.mbox: a reply is left out\n\n1/2 Rename it\n"
    )
    assert "    no functional change, proved, as the message says\n" in text
    assert "    says that nothing changes, and changes behaviour\n" in text
    assert re.search(r"\n +before +returns +true\n +after +returns +false\n +both +events none\n", text)
    assert "\nall 2 patches\n" in text
    assert too_long(text) == []


def test_every_standing_is_told_by_its_own_words():
    functions = [function(f"{standing.name.lower()}_spte", standing, cases=5) for standing in Standing]
    text = review_mail.render_review(
        review(*functions, constants=(ConstantReview("SPTE_BIT", 2, None, "spte.h"),))
    )
    given = [
        "    changed, and executed by nothing that could be run:\n        uncovered_spte()\n",
        "    not proved, no difference found:\n        unseen_spte(), 5 cases\n",
        "    proved, alike on every input:\n        equivalent_spte()\n",
        "    proved, machine code equal:\n        same_code_spte()\n",
        "    added:\n        added_spte()\n",
        "    removed:\n        removed_spte()\n",
        "        SPTE_BIT 0x2 -> - (spte.h)\n",
    ]
    assert [part in text for part in given] == [True] * len(given)
    assert "same_spte" not in text


def test_a_rename_is_followed():
    text = review_mail.render_review(review(replace(function("new", Standing.SAME_CODE), was="old")))
    assert "new(), was old()\n" in text


@pytest.mark.parametrize(
    ("functions", "sentence"),
    [
        (
            [function("a", Standing.SAME_CODE), function("b", Standing.EQUIVALENT)],
            "No functional change. Proved, machine code equal: a(). Proved, alike on every input: b().",
        ),
        (
            [function("a", Standing.SAME_CODE), function("b", Standing.UNSEEN, cases=65536)],
            "No functional change found. Proved, machine code equal: a(). "
            "Not proved, but no difference found: b() in 65,536 cases.",
        ),
        (
            [function("b", Standing.UNSEEN, by=("first_read", "age_a_page"))],
            "No functional change found. Not proved, but no difference found: b() in 2 stories.",
        ),
        (
            [function("a", Standing.UNCOVERED)],
            "Nothing that it changes could be run: nothing is claimed. "
            "Changed, and executed by nothing that could be run: a().",
        ),
        ([function("a", Standing.DIFFERS)], "Behaviour changes in a()."),
        ([function("a", Standing.SAME)], "Nothing here concerns the MMU."),
    ],
)
def test_the_sentence_for_a_reply(functions, sentence):
    assert reply(judged(review(*functions))) == sentence


def test_a_constant_is_blamed_where_the_text_of_functions_is_the_same():
    one = function("is_removed_spte", Standing.DIFFERS, through=("REMOVED_SPTE",))
    assert reply(judged(review(one))) == (
        "Behaviour changes through REMOVED_SPTE, seen in is_removed_spte()."
    )


def test_what_moved_is_called_by_its_own_name():
    moved = (
        ConstantReview("REMOVED_SPTE", 1, 2, FILE),
        ConstantReview("struct kvm_mmu", 64, 128, "struct kvm_mmu", "size"),
        ConstantReview("pae_root", 0, 64, "struct kvm_mmu", "first bit"),
    )
    one = review(function("a", Standing.UNSEEN, cases=1), constants=moved)
    said = "Constants that moved: REMOVED_SPTE. Layout that moved: struct kvm_mmu."
    assert reply(judged(one)).endswith(said)
    text = review_mail.render_review(one)
    assert "struct kvm_mmu, size 64 -> 128 (struct kvm_mmu)\n" in text
    assert "pae_root, first bit 0 -> 64 (struct kvm_mmu)\n" in text


def test_stories_are_counted_and_named_only_if_asked_for():
    stories = tuple(f"story_{n}" for n in range(37))
    given = series_of([function(name, Standing.UNSEEN, by=stories) for name in ("f", "g")])
    assert "        f(), g(), 37 stories\n" in review_mail.render_series(given)
    assert "story_36" in review_mail.render_series(given, verbose=True)


def test_many_functions_of_one_difference_are_told_once():
    difference = found(kernel={"returns": "true"}, model={"returns": "false"})
    functions = [function(f"f{n}", Standing.DIFFERS, difference=difference) for n in range(40)]
    text = review_mail.render_series(series_of(functions))
    assert text.count("before  true\n") == 1
    assert len(text.splitlines()) < 40


def test_changes_outside_of_functions_are_grouped_by_how_they_are_judged():
    scope = (
        ScopeReview("variable nx", FILE, users=("f", "g")),
        ScopeReview("EXPORT_SYMBOL_GPL(f)", FILE),
        ScopeReview("comments", FILE, proved="only comments changed"),
    )
    text = review_mail.render_review(review(scope=scope))
    assert "nothing here looks at it:\n        EXPORT_SYMBOL_GPL(f) in mmu/spte.c\n" in text
    assert (
        "judged by the functions using it:\n        variable nx in mmu/spte.c: used by f() and g()\n" in text
    )
    assert "proved to change nothing:\n        comments in mmu/spte.c: only comments changed\n" in text


def test_the_sentence_quotes_what_was_promised():
    one = replace(judged(review(function("a", Standing.DIFFERS))), claim=Claim("NFC."))
    assert reply(one) == 'Behaviour changes in a(). The message says "NFC."'


def test_what_was_not_judged_is_said():
    assert reply(judged(None, reason="it does not apply")) == "Not judged: it does not apply"
    assert reply(judged(review(errors=("it hung",)))) == "Not judged: it hung"


def test_names_and_counts():
    assert names([]) == "nothing"
    assert names(["a"]) == "a"
    assert names(["a", "b", "c"]) == "a, b and c"
    assert names([*"abcdefg"]) == "a, b, c, d, e, f and g"
    assert names([*"abcdefgh"]) == "a, b, c, d, e, f and 2 more"
    assert seen(function("a", Standing.UNSEEN, cases=1)) == "1 case"
    assert seen(function("a", Standing.UNSEEN, by=("x",))) == "the story x"


def test_odd_text_in_a_review():
    text = review_mail.render_review(review(function(NASTY, Standing.UNSEEN), errors=(NASTY,)))
    assert "\x1b" not in text and "\nnot ok" not in text
