# SPDX-License-Identifier: GPL-2.0-only
"""The summary of watched series: as JSON, as a page with links to the reports, and as lines."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timezone
from html import escape

from conformance.reports.text import line
from conformance.review.watched import Entry, Unjudged, Watched

__all__ = ["heading", "judged", "page", "render", "unjudged"]

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2em;max-width:75em}table{border-collapse:collapse}"
    "td,th{padding:.3em .8em;text-align:left;vertical-align:top;border-bottom:1px solid #8884}"
    ".s1{color:#b00020;font-weight:600}.s2{color:#8a5a00}.old{opacity:.6}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8ab4f8}.s1{color:#ff8a80}"
    ".s2{color:#ffcc80}}"
)


def render(watched: Watched) -> str:
    """The summary as JSON text, ASCII only; the watcher reads it again."""
    return json.dumps(watched.document(), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def heading(watched: Watched) -> str:
    """What was judged on which base, in one sentence."""
    count = len(watched.entries)
    text = f"{'1 series' if count == 1 else f'{count} series'} judged"
    kinds = Counter(one.why.value for one in watched.unjudged)
    text += "".join(f", {number} {why}" for why, number in kinds.items())
    mails = "1 mail is no patch" if watched.others == 1 else f"{watched.others} mails are no patches"
    return line(f"{text}; the base is {watched.base}" + (f"; {mails}" if watched.others else ""))


def judged(one: Entry) -> str:
    """A judged series in one line."""
    replaced = f" (v{one.newer} has arrived)" if one.newer else ""
    return line(f"{one.outcome}: {one.title}{replaced}")


def unjudged(one: Unjudged) -> str:
    """A series or mail that was not judged, in one line."""
    return line(f"{one.why}: {one.name}: {one.reason}")


def page(watched: Watched) -> str:
    """The summary as an HTML page, the newest series first."""
    rows = sorted(watched.entries.values(), key=lambda one: (-one.date, one.title))
    body = "\n".join([*map(_row, rows)])
    others = "\n".join(f"<li>{_text(unjudged(one))}</li>" for one in watched.unjudged)
    rest = f"<h2>Not judged</h2>\n<ul>\n{others}\n</ul>\n" if others else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Series judged by conformance watch</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>Series</h1>\n<p>{_text(heading(watched))}.</p>\n"
        "<table><thead><tr><th>date</th><th>series</th><th>patches</th><th>outcome</th><th>for a reply</th>"
        f"<th>report</th></tr></thead>\n<tbody>\n{body}\n</tbody></table>\n{rest}</body></html>\n"
    )


def _row(one: Entry) -> str:
    links = " ".join(f'<a href="{_text(one.report)}.{kind}">{kind}</a>' for kind in ("txt", "json", "mbox"))
    title = f"{_text(one.title)}<br><small>{_text(one.sender)}</small>"
    outcome = _text(one.outcome) + (f"<br><small>v{one.newer} has arrived</small>" if one.newer else "")
    cells = [_day(one.date), title, str(one.patches), outcome, _text(one.reply), links]
    old = " old" if one.newer else ""
    return f'<tr class="s{one.status}{old}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _day(date: float) -> str:
    """The day of a date; empty if it is not known."""
    try:
        return datetime.fromtimestamp(date, timezone.utc).strftime("%Y-%m-%d") if date else ""
    except (ValueError, OverflowError, OSError):
        return ""


def _text(text: str) -> str:
    return escape(line(text))
