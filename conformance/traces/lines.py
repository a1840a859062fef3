# SPDX-License-Identifier: GPL-2.0-only
"""Reading the events of a trace in text: tracefs, trace-cmd report, perf script, bpftrace, quoted mails.

All forms have in common that the name of the event is followed by a colon and its fields. What stands before
it names the thread, the CPU and the time, in an order that depends on the tool and its options.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from conformance.traces.events import CONTEXT, EVENTS, PAGES, Event, Values, key_values
from conformance.traces.trace import Trace

__all__ = ["read_lines"]

_NAMES = "|".join(sorted((*EVENTS, *CONTEXT), key=len, reverse=True))
_EVENT = re.compile(rf"(?:^|[\s:])({_NAMES}):\s*(.*)")
_THREAD = re.compile(
    r"(?:-|\s|^)(\d+)(?:/(\d+))?\s+(?:\(\s*[-\d]+\)\s*)?(?:\[(\d+)\]|(\d+)[.a-zA-Z#][.a-zA-Z0-9#]{2,5}\s)"
)
_TIME = re.compile(r"(\d+[.,]\d+)(?=:)|(\d+)(?=:\s)")
_QUOTE = re.compile(r"^(?:[>|]\s?)+")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LOST = re.compile(
    r"\bLOST \d+ (?:EVENT|event)|EVENTS? (?:DROPPED|LOST)|\d+ events? (?:lost|dropped)|lost \d+ events?"
    r"|PERF_RECORD_LOST|\[LOST",
)
_OVERWRITTEN = re.compile(r"entries-in-buffer/entries-written:\s*(\d+)/(\d+)(?:\s+#P:(\d+))?")
_CPUS = re.compile(r"^cpus=(\d+)$")
_RELEASE = re.compile(r"^# os release : (\d{1,4})\.(\d{1,4})")
_REMAINDER = re.compile(r"[0-9a-f]{1,16}")
_WRAPPED = 3
"""A mail may have folded one event into this many further lines."""
_KERNEL = 0xFFFF << 48
"""Bits that the address of kernel memory has, and a hashed pointer has not."""
_HEX, _DECIMAL, _UNKNOWN = "hex", "decimal", "unknown"
_LONG = re.compile(r"=(?!0x)([0-9a-f]{3,})")
_LETTER = re.compile("[a-f]")
_SAMPLE = 8
"""Raw numbers that have no digit above 9 among this many are decimal."""


def read_lines(lines: Iterable[str], trace: Trace) -> None:
    """Add the events of the lines to ``trace``, and what they say about events that are not there."""
    found = list(_events(lines, trace))
    base = _base_of([rest for event, rest in found if rest is not None and event.name not in PAGES])
    for event, rest in found:
        if rest is not None:
            # The print format of pages cannot be parsed, so that their numbers are always decimal.
            is_decimal = event.name in PAGES or base == _DECIMAL
            raw_values = key_values(event.name, rest, decimal=is_decimal)
            if base == _UNKNOWN and event.name not in PAGES and _LONG.search(rest):
                raw_values = None
            if raw_values is None:
                trace.skip(event.name, event.line)
                continue
            event.values, event.tail = raw_values
        trace.add(event)
        sptep = event.values.get("sptep")
        if sptep and event.name != "kvm_mmu_set_spte" and not sptep & _KERNEL:
            trace.hashed = True


def _events(lines: Iterable[str], trace: Trace) -> Iterator[tuple[Event, str | None]]:
    """Each event; with its text, if its fields are in raw form."""
    open_event: tuple[Event, str, int] | None = None
    last: Event | None = None
    for number, text in enumerate(lines, trace.lines + 1):
        trace.lines = number
        complete = text.endswith("\n")
        # The print format of shadow pages ends in a NUL.
        text = text.replace("\0", "").rstrip()
        if "\x1b" in text:
            text = _COLOURS.sub("", text)
        if text[:1] in (">", "|"):
            text = _QUOTE.sub("", text)
        found = _EVENT.search(text)
        if found is None:
            if open_event is not None:
                event, rest, left = open_event
                rest = f"{rest} {text.strip()}"
                open_event = None
                values, is_raw = _values(event.name, rest)
                if values is not None or is_raw:
                    event.text = f"{event.text} {text.strip()}"
                    event.folded = True
                    last = _filled(event, values)
                    yield event, rest if is_raw else None
                elif left > 1 and text.strip():
                    event.text = f"{event.text} {text.strip()}"
                    open_event = event, rest, left - 1
                else:
                    trace.skip(event.name, event.line)
            elif last is not None and _REMAINDER.fullmatch(text.strip()):
                # The line before was cut within its last number.
                last.cut = True
            elif text:
                _about(text, number, trace)
            last = None
            continue
        if open_event is not None:
            trace.skip(open_event[0].name, open_event[0].line)
            open_event = None
        name, rest = found[1], found[2]
        event = _headed(text, text[: found.start(1)], number, name)
        if name in CONTEXT:
            last = None
            yield event, None
            continue
        if not complete and name != "kvm_entry":
            # The file ends within the line: its last number may be cut.
            trace.skip(name, number)
            continue
        values, is_raw = _values(name, rest)
        if values is None and not is_raw:
            open_event = event, rest, _WRAPPED
            last = None
            continue
        last = _filled(event, values)
        yield event, rest if is_raw else None
    if open_event is not None:
        trace.skip(open_event[0].name, open_event[0].line)


def _filled(event: Event, values: Values | None) -> Event:
    if values is not None:
        event.values = values
        event.tail = EVENTS[event.name].last
    return event


def _values(name: str, rest: str) -> tuple[Values | None, bool]:
    """The fields of the text; or None and whether it has raw ones."""
    form = EVENTS[name]
    match = form.printed.search(rest)
    if match is None:
        return None, "=" in rest and key_values(name, rest, decimal=False) is not None
    if name in PAGES and name == "kvm_mmu_get_page" and match["created"] is None:
        return None, False
    convert = form.fields
    values = {field: convert[field](text) for field, text in match.groupdict().items() if text is not None}
    if name in PAGES:
        values["direct"] = "direct" in values
        values["invalid"] = "invalid" in values
        values["nx"], values["ad"] = match["nx"] == "", match["ad"] == ""
    return values, False


def _headed(text: str, head: str, number: int, name: str) -> Event:
    """An event without fields: its thread, CPU and time are taken from the text before its name."""
    thread = _THREAD.search(head)
    pid = cpu = ""
    if thread is not None:
        pid = thread[2] or thread[1]
        cpu = thread[3] or thread[4]
    times = _TIME.search(head, thread.end() if thread is not None else 0)
    time = (times[1] or times[2]).replace(",", ".") if times is not None else ""
    return Event(number, name, {}, text.strip(), pid=pid, cpu=cpu, time=time)


def _about(text: str, number: int, trace: Trace) -> None:
    """Take from a line without an event what it says about the trace."""
    if _LOST.search(text):
        trace.lost.append(number)
    elif found := _OVERWRITTEN.search(text):
        kept, written = int(found[1]), int(found[2])
        if kept < written:
            trace.notes.append(
                f"The ring buffer was overwritten: {kept:,} of {written:,} events are left, and what was "
                "before them is not known."
            )
        if found[3]:
            trace.of_cpus = int(found[3])
    elif found := _CPUS.match(text):
        trace.of_cpus = int(found[1])
    elif found := _RELEASE.match(text):
        trace.release = int(found[1]), int(found[2])


def _base_of(texts: Iterable[str]) -> str:
    """The base of raw numbers without 0x, by their digits: trace-cmd and perf differ by their versions."""
    numbers = [value for text in texts for value in _LONG.findall(text)]
    if not numbers or any(_LETTER.search(value) for value in numbers):
        return _HEX
    return _DECIMAL if len(numbers) >= _SAMPLE else _UNKNOWN
