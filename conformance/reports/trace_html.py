# SPDX-License-Identifier: GPL-2.0-only
"""The life of an SPTE or a gfn as one HTML page with a timeline, without scripts or other files."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from conformance.model.spte.decode.kinds import is_leaf, kind_of
from conformance.model.spte.decode.text import describe
from conformance.model.spte.illegal import writability
from conformance.reports.text import line, word
from conformance.traces.events import Event
from conformance.traces.life import Life
from conformance.traces.outcome import NOT_IN_TRACES, Finding, Outcome

__all__ = ["page"]

_STYLE = """
body { font: 14px/1.5 sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; color: #222; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .2em .6em; text-align: left;
vertical-align: top; border-bottom: 1px solid #ddd; } td.n { text-align: right; color: #777; }
code { font: 12px monospace; } .wrong { background: #fdd; } .maybe { background: #ffd; }
svg { width: 100%; height: auto; background: #fafafa; border: 1px solid #ddd; }
.key span { display: inline-block; padding: 0 .6em; margin-right: .6em; color: #fff; }
"""
_COLOURS = {
    "nothing": "#bbbbbb",
    "read-only": "#5b8def",
    "writable": "#2f9e60",
    "table": "#8a63d2",
    "MMIO": "#d08a1d",
    "frozen": "#3d4f5c",
    "illegal": "#cc2222",
}
_WIDTH, _LANE, _LEFT = 1000, 26, 60
_MOST = 2000
"""More events than these make no page that can be read."""


def page(life: Life, outcome: Outcome) -> str:
    """The page."""
    shown = life.events[:_MOST]
    left = len(life.events) - len(shown)
    host = outcome.host
    title = f"{life.title} in {line(outcome.trace.name)}"
    parts = [
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
        f"<p>{escape(f'{host.title}, {host.mode.name}: {host.mode.description}')}. "
        f"{len(life.events)} events{f', of which {left} are not shown' if left > 0 else ''}.</p>",
        *_timeline(shown, life, outcome),
        "<table><tr><th>line</th><th>time</th><th>thread</th><th>event</th></tr>",
        *(_row(event, life, outcome) for event in shown),
        "</table>",
        f"<p>No trace shows: {escape('; '.join(NOT_IN_TRACES))}.</p>",
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _row(event: Event, life: Life, outcome: Outcome) -> str:
    found = life.wrong.get(event.line, ())
    colour = ""
    if found:
        colour = " class='wrong'" if any(not one.innocent for one in found) else " class='maybe'"
    sptes = "".join(
        f"<br/><code>{escape(name)} {word(spte)}</code> {escape(line(describe(outcome.host.k, spte)))}"
        for name, spte in Finding.sptes_of(event).items()
    )
    wrong = "".join(
        f"<br/><b>{escape(str(one.standing))} {escape(one.rule.name)}</b>: {escape(line(one.detail))}. "
        f"{escape(one.rule.sentence)} ({escape(one.rule.source)})"
        + (f". Or else: {escape(one.innocent)}" if one.innocent else "")
        for one in found
    )
    return (
        f"<tr{colour}><td class='n'>{event.line}</td><td>{escape(line(event.time))}</td>"
        f"<td>{escape(line(event.pid))}</td><td><code>{escape(line(event.text))}</code>{sptes}{wrong}</td></tr>"
    )


def _timeline(events: tuple[Event, ...], life: Life, outcome: Outcome) -> Iterator[str]:
    """A lane for each level, with the state of the SPTE between its changes; findings are marked."""
    changes = [event for event in events if event.name == "kvm_tdp_mmu_spte_changed"]
    if not changes:
        yield "<p>No kvm_tdp_mmu_spte_changed event concerns it, so there is no timeline.</p>"
        return
    levels = sorted({event.values["level"] for event in changes}, reverse=True)
    places = {
        event.line: _LEFT + (_WIDTH - _LEFT) * number / len(events) for number, event in enumerate(events)
    }
    height = _LANE * len(levels) + 10
    yield f"<svg viewBox='0 0 {_WIDTH} {height}' role='img' aria-label='timeline'>"
    for lane, level in enumerate(levels):
        top = lane * _LANE + 5
        yield f"<text x='4' y='{top + 15}' font-size='12'>level {level}</text>"
        own = [event for event in changes if event.values["level"] == level]
        yield from _bars(own, level, top, places, outcome)
    for number in life.wrong:
        if number in places:
            x = places[number]
            yield f"<path d='M{x:.1f} 0V{height}' stroke='#cc2222' stroke-width='2'/>"
    yield "</svg>"
    key = "".join(
        f"<span style='background:{colour}'>{escape(name)}</span>" for name, colour in _COLOURS.items()
    )
    yield f"<p class='key'>{key} The position is the order of events, not their time.</p>"


def _bars(
    own: list[Event], level: int, top: int, places: dict[int, float], outcome: Outcome
) -> Iterator[str]:
    """The states of the SPTE of one level as bars, from one change to the next."""
    ends = [*(places[event.line] for event in own), float(_WIDTH)]
    states = [own[0].values["old_spte"], *(event.values["new_spte"] for event in own)]
    for start, end, spte in zip([float(_LEFT), *ends[:-1]], ends, states, strict=True):
        colour = _COLOURS[_state(spte, level, outcome)]
        text = escape(f"{spte:#x}: {line(describe(outcome.host.k, spte))}")
        yield (
            f"<rect x='{start:.1f}' y='{top}' width='{max(end - start, 1):.1f}' height='{_LANE - 6}' "
            f"fill='{colour}'><title>{text}</title></rect>"
        )


def _state(spte: int, level: int, outcome: Outcome) -> str:
    k = outcome.host.k
    kind = kind_of(k, spte)
    if kind != "present":
        return {"frozen": "frozen", "mmio": "MMIO", "stray": "illegal"}.get(kind, "nothing")
    if not is_leaf(k, spte, level):
        return "table"
    if writability(k, spte, level)[0] == "illegal":
        return "illegal"
    return "writable" if spte & 2 else "read-only"
