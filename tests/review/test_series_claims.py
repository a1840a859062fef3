# SPDX-License-Identifier: GPL-2.0-only
"""Which commit messages promise to change nothing, and which only speak of it."""

import pytest

from conformance.review.claims import Claim, claim_of


@pytest.mark.parametrize(
    "sentence",
    [
        "No functional change intended.",
        "No functional changes intended.",
        "no functional change",
        "No functional change is intended.",
        "No functional\nchange intended.",
        "No intended functional change.",
        "No functional difference.",
        "No behavioral change intended.",
        "No behaviour changes.",
        "No change in functionality intended.",
        "No changes to behavior.",
        "This does not change any functionality.",
        "NFC",
        "NFC.",
        "NFCI.",
        "Rename it (NFC).",
    ],
)
def test_a_promise(sentence):
    told = claim_of("KVM: x86/mmu: Rename it", f"It was misleading.\n\n{sentence}\n\nSigned-off-by: a")
    assert told == Claim(" ".join(sentence.split()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Fix it.",
        "This is a functional change.",
        "This is not NFC.",
        "This isn't an NFC patch.",
        "A non-NFC follow-up comes later.",
        "It talks over nfc.",
        "No functional tests exist.",
        "Not all functional changes are bad.",
    ],
)
def test_no_promise(text):
    assert claim_of("KVM: x86/mmu: Fix it", text) is None


def test_a_promise_in_the_subject():
    assert claim_of("KVM: x86/mmu: Rename it, NFC", "Why.") == Claim("KVM: x86/mmu: Rename it, NFC")


@pytest.mark.parametrize("exception", ["other than the WARN", "except for TDX", "aside from the name"])
def test_a_promise_with_an_exception(exception):
    told = claim_of("x", f"First. No functional change intended {exception}. Last.")
    assert told == Claim(f"No functional change intended {exception}.", excepted=True)


def test_what_a_later_sentence_excepts_is_none_of_the_promise():
    assert claim_of("x", "No functional change intended. Tested except on AMD.") == Claim(
        "No functional change intended."
    )
