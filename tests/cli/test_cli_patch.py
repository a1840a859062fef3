# SPDX-License-Identifier: GPL-2.0-only
"""The input, output and exit status of ``patch``. The kernels are stand-ins; `-m kernel` has real ones."""

import json
import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import fake_review
import pytest
from fake_review import diff, mail, mailbox

from conformance.cli import run
from conformance.differential.properties import PROPERTIES
from conformance.kernels.compilers import chosen
from conformance.review import difference, judging_series

NFC = "Why.\n\nNo functional change intended."


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setattr(judging_series, "open_kernel", fake_review.open_kernel)
    monkeypatch.setattr(difference, "compare", fake_review.compare)
    fake_review.opened.clear()
    fake_review.plans.clear()


@pytest.fixture
def patched(cli, tmp_path):
    """Run ``patch`` on a file with this content."""

    def call(content: str | bytes, *args: str, name: str = "a.mbox"):
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return cli("patch", file, *args)

    return call


def test_a_claim_that_holds_has_a_sentence_for_a_reply(patched):
    done = patched(mail("[PATCH] KVM: x86/mmu: Comment", "comment", NFC))
    assert done.exit_code == 0
    assert done.stdout == (
        f"1 patch on 6.1 (9-1, {chosen().short})\n"
        "\n"
        "KVM: x86/mmu: Comment\n"
        "    no functional change, proved, as the message says\n"
        "\n"
        "    proved, machine code equal:\n"
        "        comment_spte()\n"
        "\n"
        "    for a reply:\n"
        "    No functional change. Proved, machine code equal: comment_spte().\n"
    )


def test_unproved_equivalence_is_never_called_proved(patched):
    done = patched(mail("[PATCH] x", "fold", NFC))
    assert done.exit_code == 0
    assert "No functional change found. Not proved, but no difference found:\n" in done.stdout
    assert "fold_spte() in 512 cases." in done.stdout
    assert "change, proved" not in done.stdout


def test_a_claim_that_does_not_hold(patched, tmp_path):
    done = patched(mail("[PATCH] x", "break", NFC))
    assert done.exit_code == 1
    assert "says that nothing changes, and changes behaviour\n" in done.stdout
    assert 'The message says "No functional\n    change intended."' in done.stdout
    assert "before  true\n" in done.stdout and "after   false\n" in done.stdout
    again = f"conformance patch {tmp_path / 'a.mbox'} --onto 6.1 --only make_spte --mode npt --case 0x1\n"
    assert again in done.stdout


def test_code_that_nothing_executes_is_reported(patched):
    done = patched(mail("[PATCH] x", "hidden", NFC))
    assert done.exit_code == 0
    assert "nothing that it changes could be run: nothing is claimed" in done.stdout
    assert "No functional change." not in done.stdout


@pytest.mark.parametrize(
    ("word", "message", "changes", "claims", "uncovered", "strict"),
    [
        ("comment", NFC, 0, 0, 0, 0),
        ("fold", NFC, 0, 0, 0, 0),
        ("hidden", NFC, 0, 0, 1, 2),
        ("unseen", NFC, 0, 0, 1, 2),
        ("export", NFC, 0, 0, 1, 2),
        ("break", "Why.", 1, 0, 1, 1),
        ("break", NFC, 1, 1, 1, 1),
        ("crash", "Why.", 1, 1, 1, 1),
        ("undo", "Why.", 1, 1, 1, 1),
        ("defect", NFC, 2, 2, 2, 2),
    ],
)
def test_fail_on_selects_what_fails(patched, tmp_path, word, message, changes, claims, uncovered, strict):
    content = mail("[PATCH] x", word, message)
    expected = {"--fail-on=changes": changes, "--fail-on=claims": claims, "--fail-on=uncovered": uncovered}
    for option, status in {**expected, "--strict": strict}.items():
        done = patched(content, option, "--junit", str(tmp_path / "j"), "--ktap", str(tmp_path / "k"))
        assert (option, done.exit_code) == (option, status)
        cases = ET.parse(tmp_path / "j").getroot()
        failed = cases.findall(".//failure"), cases.findall(".//error")
        assert [bool(one) for one in failed] == [status == 1, status == 2]
        assert ("not ok" in (tmp_path / "k").read_text()) == bool(status)


def test_a_patch_that_nothing_looks_at_is_not_called_unconcerned(patched):
    done = patched(mail("[PATCH] x", "export", NFC))
    assert "    changed, but nothing here looks at it\n" in done.stdout
    assert "        EXPORT_SYMBOL_GPL(export) in mmu/spte.h\n" in done.stdout
    assert "as the message says" not in done.stdout and "concerns" not in done.stdout


def test_each_patch_is_shown_in_order_before_the_next_is_known(patched, monkeypatch):
    shown = []
    real = fake_review.compare

    def compare(before, after, plan, progress):
        if before.fingerprint == "comment":
            assert "1/2 part 1" in "".join(shown)
        return real(before, after, plan, progress)

    def print_part(text, stream):
        shown.append(text)
        return 0

    monkeypatch.setattr(difference, "compare", compare)
    monkeypatch.setattr(run, "print_part", print_part)
    one, two = (mail(f"[PATCH {n}/2] part {n}", word) for n, word in ((1, "comment"), (2, "break")))
    assert patched(mailbox(two, one), "--jobs", "1").exit_code == 1
    assert [text.strip().splitlines()[0] for text in shown] == [
        f"2 patches on 6.1 (9-1, {chosen().short})",
        "1/2 part 1",
        "2/2 part 2",
        "all 2 patches",
    ]


def test_a_series_in_any_order_and_the_whole(patched):
    cover = mail("[PATCH 0/2] cover")
    one, two = (mail(f"[PATCH {n}/2] part {n}", word) for n, word in ((1, "comment"), (2, "break")))
    done = patched(mailbox(two, cover, one))
    assert done.exit_code == 1
    places = [done.stdout.index(text) for text in ("1/2 part 1", "2/2 part 2", "all 2 patches")]
    assert places == sorted(places)
    assert fake_review.opened[-1] == ("6.1", ("comment", "break"))


@pytest.mark.parametrize("content", [mail("[PATCH] x", "fold"), diff("fold")])
def test_stdin(process, content):
    code = (
        "import sys; sys.path.insert(0, 'tests/cli'); import fake_review\n"
        "from conformance.review import difference, judging_series\n"
        "judging_series.open_kernel = fake_review.open_kernel; difference.compare = fake_review.compare\n"
        "from conformance.cli import main; main()\n"
    )
    root = Path(__file__).parents[2]
    done = process("patch", "-", "--onto", "6.12", code=code, cwd=root, input=content)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    assert done.stdout.startswith("1 patch on 6.12 (9-1, gcc ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no patch"),
        (b"words\r\nmore\nwords", "is no patch"),
        (b"\x00\xff\x80", "is no patch"),
        (b"@@ -1 +1 @@\n-a\n+b\n", "no hunk in it says to which file"),
        (mail("[PATCH 1/1] x").encode(), "does not hold a unified diff"),
        (mail("[PATCH] x", "stuck").encode(), "hunk 1 does not apply to"),
    ],
)
def test_an_unjudged_patch_is_one_sentence(patched, content, said):
    done = patched(content)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_one_mail_of_a_series_is_judged_alone_and_said_to_be(patched):
    done = patched(mail("[PATCH 6.12 123/456] x", "fold"), "--json", "-")
    assert done.exit_code == 0
    written = json.loads(done.stdout)
    assert [one["outcome"] for one in written["patches"]] == ["KEPT"]
    assert (
        "1/456, 2/456, 3/456, 4/456, 5/456 and 450 more of the series were not given" in written["notes"][0]
    )
    done = patched(mailbox(mail("[PATCH 3/3] z", "fold"), mail("[PATCH 1/3] x", "comment")))
    assert done.exit_code == 0 and "2/3 of the series was not given" in " ".join(done.stdout.split())


@pytest.mark.parametrize(("old", "new"), [("i/", "w/"), ("", ""), ("linux.orig/", "linux/")])
def test_other_prefixes_name_the_same_file(patched, old, new):
    text = diff("break").replace("--- a/", f"--- {old}").replace("+++ b/", f"+++ {new}")
    assert patched(text).exit_code == 1


def test_commits_of_a_tree(cli, tmp_path, monkeypatch):
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@invalid", "-C", tmp_path]
        return subprocess.run(
            ["git", *who, *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "-q")
    (tmp_path / fake_review.FILE).parent.mkdir(parents=True)
    for word in ("was", "comment", "break"):
        (tmp_path / fake_review.FILE).write_text(f"{word}\n")
        git("add", "-A")
        git("commit", "-qm", f"KVM: {word}\n\n{NFC}")
        git("tag", word)
    base = git("rev-parse", "was")[:12]
    for words in (("was..break", "--onto", f"tree:{tmp_path}"), ("was..break",)):
        fake_review.opened.clear()
        done = cli("patch", *words, "--json", "-")
        assert done.exit_code == 1, done.stderr
        written = json.loads(done.stdout)
        assert [one["outcome"] for one in written["patches"]] == ["PROVED", "BROKEN"]
        selector = f"tree:{tmp_path}@{base}" if len(words) > 1 else f"tree:.@{base}"
        assert fake_review.opened[-1] == (selector, ("comment", "break"))
        monkeypatch.chdir(tmp_path)
    assert f"conformance patch was..break --onto tree:.@{base} --only make_spte" in done.stdout
    done = cli("patch", "comment")
    assert done.exit_code == 0 and "KVM: comment" in done.stdout
    done = cli("patch", "nonsense")
    assert (done.exit_code, done.stdout) == (2, "") and "neither a file nor commits" in done.stderr


def test_fuzz_reaches_what_applies_patches(patched, monkeypatch):
    seen = []
    original = fake_review.open_kernel
    monkeypatch.setattr(
        judging_series,
        "open_kernel",
        lambda *a, **k: seen.append(os.environ["CONFORMANCE_FUZZ"]) or original(*a, **k),
    )
    monkeypatch.delenv("CONFORMANCE_FUZZ", raising=False)
    assert patched(diff("fold")).exit_code == 0
    assert patched(diff("fold"), "--fuzz", "0").exit_code == 0
    monkeypatch.setenv("CONFORMANCE_FUZZ", "1")
    assert patched(diff("fold")).exit_code == 0
    assert seen == ["2", "2", "0", "0", "1", "1"]
    assert os.environ["CONFORMANCE_FUZZ"] == "1"
    for wrong in ("3", "-1", "x"):
        assert patched(diff("fold"), "--fuzz", wrong).exit_code == 2


def test_files_that_cannot_be_read(cli, tmp_path):
    for name in (tmp_path, tmp_path / "missing"):
        done = cli("patch", name)
        assert done.exit_code == 2 and str(name) in done.stderr
    assert cli("patch").exit_code == 2


def test_a_patch_that_does_not_compile(patched):
    done = patched(mail("[PATCH] x", "defect"))
    assert done.exit_code == 2
    assert "could not be judged\n    it does not compile\n" in done.stdout


def test_other_files(patched):
    done = patched(diff("break", "drivers/net/tun.c"))
    assert done.exit_code == 0
    assert "nothing here concerns the MMU" in done.stdout
    assert fake_review.opened == []


def test_mixed_line_endings(patched):
    assert patched(mail("[PATCH] x", "fold").replace("\n", "\r\n", 5)).exit_code == 0


def test_the_plan(patched):
    words = ",".join(["0x1"] * len(PROPERTIES["make_spte"].takes))
    options = ["--only", "make_spte", "--mode", "npt", "--budget", "2", "--seed", "7", "--case", words]
    assert patched(diff("fold"), *options).exit_code == 0
    plan = fake_review.plans[0]
    assert (plan.only, plan.modes, plan.budget, plan.seed) == (("make_spte",), ("npt",), 2.0, 7)
    assert set(plan.case) == {1}
    assert patched(diff("fold"), "--case", "0x1").exit_code == 2
    done = patched(diff("idle"), "--only", "make_spte")
    assert done.exit_code == 2 and "No property of --only executes" in done.stdout
    assert patched(diff("idle")).exit_code == 0
    done = patched(diff("fold"), "--mode", "nonsense")
    assert (done.exit_code, done.stdout) == (2, "") and "no mode nonsense" in done.stderr


def test_formats(patched, tmp_path):
    done = patched(mail("[PATCH] x", "break"), "--mail", str(tmp_path / "m"), "--sarif", "-")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["runs"][0]["results"][0]["ruleId"] == "behaviour-differs"
    assert "behaviour changes" in done.stderr
    assert (tmp_path / "m").read_text().startswith("1 patch on 6.1 (9-1, gcc ")
    done = patched(mail("[PATCH] x", "fold", NFC), "--json", "-")
    written = json.loads(done.stdout)
    (one,) = written["patches"]
    assert (one["outcome"], one["claim"], written["whole"]) == (
        "KEPT",
        "No functional change intended.",
        None,
    )
    assert one["review"]["functions"][0]["standing"] == "UNSEEN"
    assert patched(diff("fold"), "--mail", "-", "--sarif", "-").exit_code == 2


def test_kcidb_has_the_patches(patched, tmp_path):
    series = mailbox(mail("[PATCH 1/2] a", "fold"), mail("[PATCH 2/2] b", "break"))
    assert patched(series, "--kcidb", tmp_path / "k.json").exit_code == 1
    document = json.loads((tmp_path / "k.json").read_text())
    ids = [one.get("message_id") for one in document["checkouts"]]
    assert ids == ["PATCH12a@invalid", "PATCH22b@invalid", None]
    assert len({one["patchset_hash"] for one in document["checkouts"]}) == 2
    assert [one["status"] for one in document["tests"] if one["path"] == "kvm.mmu.review"] == [
        "PASS",
        "FAIL",
        "FAIL",
    ]
