# SPDX-License-Identifier: GPL-2.0-only
"""Stands in for kernels and their comparison, so that patch and b4-check are tested without either.

What a patch changes is said by a word in its diff, as a real one would by its code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from conformance.differential.verdict import Counterexample
from conformance.errors import ConformanceError
from conformance.kernels import Kernel
from conformance.review import FunctionReview, Review, Standing
from conformance.review.review import ScopeReview

FILE = "arch/x86/kvm/mmu/spte.h"
WORDS = {
    "comment": Standing.SAME_CODE,
    "fold": Standing.UNSEEN,
    "prove": Standing.EQUIVALENT,
    "break": Standing.DIFFERS,
    "hidden": Standing.UNCOVERED,
    "unseen": Standing.UNOBSERVED,
    "crash": Standing.DIFFERS,
    "undo": Standing.DIFFERS,
}
AGAIN = "conformance diff --only make_spte --mode npt --case 0x1"

opened: list[tuple[str, tuple[str, ...]]] = []
plans: list[object] = []


def diff(word: str, file: str = FILE) -> str:
    """A diff whose effect is that of the word."""
    return f"--- a/{file}\n+++ b/{file}\n@@ -1 +1 @@\n-was\n+{word}\n"


def mail(subject: str, word: str = "", message: str = "Why.") -> str:
    """A mail with such a diff, or a cover letter."""
    body = f"{message}\n---\n{diff(word)}" if word else f"{message}\n"
    own = re.sub(r"\W", "", subject)
    return f"From: a <a@invalid>\nSubject: {subject}\nMessage-Id: <{own}@invalid>\n\n{body}"


def mailbox(*mails: str) -> str:
    """An mbox."""
    return "".join(f"From 0123 Mon Sep 17 00:00:00 2001\n{one}\n" for one in mails)


def open_kernel(
    selector: str, patches: Sequence[Path] = (), *, progress: object, idle: bool = False
) -> Kernel:
    """A kernel that is nothing but the words of its patches."""
    words = tuple(re.findall(r"^\+(\w+)$", path.read_text(), re.MULTILINE)[0] for path in patches)
    if "stuck" in words:
        raise ConformanceError(f"{selector}: patch {patches[-1].name}: hunk 1 does not apply to {FILE}")
    opened.append((selector, words))
    return Kernel(selector, selector, None, "9-1", (6, 1), None, Path(), fingerprint=" ".join(words))


def compare(before: Kernel, after: Kernel, plan: object, progress: object) -> Review:
    """What the patches between two kernels change."""
    plans.append(plan)
    known = before.fingerprint.split()
    new = after.fingerprint.split()[len(known) :]
    if "defect" in new:
        raise ConformanceError("it does not compile")
    differs = Counterexample({"spte": 1}, {}, {"returns": "true"}, {"returns": "false"}, AGAIN)
    crash = replace(differs, kernel={"answer": "true"}, model={"answer": "did not come: SIGSEGV"})
    found = {"break": differs, "crash": crash}
    functions = [
        FunctionReview(f"{word}_spte", FILE, WORDS[word], cases=512, difference=found.get(word))
        for word in new
        if word in WORDS
    ]
    scope = [ScopeReview(f"EXPORT_SYMBOL_GPL({word})", FILE) for word in new if word == "export"]
    undone = ['It undoes 0123456 ("A fix").' for word in new if word == "undo"]
    titles = f"{before.title} (9-1)", f"{after.title} (9-1)"
    return Review(*titles, tuple(functions), scope=tuple(scope), undone=tuple(undone))
