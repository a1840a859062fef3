# SPDX-License-Identifier: GPL-2.0-only
"""A Maildir with three series for a real 6.1: one changes behaviour, one does not, one is foreign."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from planting import patch_between

from conformance.kernels import open_kernel

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SPTE_H = "arch/x86/kvm/mmu/spte.h"
HEAD = "static inline bool is_large_pte(u64 pte)"
BODY = "return pte & PT_PAGE_SIZE_MASK;"
COMMENT = f"/* Whether the PTE maps more than one page. */\n{HEAD}"
NFC = "No functional change intended."
FOREIGN = "--- a/net/core/dev.c\n+++ b/net/core/dev.c\n@@ -1 +1 @@\n-was\n+is\n"


def watch(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "conformance", "watch", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def maildir(tmp_path) -> Path:
    """The Maildir, with a patch that breaks its promise, two that keep theirs, and a foreign one."""
    source = (open_kernel("6.1").root / "src" / SPTE_H).read_text()
    commented = source.replace(HEAD, COMMENT)
    steps = {
        "[PATCH] KVM: x86/mmu: Simplify": (source, source.replace(BODY, "return pte & PT_WRITABLE_MASK;")),
        "[PATCH 1/2] KVM: x86/mmu: Comment": (source, commented),
        "[PATCH 2/2] KVM: x86/mmu: Normalize": (
            commented,
            commented.replace(BODY, "return !!(pte & PT_PAGE_SIZE_MASK);"),
        ),
    }
    for name in ("new", "cur", "tmp"):
        (tmp_path / "list" / name).mkdir(parents=True)
    diffs = {name: patch_between(SPTE_H, *texts, tmp_path).read_text() for name, texts in steps.items()}
    for number, (subject, diff) in enumerate({**diffs, "[PATCH] net: Other": FOREIGN}.items()):
        (tmp_path / "list" / "new" / f"{number}.host").write_text(
            f"From: a <a@invalid>\nSubject: {subject}\nMessage-ID: <{number}@invalid>\n"
            f"Date: Mon, 30 Nov 2026 10:0{number}:00 +0000\n\nWhy.\n\n{NFC}\n---\n{diff}"
        )
    return tmp_path / "list"


def test_three_series(maildir, tmp_path):
    out = tmp_path / "out"
    words = (maildir, "--onto", "6.1", "--out", out, "--once", "--budget", "1")
    done = watch(*words)
    assert done.returncode == 1, done.stderr
    found = json.loads((out / "index.json").read_text())["series"]
    assert {one["title"]: one["outcome"] for one in found} == {
        "KVM: x86/mmu: Simplify": "says that nothing changes, and changes behaviour",
        "KVM: x86/mmu: Comment": "no functional change, proved",
        "net: Other": "nothing here concerns the MMU",
    }
    broken = next(one for one in found if one["status"] == 1)
    assert "is_large_pte()" in broken["reply"]
    assert (
        f"{broken['report']}.mbox --onto 6.1 --only is_large_pte"
        in (out / f"{broken['report']}.txt").read_text()
    )
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.txt")}
    assert watch(*words).returncode == 1  # Nothing is judged again.
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.txt")} == before
