# SPDX-License-Identifier: GPL-2.0-only
"""A series on a real 6.1: comment and refactoring are proved alike, a broken promise is found, with input."""

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
STEPS = [
    ("Comment on it", HEAD, f"/* Whether the PTE maps more than one page. */\n{HEAD}"),
    ("Normalize it", BODY, "return !!(pte & PT_PAGE_SIZE_MASK);"),
    ("Simplify it", "return !!(pte & PT_PAGE_SIZE_MASK);", "return pte & PT_WRITABLE_MASK;"),
]


def patch(series: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "conformance", "patch", str(series), "--onto", "6.1", *options]
    return subprocess.run(words, capture_output=True, text=True)


@pytest.fixture
def series(tmp_path) -> Path:
    """Three patches that all say that nothing changes, from the source as it is prepared."""
    source = (open_kernel("6.1").root / "src" / SPTE_H).read_text()
    mails = []
    for number, (subject, old, new) in enumerate(STEPS, 1):
        assert source.count(old) == 1
        changed = source.replace(old, new)
        diff = patch_between(SPTE_H, source, changed, tmp_path).read_text()
        mails.append(
            "From 0123 Mon Sep 17 00:00:00 2001\nFrom: a <a@invalid>\n"
            f"Subject: [PATCH {number}/{len(STEPS)}] KVM: x86/mmu: {subject}\n\n"
            f"Why.\n\nNo functional change intended.\n---\n{diff}\n"
        )
        source = changed
    file = tmp_path / "series.mbox"
    file.write_text("".join(mails))
    return file


def test_promises_kept_and_broken(series):
    done = patch(series, "--json", "-", "--budget", "2")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert [one["outcome"] for one in told["patches"]] == ["PROVED", "PROVED", "BROKEN"]
    assert told["whole"]["outcome"] == "BROKEN"
    functions = {one["name"]: one for one in told["patches"][2]["review"]["functions"]}
    differing = functions["is_large_pte"]
    assert differing["standing"] == "DIFFERS"
    (word,) = (int(text, 16) for text in differing["difference"]["inputs"].values())
    assert bool(word & 1 << 7) != bool(word & 1 << 1)
    again = differing["difference"]["again"]
    assert again.startswith(f"conformance patch {series} --onto 6.1 --only is_large_pte ")
    once_more = patch(series, *again.split()[5:], "--json", "-")
    assert once_more.returncode == 1, once_more.stderr
    functions = json.loads(once_more.stdout)["patches"][2]["review"]["functions"]
    assert [one["name"] for one in functions if one["standing"] == "DIFFERS"] == ["is_large_pte"]


@pytest.mark.parametrize(("old", "new"), [("i/", "w/"), ("", ""), ("linux-6.1.orig/", "linux-6.1/")])
def test_a_change_is_found_whatever_stands_before_the_names(tmp_path, old, new):
    source = (open_kernel("6.1").root / "src" / SPTE_H).read_text()
    diff = patch_between(SPTE_H, source, source.replace(BODY, STEPS[2][2]), tmp_path)
    diff.write_text(
        diff.read_text().replace(f"a/{SPTE_H}", old + SPTE_H).replace(f"b/{SPTE_H}", new + SPTE_H)
    )
    only = ("--only", "is_large_pte", "--budget", "2")
    assert patch(diff, *only).returncode == 1
    words = [sys.executable, "-m", "conformance", "run", "--patch", str(diff), "--engine", "bulk", *only]
    assert subprocess.run(words, capture_output=True).returncode == 1


def test_fuzz_on_a_kernel_is_said_in_the_result(tmp_path):
    source = (open_kernel("6.1").root / "src" / SPTE_H).read_text()
    at = source.index(BODY)
    line = source[:at].count("\n")
    around = source.splitlines(True)
    moved = "".join([*around[: line - 3], "/* not there */\n", *around[line - 2 :]])
    diff = patch_between(SPTE_H, moved, moved.replace(BODY, STEPS[2][2]), tmp_path)
    words = [sys.executable, "-m", "conformance", "run", "--patch", str(diff), "--only", "is_large_pte"]
    words += ["--engine", "bulk", "--budget", "2", "--json", "-"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    (note,) = json.loads(done.stdout)["kernels"][0]["notes"]
    assert f"of {SPTE_H} applied with fuzz" in note
    done = subprocess.run([*words, "--fuzz", "0"], capture_output=True, text=True)
    assert done.returncode == 2 and f"hunk 1 does not apply to {SPTE_H}" in done.stderr
