# SPDX-License-Identifier: GPL-2.0-only
"""``conformance watch``: judge each series that arrives in a Maildir or an mbox, and write a report on it."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.options import (
    DEFAULT,
    Seconds,
    budget_option,
    cc_option,
    fuzz_option,
    gate_options,
    jobs_option,
    mode_option,
    seed_option,
    time_limit_option,
)
from conformance.cli.run import print_part, watching
from conformance.errors import ConformanceError
from conformance.reports.files import Destination, Folder

if TYPE_CHECKING:
    from conformance.review.arrivals import Box
    from conformance.review.gathering import Gathered
    from conformance.review.outcome import Gate
    from conformance.review.series import Series
    from conformance.review.series_review import SeriesReview
    from conformance.review.watched import Entry, Watched
    from conformance.review.watching import Task

__all__ = ["watch"]

Progress = Callable[[str], None]

_FROM = re.compile(rb"^(>*From )", re.MULTILINE)


@click.command()
@click.argument("source", metavar="MAILDIR|MBOX|-")
@click.option(
    "--onto",
    metavar="SEL",
    default=DEFAULT,
    show_default=True,
    help="The kernel that series are applied to.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="conformance-watch",
    show_default=True,
    metavar="DIR",
    help="The directory of the reports, and of what has been judged.",
)
@click.option("--once", is_flag=True, help="Judge what is there, and end.")
@click.option(
    "--interval",
    type=Seconds(),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="The time between two looks into the mailbox.",
)
@fuzz_option
@mode_option
@cc_option
@budget_option(2.0, "Time to compare properties, for each patch.")
@seed_option(0)
@jobs_option
@gate_options
@time_limit_option
@click.pass_context
def watch(
    ctx: click.Context,
    source: str,
    onto: str,
    out: Path,
    once: bool,
    interval: float,
    jobs: int,
    fail_on: str,
    strict: bool,
    **plan: Any,
) -> None:
    """Judge each series of patches that arrives in a Maildir or an mbox, once, as 'patch' does.

    A series is judged when all its patches have arrived, on top of --onto; a revision of a tree is looked up
    when the command starts. DIR gets a text, JSON and an mbox for each series, and a summary, index.html and
    index.json. The mailbox is only read, and no mail is sent. The patched code is compiled and run on this
    machine, as your user.

    Exit status of --once, and for stdin: 0 no change of behaviour was found, 1 one was, 2 something there
    could not be judged, incomplete series included; --fail-on and --strict change that.
    """
    from conformance.kernels import open_kernel
    from conformance.review.outcome import FailOn, Gate
    from conformance.review.watched import recall
    from conformance.review.watching import Watcher

    box = _box(source)
    once = once or box.once
    gate = Gate(FailOn(fail_on), strict)
    with _claimed(out), watching() as (progress, _):
        entries = recall(out)
        base = _resolved(onto)
        task = _task(base, out, gate, jobs, plan, progress)
        open_kernel(base, progress=progress)
        watcher = Watcher(box, task, entries)
        watched = watcher.look(last=once)
        while not once:
            progress(f"waiting for mails in {source}")
            time.sleep(interval)
            watched = watcher.look(last=False)
    ctx.exit(_end(watched, source))


def _box(source: str) -> Box:
    """The mailbox that the command line names."""
    from conformance.kernels.mails import MOST_BYTES
    from conformance.kernels.reading import read_file, read_stream
    from conformance.review.arrivals import open_box

    if source == "-":
        return open_box("stdin", read_stream(sys.stdin.buffer, MOST_BYTES, "stdin"))
    with contextlib.suppress(ValueError, OSError):
        path = Path(source)
        if path.exists() and not path.is_dir() and not path.is_file():
            return open_box(source, read_file(source, MOST_BYTES))
    return open_box(source)


@contextlib.contextmanager
def _claimed(out: Path) -> Iterator[None]:
    """Claim the directory of the reports for this process, and make it. Raises ConformanceError."""
    from filelock import FileLock, Timeout

    from conformance.review.watched import MEMORY

    made = not out.exists()
    Folder("--out", out).check()
    lock = FileLock(out / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConformanceError(
            f"{out}: another 'conformance watch' is at work there. Name another directory with --out."
        ) from None
    try:
        yield
    finally:
        if made and not (out / MEMORY).exists():
            shutil.rmtree(out, ignore_errors=True)
        lock.release()


def _resolved(onto: str) -> str:
    """The selector of the base; a revision of a tree by its commit, so that it stays the same."""
    from conformance.kernels.repositories import Repository
    from conformance.kernels.selector import Tree, parse

    named = parse(onto)
    if not isinstance(named, Tree) or named.revision is None or not named.path.is_dir():
        return onto
    repository = Repository(named.path)
    if not repository.exists:
        return onto
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{named.revision}^{{commit}}")
    found = repository.ask(*words)
    # What is wrong with a revision is said where it is opened.
    return onto if found.returncode else f"tree:{named.path.resolve()}@{found.stdout.strip()[:12]}"


def _task(base: str, out: Path, gate: Gate, jobs: int, plan: dict[str, Any], progress: Progress) -> Task:
    """How series are judged and where reports go."""
    from conformance.campaigns.unit import suite_version
    from conformance.kernels.compilers import chosen
    from conformance.kernels.opening import allowed_fuzz
    from conformance.reports import review_mail
    from conformance.reports import series as series_report
    from conformance.reports import watch as summary
    from conformance.review.comparing import comparing
    from conformance.review.judging_series import judge
    from conformance.review.watched import MEMORY
    from conformance.review.watching import Task

    compiler = chosen()
    comparing("", progress, **plan)  # What does not exist is refused before mails are read.

    def file(name: str) -> Destination:
        return Destination("--out", out / name)

    def judged(series: Series, name: str) -> SeriesReview:
        words = ["conformance", "patch", str((out / f"{name}.mbox").resolve()), "--onto", base]
        command = shlex.join([*words, *compiler.arguments])
        progress(f"{name}: judging")
        return judge(series, base, comparing(command, progress, **plan), progress, jobs=jobs)

    def write(one: Gathered, entry: Entry, review: SeriesReview) -> None:
        file(f"{entry.report}.mbox").write(_mbox(one))
        file(f"{entry.report}.txt").write(review_mail.render_series(review))
        file(f"{entry.report}.json").write(series_report.render(review))
        print_part(f"{summary.judged(entry)}\n    {out / entry.report}.txt\n", sys.stdout)

    def keep(watched: Watched) -> None:
        file("index.html").write(summary.page(watched))
        file(MEMORY).write(summary.render(watched))

    setup = [plan, gate.fail_on.value, gate.strict, compiler.text, allowed_fuzz()]
    given = json.dumps(setup, default=str, sort_keys=True)
    return Task(base, suite_version(), given, gate, judged, write, keep)


def _mbox(one: Gathered) -> bytes:
    """The mails of a series as an mbox."""
    mails = []
    for mail in one.mails:
        content = re.sub(rb"\AFrom [^\n]*\n", b"", mail.content.lstrip(b"\n"))
        end = b"\n" if content.endswith(b"\n") else b"\n\n"
        mails.append(b"From mboxrd@z Thu Jan  1 00:00:00 1970\n" + _FROM.sub(rb">\1", content) + end)
    return b"".join(mails)


def _end(watched: Watched, source: str) -> int:
    """Print what was not judged, and return the exit status."""
    from conformance.reports import watch as summary

    lines = [summary.heading(watched), *map(summary.unjudged, watched.unjudged)]
    if not watched.here and not watched.unjudged:
        lines.append(f"{source} holds no patch.")
    printed = print_part("\n".join(lines) + "\n", sys.stdout)
    return watched.status or printed
