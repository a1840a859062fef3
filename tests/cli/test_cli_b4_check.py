# SPDX-License-Identifier: GPL-2.0-only
"""What ``b4-check`` answers, on stand-ins for kernels, and to b4 itself."""

import base64
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import fake_review
import pytest
from fake_review import mail, mailbox

from conformance.review import difference, judging_series

NFC = "Why.\n\nNo functional change intended."


def git(*words: str, given: str | None = None) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@invalid"]
    return subprocess.run(
        ["git", *who, *words], input=given, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture(autouse=True)
def reviewers(monkeypatch, tmp_path) -> Path:
    """A repository in which a reviewer runs b4, with the file that the patches change."""
    monkeypatch.setattr(judging_series, "open_kernel", fake_review.open_kernel)
    monkeypatch.setattr(difference, "compare", fake_review.compare)
    for name in ("B4_TRACKING_FILE", "CONFORMANCE_ONTO", "CONFORMANCE_TREE"):
        monkeypatch.delenv(name, raising=False)
    fake_review.opened.clear()
    place = tmp_path / "linux"
    (place / fake_review.FILE).parent.mkdir(parents=True)
    (place / fake_review.FILE).write_text("was\n")
    monkeypatch.chdir(place)
    git("init", "-q", "-b", "master")
    git("add", "-A")
    git("commit", "-qm", "base")
    return place


@pytest.fixture
def asked(cli):
    """Give ``b4-check`` a mail; its one answer and its exit status."""

    def call(content: str, *args: str):
        done = cli("b4-check", *args, given=content)
        (answer,) = json.loads(done.stdout)
        assert done.stderr == ""
        return answer, done.exit_code

    return call


@pytest.mark.parametrize(
    ("word", "message", "status", "exits", "summary"),
    [
        ("comment", NFC, "pass", 0, "No functional change. Proved, "),
        ("fold", "Why.", "pass", 0, "No functional change found. Not proved, "),
        (
            "hidden",
            NFC,
            "warn",
            0,
            "Nothing that it changes could be run: nothing is claimed. ",
        ),
        ("break", "Why.", "warn", 1, "Behaviour changes in break_spte()."),
        ("break", NFC, "fail", 1, 'Behaviour changes in break_spte(). The message says "No'),
        ("defect", NFC, "warn", 2, "Not judged: it does not compile"),
        ("stuck", NFC, "warn", 2, "Not judged: 6.1: patch the patch: hunk 1 does not apply"),
    ],
)
def test_answers(asked, word, message, status, exits, summary):
    answer, code = asked(mail("[PATCH] x", word, message), "--onto", "6.1")
    assert (answer["tool"], answer["status"], code) == ("conformance", status, exits)
    assert answer["summary"].startswith(summary) and "\n" not in answer["summary"]


@pytest.mark.parametrize(
    ("word", "message", "options", "status", "exits"),
    [
        ("export", NFC, [], "warn", 0),
        ("export", NFC, ["--strict"], "warn", 2),
        ("export", NFC, ["--fail-on", "uncovered"], "fail", 1),
        ("break", "Why.", ["--fail-on", "claims"], "warn", 0),
        ("crash", "Why.", ["--fail-on", "claims"], "fail", 1),
    ],
)
def test_fail_on_selects_what_fails(asked, word, message, options, status, exits):
    answer, code = asked(mail("[PATCH] x", word, message), "--onto", "6.1", *options)
    assert (answer["status"], code) == (status, exits)


def test_details_are_the_text_for_a_mail(asked):
    answer, _ = asked(mail("[PATCH] x", "break"), "--onto", "6.1")
    assert answer["details"].startswith("1 patch on 6.1 (9-1, gcc ") and "before  true\n" in answer["details"]
    again = "  b4 am -o- PATCHx@invalid | conformance patch - --onto 6.1 --only make_spte "
    assert again in answer["details"]


def test_other_files(asked):
    content = mail("[PATCH] x", "break").replace(fake_review.FILE, "drivers/net/tun.c")
    assert asked(content, "--onto", "6.1")[0]["status"] == "pass"


@pytest.mark.parametrize(
    ("content", "summary"),
    [
        ("", "The mail holds no patch."),
        ("words", "The mail holds no patch."),
        (mail("Re: [PATCH] x"), "The mail holds no patch."),
        (mail("[PATCH 0/2] cover"), "Of the series there is only this mail."),
    ],
)
def test_mails_without_a_patch(asked, content, summary):
    answer, status = asked(content, "--onto", "6.1")
    assert (answer["status"], status) == ("warn", 2)
    assert answer["summary"].startswith(f"Not judged: {summary}")


def test_the_configured_kernel(asked, monkeypatch):
    git("config", "conformance.onto", "6.12")
    asked(mail("[PATCH] x", "fold"))
    monkeypatch.setenv("CONFORMANCE_ONTO", "7.2")
    asked(mail("[PATCH] x", "fold"))
    asked(mail("[PATCH] x", "fold"), "--onto", "7.3")
    assert [selector for selector, _ in fake_review.opened[::2]] == ["6.12", "7.2", "7.3"]


def test_the_base_commit_in_a_tree(asked, reviewers, monkeypatch, tmp_path):
    head = git("rev-parse", "HEAD")
    content = mail("[PATCH] x", "fold", f"Why.\n\nbase-commit: {head}")
    asked(content)
    monkeypatch.chdir(tmp_path)
    asked(content, "--tree", str(reviewers))
    assert {selector for selector, _ in fake_review.opened} == {f"tree:{reviewers}@{head}"}


@pytest.mark.parametrize("commit", ["", "0" * 40, "--help", "HEAD"])
def test_a_base_commit_that_does_not_exist(asked, commit):
    answer, status = asked(mail("[PATCH] x", "fold", f"Why.\n\nbase-commit: {commit}"))
    assert (answer["status"], status) == ("warn", 2)
    assert "git config conformance.onto" in answer["summary"]


SERIES = [
    mail("[PATCH 0/2] cover"),
    mail("[PATCH 1/2] part 1", "comment"),
    mail("[PATCH 2/2] part 2", "fold"),
]


@pytest.fixture
def tracked(reviewers, monkeypatch, tmp_path):
    """The series as b4 tracks it."""
    blob = git("hash-object", "-w", "--stdin", given=mailbox(*SERIES))
    tracked = {"series": {"thread-blob": blob, "base-commit": git("rev-parse", "HEAD"), "expected": 2}}
    (tmp_path / "tracking.json").write_text(json.dumps(tracked))
    monkeypatch.setenv("B4_TRACKING_FILE", str(tmp_path / "tracking.json"))


def test_a_patch_goes_onto_those_before_it(asked, tracked, reviewers):
    answer, _ = asked(SERIES[2])
    assert answer["details"].startswith("1 patch on\n") and "fold_spte()" in answer["details"]
    assert "comment_spte()" not in answer["details"]
    assert [words for _, words in fake_review.opened] == [(), ("comment",), ("comment", "fold")]
    assert fake_review.opened[0][0] == f"tree:{reviewers}@{git('rev-parse', 'HEAD')}"


def test_one_mail_of_a_series_that_is_not_tracked(asked):
    answer, status = asked(mail("[PATCH v8 03/11] x", "fold"), "--onto", "6.1")
    assert (answer["status"], status) == ("pass", 0)
    assert "2 patches before it in the series, 1/11 first, not available" in " ".join(
        answer["details"].split()
    )


def test_the_claim_of_a_cover_letter(asked, monkeypatch, tmp_path):
    series = [
        mail("[PATCH 0/2] cover", message=NFC),
        mail("[PATCH 1/2] a", "comment"),
        mail("[PATCH 2/2] b", "break"),
    ]
    blob = git("hash-object", "-w", "--stdin", given=mailbox(*series))
    (tmp_path / "tracking.json").write_text(json.dumps({"series": {"thread-blob": blob}}))
    monkeypatch.setenv("B4_TRACKING_FILE", str(tmp_path / "tracking.json"))
    answer, status = asked(series[0], "--onto", "6.1")
    assert (answer["status"], status) == ("fail", 1)


@pytest.mark.parametrize(("content", "options"), [(SERIES[0], []), (SERIES[1], ["--series"])])
def test_the_whole_series(asked, tracked, content, options):
    answer, _ = asked(content, *options)
    assert "all 2 patches" in answer["details"]
    assert answer["tool"] == ("conformance series" if options else "conformance")


@pytest.mark.parametrize("damage", ["", "[]", '{"series": 3}', '{"series": {"thread-blob": "--help"}}'])
def test_a_damaged_tracking_file_is_ignored(asked, tracked, damage):
    Path(os.environ["B4_TRACKING_FILE"]).write_text(damage)
    assert asked(SERIES[1], "--onto", "6.1")[0]["status"] == "pass"


def test_a_patch_of_the_current_branch_goes_onto_those_before_it(asked, reviewers):
    git("commit", "-q", "--allow-empty", "-m", "EDITME: the cover letter of b4 prep")
    base = git("rev-parse", "HEAD")
    for word, subject in (("comment", "part 1"), ("fold", "part 2")):
        (reviewers / fake_review.FILE).write_text(f"{word}\n")
        git("commit", "-qam", subject)
    asked(SERIES[2])
    assert fake_review.opened == [
        (f"tree:{reviewers}@{base}", ()),
        (f"tree:{reviewers}@{base}", ("comment",)),
        (f"tree:{reviewers}@{base}", ("comment", "fold")),
    ]


@pytest.mark.parametrize(("word", "said"), [("fold", ""), ("hidden", "WARNING: "), ("break", "ERROR: ")])
def test_lines(cli, word, said):
    done = cli("b4-check", "--lines", "--onto", "6.1", given=mail("[PATCH] x", word, NFC))
    assert done.stderr == ""
    assert done.stdout.startswith(said) and done.stdout.count("\n") == bool(said)


B4 = (
    "import json, sys, email, email.policy, b4\n"
    "from b4.review import checks\n"
    "command, *files = sys.argv[1:]\n"
    "names = ('review-perpatch-check-cmd', 'review-series-check-cmd')\n"
    "b4.MAIN_CONFIG = dict(zip(names, (command, command + ' --series')))\n"
    "mails = [email.message_from_bytes(open(file, 'rb').read(), policy=b4.emlpolicy) for file in files]\n"
    "named = [(one['message-id'].strip('<>'), one) for one in mails]\n"
    "patch, series = checks.load_check_cmds()\n"
    "top = b4.git_get_toplevel()\n"
    "told = checks.run_perpatch_checks(named[1:], patch, top)\n"
    "print(json.dumps([*told.values(), checks.run_series_checks(named[0], series, top)]))\n"
)


@pytest.fixture(scope="session")
def b4(tmp_path_factory) -> list[str]:
    """The Python that has b4: this one, or one with a b4 that is installed for the tests."""
    with contextlib.suppress(ImportError):
        import b4  # noqa: F401

        return [sys.executable]
    if sys.version_info < (3, 11):
        pytest.skip("b4 needs Python 3.11")
    place = tmp_path_factory.mktemp("b4")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = str(place / "bin/python")
    subprocess.run([python, "-m", "pip", "install", "-q", "b4>=0.16"], check=True)
    return [python]


@pytest.fixture
def command(tmp_path) -> str:
    """b4-check as a program, with the stand-ins in it."""
    here = Path(__file__).parent
    program = tmp_path / "check"
    program.write_text(
        f"import sys\nsys.path[:0] = [{str(here)!r}, {str(here.parents[1])!r}]\nimport fake_review\n"
        "from conformance.review import difference, judging_series\n"
        "judging_series.open_kernel = fake_review.open_kernel\ndifference.compare = fake_review.compare\n"
        "from conformance.cli import main\nsys.argv.insert(1, 'b4-check')\nmain()\n"
    )
    return f"{sys.executable} {program}"


@pytest.mark.slow
@pytest.mark.network
def test_b4_reviews_with_it(b4, command, tracked, tmp_path):
    files = []
    for number, content in enumerate(SERIES):
        files.append(tmp_path / f"{number}.eml")
        # b4 hands the header over as it came and the body decoded; the two then contradict each other.
        encoded = content.replace("\n\n", "\nContent-Transfer-Encoding: base64\n\n", 1)
        head, _, body = encoded.partition("\n\n")
        files[-1].write_text(f"{head}\n\n{base64.encodebytes(body.encode()).decode()}")
    done = subprocess.run([*b4, "-c", B4, command, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two, series = json.loads(done.stdout)
    assert [answer["status"] for answer in (*one, *two, *series)] == ["pass", "pass", "pass"]
    assert one[0]["summary"].startswith("No functional change. Proved")
    assert two[0]["summary"].startswith("No functional change found.")
    assert series[0]["tool"] == "conformance series" and "all 2 patches" in series[0]["details"]


@pytest.mark.slow
@pytest.mark.network
def test_b4_prepares_with_it(b4, command, reviewers, monkeypatch, tmp_path):
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name, value in (("name", "a"), ("email", "a@invalid")):
        git("config", f"user.{name}", value)
    git("config", "b4.prep-perpatch-check-cmd", f"{command} --lines")
    tool = [*b4, "-m", "b4.command"]
    subprocess.run([*tool, "prep", "-n", "sample", "-f", "master"], check=True, capture_output=True)
    for word in ("comment", "break"):
        (reviewers / fake_review.FILE).write_text(f"{word}\n")
        git("commit", "-qam", f"KVM: x86/mmu: {word}\n\n{NFC}\n\nSigned-off-by: a <a@invalid>")
    done = subprocess.run([*tool, "prep", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Success: 1, Warning: 0, Error: 1" in done.stdout + done.stderr
    assert "ERROR: Behaviour changes in break_spte()." in done.stdout + done.stderr


def test_kcidb(asked, cli, tmp_path, monkeypatch):
    given = mail("[PATCH] x", "break")
    _, status = asked(given, "--onto", "6.1", "--kcidb", tmp_path / "k.json")
    (checkout,) = json.loads((tmp_path / "k.json").read_text())["checkouts"]
    assert status == 1 and checkout["message_id"] == "PATCHx@invalid"
    answer, status = asked(given, "--onto", "6.1", "--kcidb", "-")
    assert status == 2 and "--kcidb writes to a file here" in answer["summary"]
    answer, status = asked(given, "--onto", "6.1", "--kcidb", tmp_path / "no" / "k.json")
    assert status == 2 and "is not a directory" in answer["summary"]
    monkeypatch.setattr("conformance.reports.kcidb.path", lambda result: "no path")
    done = cli("b4-check", "--onto", "6.1", "--kcidb", tmp_path / "l.json", given=mail("[PATCH] x", "fold"))
    assert done.exit_code == 2 and json.loads(done.stdout)[0]["status"] == "pass"
    assert "The KCIDB document is invalid" in done.stderr and not (tmp_path / "l.json").exists()
