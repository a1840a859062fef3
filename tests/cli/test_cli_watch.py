# SPDX-License-Identifier: GPL-2.0-only
"""``watch``: what is judged, once, what the summary says, and the exit status. The kernels are stand-ins."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from html.parser import HTMLParser
from pathlib import Path

import fake_review
import pytest
from fake_review import diff, mail, mailbox
from filelock import FileLock

import conformance.kernels as kernels
from conformance.cli import watch as module
from conformance.errors import ConformanceError, DoesNotApply, KernelCodeDied
from conformance.kernels.mails import read_mails
from conformance.review import difference, judging_series

NFC = "Why.\n\nNo functional change intended."


def open_kernel(selector, patches=(), *, progress, idle=False):
    if any("+elsewhere\n" in path.read_text() for path in patches):
        raise DoesNotApply(f"{selector}: patch {patches[-1].name} does not apply")
    if not all(path.read_text().rpartition("@@\n")[2].count("+") for path in patches):
        raise ConformanceError("hunk 1 is cut off")
    if any("+full\n" in path.read_text() for path in patches):
        raise ConformanceError("the disk is full")
    if any("+dies\n" in path.read_text() for path in patches):
        raise KernelCodeDied("crashes")
    return fake_review.open_kernel(selector, patches, progress=progress, idle=idle)


@pytest.fixture(autouse=True)
def fakes(monkeypatch, tmp_path):
    monkeypatch.setattr(judging_series, "open_kernel", open_kernel)
    monkeypatch.setattr(kernels, "open_kernel", open_kernel)
    monkeypatch.setattr(difference, "compare", fake_review.compare)
    monkeypatch.chdir(tmp_path)
    fake_review.opened.clear()
    fake_review.plans.clear()


@pytest.fixture
def box(tmp_path) -> Path:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "list" / name).mkdir(parents=True)
    return tmp_path / "list"


def put(box: Path, *mails: str) -> None:
    for one in mails:
        (box / "new" / f"{time.time_ns()}.{len(list((box / 'new').iterdir()))}.host").write_text(one)


@pytest.fixture
def watch(cli, box):
    return lambda *words, source="list", **given: cli("watch", source, "--onto", "6.1", *words, **given)


def index(out: Path = Path("conformance-watch")) -> dict:
    found = json.loads((out / "index.json").read_text())
    page = (out / "index.html").read_text()
    HTMLParser().feed(page)
    for one in found["series"]:
        assert all((out / f"{one['report']}.{kind}").is_file() for kind in ("txt", "json", "mbox"))
        assert f'href="{one["report"]}.txt"' in page
    return found


def outcomes(found: dict) -> dict[str, str]:
    return {one["title"]: one["outcome"] for one in found["series"]}


def test_each_series_is_judged_once(watch, box):
    put(
        box,
        mail("[PATCH 2/2] b", "fold"),
        mail("[PATCH 1/2] a", "comment", NFC),
        mail("[PATCH] <c>", "prove"),
    )
    put(box, mail("[PATCH 0/2] whole"), mail("Re: [PATCH 1/2] a", "break"), mail("[ANNOUNCE] x"))
    before = sorted((str(path), path.stat().st_mtime_ns) for path in box.rglob("*"))
    done = watch("--once")
    assert done.exit_code == 0, done.stderr
    found = index()
    assert outcomes(found) == {"whole": "no functional change found", "<c>": "no functional change, proved"}
    assert [one["patches"] for one in found["series"]] == [1, 2] or found["others"] == 2
    assert "<c>" not in Path("conformance-watch/index.html").read_text()
    assert len(fake_review.plans) == 4  # Two patches and the whole, and one patch.
    assert sorted((str(path), path.stat().st_mtime_ns) for path in box.rglob("*")) == before
    again = watch("--once")
    assert again.exit_code == 0 and len(fake_review.plans) == 4
    assert "2 series judged; the base is 6.1; 2 mails are no patches" in again.stdout


def test_the_report_is_that_of_patch_and_can_be_repeated(watch, cli, box):
    put(box, mail("[PATCH] x", "break", "From here on it changes.\n\n" + NFC))
    assert watch("--once", "--out", "out").exit_code == 1
    (one,) = index(Path("out"))["series"]
    assert one["outcome"] == "says that nothing changes, and changes behaviour" and one["status"] == 1
    assert one["message_id"] == "PATCHx@invalid" and one["sender"] == "a@invalid"
    text = Path("out", f"{one['report']}.txt").read_text()
    mbox = Path("out", f"{one['report']}.mbox").resolve()
    assert f"conformance patch {mbox} --onto 6.1 --only make_spte" in text
    assert json.loads(Path("out", f"{one['report']}.json").read_text())["patches"][0]["outcome"] == "BROKEN"
    (kept,) = read_mails(mbox.read_bytes())
    assert kept.diff.decode() == diff("break") + "\n" and kept.message_id == one["message_id"]
    assert cli("patch", mbox, "--onto", "6.1").exit_code == 1


@pytest.mark.parametrize(
    ("words", "outcome", "status"),
    [
        (["comment"], "no functional change, proved", 0),
        (["hidden"], "nothing that it changes could be run: nothing is claimed", 0),
        (["break"], "behaviour changes", 1),
        (["defect"], "could not be judged", 2),
        (["elsewhere"], "does not apply", 2),
        (["comment", "elsewhere"], "does not apply", 2),
        (["break", "elsewhere"], "behaviour changes", 1),
        (["dies"], "kernel code crashes, before it could be compared", 1),
    ],
)
def test_outcome_and_status(watch, box, words, outcome, status):
    of = len(words)
    put(box, *(mail(f"[PATCH {n}/{of}] {word}", word) for n, word in enumerate(words, 1)))
    assert watch("--once").exit_code == status
    (one,) = index()["series"]
    assert (one["outcome"], one["status"]) == (outcome, status)
    count = len(fake_review.plans)
    assert watch("--once").exit_code == status and len(fake_review.plans) == count


def test_a_series_for_another_part_of_the_kernel(watch, box):
    foreign = mail("[PATCH] net: x", "comment").replace(fake_review.FILE, "net/core/dev.c")
    put(box, foreign)
    assert watch("--once").exit_code == 0
    assert outcomes(index()) == {"net: x": "nothing here concerns the MMU"} and not fake_review.plans


def test_a_failure_of_the_machine_is_not_remembered(watch, box):
    put(box, mail("[PATCH] x", "full"), mail("[PATCH] y", "comment"))
    done = watch("--once")
    assert done.exit_code == 2 and "could not be judged: x: the disk is full" in done.stdout
    assert outcomes(index()) == {"y": "no functional change, proved"}
    assert "the disk is full" in watch("--once").stdout


def test_what_is_incomplete_or_damaged_is_named(watch, box):
    put(box, mail("[PATCH 1/3] a", "comment"), mail("[PATCH] b", "comment"), "")
    (box / "new" / "torn").write_text(mail("[PATCH] torn", "comment").replace("+comment\n", ""))
    done = watch("--once")
    assert done.exit_code == 2
    assert "incomplete: a: waits for 2/3, 3/3\n" in done.stdout and "damaged: " in done.stdout
    found = index()
    assert {one["why"] for one in found["unjudged"]} == {"incomplete", "damaged"}
    assert outcomes(found)["b"] == "no functional change, proved"
    assert outcomes(found)["torn"] == "could not be judged"
    put(box, mail("[PATCH 3/3] c", "comment"), mail("[PATCH 2/3] b", "comment"))
    watch("--once")
    assert outcomes(index())["a"] == "no functional change, proved"


def test_a_newer_version_counts(watch, box):
    put(box, mail("[PATCH] x", "break"))
    assert watch("--once").exit_code == 1
    put(box, mail("[PATCH v2] x", "comment"))
    done = watch("--once")
    assert done.exit_code == 0
    assert {one["title"]: one["newer"] for one in index()["series"]} == {"x": 2, "v2 x": 0}
    assert "(v2 has arrived)" not in done.stdout.splitlines()[0]
    put(box, mail("[PATCH] y", "break"), mail("[PATCH v3] y", "comment"))
    done = watch("--once")
    assert done.exit_code == 0 and "replaced: y: v3 has arrived" in done.stdout
    assert "y" not in outcomes(index())


def test_another_plan_base_or_suite_judges_anew(watch, box, monkeypatch):
    put(box, mail("[PATCH] x", "comment"))
    for words in ([], ["--budget", "3"], ["--fuzz", "0"], ["--onto", "6.12"]):
        count = len(fake_review.plans)
        assert watch("--once", *words).exit_code == 0
        assert len(fake_review.plans) == count + 1 and len(index()["series"]) == 1
    assert index()["base"] == "6.12"


def test_an_mbox_and_stdin(watch, box):
    content = mailbox(mail("[PATCH] x", "comment"), mail("[PATCH] y", "break"))
    Path("a.mbox").write_text(content)
    for words in ({"source": "a.mbox"}, {"source": "-", "given": content}):
        assert watch("--once", "--out", words["source"] + ".out", **words).exit_code == 1
    assert watch("--out", "other", source="-", given=content).exit_code == 1  # Nothing more can arrive.
    assert len(index(Path("other"))["series"]) == 2


def test_nothing_there_is_no_pass(watch, box):
    done = watch("--once")
    assert done.exit_code == 2 and "list holds no patch." in done.stdout
    assert watch(source="-", given="").exit_code == 2


def test_bad_input(watch, box):
    def refused(text: str, *words: object, **given) -> None:
        done = watch("--once", *words, **given)
        assert done.exit_code == 2 and text in done.stderr and "Traceback" not in done.stderr

    Path("file").write_text("")
    Path("empty").mkdir()
    put(box, mail("[PATCH] x", "comment"))
    refused("nothing does not exist. Name a Maildir", source="nothing")
    refused("empty is no Maildir", source="empty")
    refused("--out file: cannot write to it: it is a file", "--out", "file")
    refused("There is no kernel '9.9'", "--onto", "9.9")
    refused("is not a number of seconds", "--interval", "soon")
    refused("none", "--mode", "none")
    out = Path("conformance-watch")
    assert not out.exists()
    out.mkdir()
    (out / "index.json").write_text('{"schema": 1, "series": [{"digest": 1}]}')
    refused("is no summary of 'conformance watch'")
    (out / "index.json").write_text("{")
    refused("is no summary of 'conformance watch'")
    (out / "index.json").unlink()
    with FileLock(out / "lock"):
        refused("another 'conformance watch' is at work there")


def test_it_waits_until_it_is_ended(watch, box, monkeypatch):
    """Mails that arrive later are judged, and the signal leaves whole files."""
    rounds = []

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 1:
            put(box, mail("[PATCH] x", "comment"))
        if len(rounds) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", sleep)
    assert watch("--interval", "7").exit_code == 130
    assert rounds == [7.0, 7.0, 7.0] and len(fake_review.plans) == 1
    assert outcomes(index()) == {"x": "no functional change, proved"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_real_process(process, box, tmp_path, number):
    """It ends at once while it waits, with the status of the signal."""
    out = tmp_path / "out"
    code = (
        "import sys; import conformance.kernels as k; k.open_kernel = lambda *a, **b: None;"
        f"sys.argv = ['conformance', 'watch', {str(box)!r}, '--onto', '6.1', '--out', {str(out)!r}];"
        "from conformance.cli import main; main()"
    )
    sent = []

    def end() -> None:
        while not (out / "index.json").exists():
            time.sleep(0.05)
        children = Path(f"/proc/{os.getpid()}/task/{threading.main_thread().native_id}/children").read_text()
        for child in children.split():
            if "conformance" in Path(f"/proc/{child}/cmdline").read_bytes().decode():
                os.kill(int(child), number)
                sent.append(child)

    ender = threading.Thread(target=end, daemon=True)
    ender.start()
    done = process(code=code)
    ender.join(5)
    assert sent and done.returncode == 128 + number, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "index.json", "lock"]
