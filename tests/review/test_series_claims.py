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
        "No logical change intended.",
        "No functional modifications intended.",
        "No impact on functionality.",
        "This should not result in any functional change.",
        "This patch is intended to be NFC.",
        "No functional changed intended",
        "No true functional change intended",
        "No function change",
        "No function change intended.",
        "no functional changes",
        "No functional change (intended).",
        "no intended functional change",
        "Not intended to change functionality",
        "no change in functionality is intended",
        "no behavior change intended",
        "No behavioural changes.",
        "No functonal change intented.",
        "No fucntional chnages intended.",
        "No semantic change.",
        "This is not intended to change functionality.",
        "The patch isn't intended to change behavior.",
        "This patch should not change KVM's behavior.",
        "No functional or behavioral change intended.",
        "No functional/behavioral change.",
        "There should be no functional change.",
        "Clean it up, no functional change intended.",
        "Move it without any functional change.",
        "Rename foo to bar (no functional change).",
        "No functionality change intended.",
        "No changes in behavior.",
        "No change in behaviour is intended.",
        "No user-visible functional change.",
        "No real functional change intended, just a rename.",
        "This patch is NFC.",
        "No functional impact.",
        "No change is intended.",
        "No actual functional change.",
        "No functionality is changed.",
        "This is not intended to have any functional change.",
        "No functional change intended (barring bugs).",
        "Should be NFC; NFC intended.",
        "No functional change was intended.",
        "No functional change intended, obviously.",
        "Purely NFC.",
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
        "KVM does not change behavior here",
        "KVM is not supposed to change behavior here.",
        "> No functional change intended",
        "> NFC",
        'Fixes: 0123456789ab ("KVM: Rename it, NFC")',
        "Link: https://invalid/NFC",
        "this is not a NFC patch",
        "while no functional change was intended, commit 0123456789ab broke it.",
        'Commit 0123456789ab ("KVM: x86: Rename, NFC") broke this.',
        "Although no functional change was intended, it broke.",
        "No functional change intended?",
        "No function changes its signature.",
        'The commit said "No functional change intended." but that is wrong.',
        "    /* No functional change intended */",
        "Mostly NFC.",
        "An NFC patch follows.",
        "The NFC controller is reset.",
        "NFC: pn533: fix a leak",
        "This is a functional change, not NFC.",
        "The guest does not change behavior.",
        "No function changed by the host is called.",
        "If no functional change is intended, say so.",
        "Not a no functional change patch.",
        "There is no functionality here.",
        "This has no effect.",
        "No change.",
        "`NFC`",
        "+ /* NFC */",
        "No functional change intended in commit 0123456789ab, which broke the guest.",
    ],
)
def test_no_promise(text):
    assert claim_of("KVM: x86/mmu: Fix it", text) is None


def test_a_promise_among_quotes():
    assert claim_of("x", "> NFC\n\nNo functional change intended.\n\n> Really?") == Claim(
        "No functional change intended."
    )
    assert claim_of('Revert "KVM: x86: Rename it, NFC"', "It broke.") is None


def test_a_promise_in_a_list():
    assert claim_of("x", "Do:\n - this\n - No functional change intended\n - that") is not None


def test_a_long_message_is_read_in_one_pass():
    for words in (
        "not NFC ",
        "no functional ",
        "commit 0123456789 ",
        '"',
        "> ",
        "`",
        "while no ",
        "Fixes: x\n ",
    ):
        assert claim_of("x", words * 200_000) is None


def test_a_promise_in_the_subject():
    assert claim_of("KVM: x86/mmu: Rename it, NFC", "Why.") == Claim("KVM: x86/mmu: Rename it, NFC")
    assert claim_of("KVM: x86/mmu: NFC: Rename it", "Why.") == Claim("KVM: x86/mmu: NFC: Rename it")
    assert claim_of("NFC: pn533: Fix a leak", "Why.") is None


@pytest.mark.parametrize("exception", ["other than the WARN", "except for TDX", "aside from the name"])
def test_a_promise_with_an_exception(exception):
    told = claim_of("x", f"First. No functional change intended {exception}. Last.")
    assert told == Claim(f"No functional change intended {exception}.", excepted=True)


def test_what_a_later_sentence_excepts_is_none_of_the_promise():
    assert claim_of("x", "No functional change intended. Tested except on AMD.") == Claim(
        "No functional change intended."
    )
