# SPDX-License-Identifier: GPL-2.0-only
"""``conformance b4-check``: a check command for b4, which reads a mail and answers in JSON."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.kept import keep
from conformance.cli.options import (
    STDOUT,
    budget_option,
    cc_option,
    destinations,
    fuzz_option,
    gate_options,
    mode_option,
)
from conformance.cli.run import note
from conformance.errors import ConformanceError
from conformance.reports.text import line

if TYPE_CHECKING:
    from conformance.reports.files import Destination

__all__ = ["b4_check"]


@click.command("b4-check")
@click.option("--onto", envvar="CONFORMANCE_ONTO", metavar="SEL", help="The kernel without the patch.")
@click.option("--tree", envvar="CONFORMANCE_TREE", metavar="PATH", help="The repository of base-commits.")
@click.option("--series", is_flag=True, help="Review the whole series, not the patch in the mail.")
@click.option("--lines", is_flag=True, help="Answer in lines, as 'b4 prep --check' and 'b4 am --check' read.")
@fuzz_option
@mode_option
@cc_option
@budget_option(2.0, "Time to compare properties.")
@gate_options
@click.option("--kcidb", metavar="FILE", help="Also write JSON for KCIDB, in place of what FILE holds.")
@click.pass_context
def b4_check(
    ctx: click.Context,
    onto: str | None,
    tree: str | None,
    series: bool,
    lines: bool,
    fail_on: str,
    strict: bool,
    kcidb: str | None,
    **plan: Any,
) -> None:
    """Review a mail on stdin for b4, and answer with a JSON array on stdout.

    \b
        git config b4.review-perpatch-check-cmd 'conformance b4-check'
        git config b4.review-series-check-cmd 'conformance b4-check --series'
        git config conformance.onto 6.12

    Without conformance.onto, the base is the base-commit of the mail or of its series, in the repository in
    which b4 runs, or in the one that 'git config conformance.tree' names. The patched code is compiled and
    run on this machine, as your user.
    """
    tool = "conformance series" if series else "conformance"
    setup = {"onto": onto or _configured("onto"), "tree": tree or _configured("tree")}
    try:
        if kcidb == STDOUT:
            raise ConformanceError("--kcidb writes to a file here: stdout has the answer to b4.")
        (place,) = destinations({"kcidb": kcidb}).values() or [None]
        gate = {"fail_on": fail_on, "strict": strict}
        answer, status = _judge(_mail(), tool, setup, series, gate, plan, place)
    except ConformanceError as problem:
        answer, status = {"tool": tool, "status": "warn", "summary": line(f"Not judged: {problem}")}, 2
    if not lines:
        click.echo(json.dumps([answer]))
    elif answer["status"] != "pass":
        click.echo(f"{'ERROR' if answer['status'] == 'fail' else 'WARNING'}: {answer['summary']}")
    ctx.exit(status)


def _mail() -> bytes:
    from conformance.kernels.mails import MOST_BYTES
    from conformance.kernels.reading import read_stream

    return read_stream(sys.stdin.buffer, MOST_BYTES, "The mail")


def _judge(
    content: bytes,
    tool: str,
    setup: dict[str, str],
    series: bool,
    given: dict[str, Any],
    plan: dict[str, Any],
    place: Destination | None,
) -> tuple[dict[str, str], int]:
    """The answer to a mail, and the exit status; ``place`` gets the results for KCIDB."""
    from conformance.kernels.compilers import chosen
    from conformance.kernels.mails import read_mail
    from conformance.kernels.tools import quiet
    from conformance.reports.kcidb import render
    from conformance.reports.review_mail import render_series
    from conformance.reports.series import as_report
    from conformance.review.b4 import Setup, handed
    from conformance.review.comparing import comparing
    from conformance.review.judging_series import judge
    from conformance.review.outcome import FailOn, Gate, Outcome
    from conformance.review.reply import reply

    begun = datetime.now(timezone.utc)
    gate = Gate(FailOn(given["fail_on"]), given["strict"])
    mail = read_mail(content)
    asked = handed(mail, Setup(**setup), whole=series)
    onto = shlex.join([asked.onto, *chosen().arguments])
    if mail.message_id:
        command = f"b4 am -o- {shlex.quote(mail.message_id)} | conformance patch - --onto {onto}"
    else:
        command = f"conformance patch {shlex.quote(keep(content))} --onto {onto}"
    review = judge(asked.series, asked.onto, comparing(command, quiet, **plan), quiet, applied=asked.applied)
    worst = max(review.judged, key=lambda one: [*Outcome].index(one.outcome))
    which = f"{worst.title}: " if len(review.judged) > 1 else ""
    answer = {
        "tool": tool,
        "status": _STATUSES.get(worst.outcome.name, "warn"),
        "summary": line(which + reply(worst)),
        "details": render_series(review),
    }
    status = review.status(gate)
    if place is not None:
        try:
            place.write(render(as_report(review, None, gate), begun))
        except ConformanceError as problem:
            note(f"conformance: {problem}")
            status = status or 2
    if status == 1 and gate.fail_on is not FailOn.CHANGES:
        answer["status"] = "fail"
    return answer, status


_STATUSES = {"UNCONCERNED": "pass", "PROVED": "pass", "KEPT": "pass", "BROKEN": "fail"}
"""The status in b4 by outcome; "warn" for any other."""


def _configured(name: str) -> str:
    """A setting in the git configuration of the repository that b4 runs in; empty if it is not set."""
    from conformance.kernels.tools import run

    return run(["git", "config", "--get", f"conformance.{name}"]).stdout.strip()
