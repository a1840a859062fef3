# SPDX-License-Identifier: GPL-2.0-only
"""A decoded SPTE: as a diagram with its fields, as a line, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.model.readings import LEVELS, Reading
from conformance.model.spte.decode.fields import fields
from conformance.model.spte.decode.text import describe
from conformance.model.spte.illegal import writability
from conformance.reports.bit_diagram import bit_diagram
from conformance.reports.text import line, word

__all__ = ["Decoded", "as_json", "show", "show_short"]


@dataclass(frozen=True)
class Decoded:
    """An SPTE as one kernel understands it.

    ``kernel`` is the title of the kernel, ``said`` what the text says about the SPTE, by name, and
    ``reading`` the mode in which the SPTE is shown. ``others`` are its readings in every mode, unless a mode
    was selected.
    """

    kernel: str
    said: dict[str, str]
    reading: Reading
    others: Sequence[Reading] = ()


def show(one: Decoded, console: Console) -> None:
    """Print the diagram, the fields, and whether the SPTE is legal."""
    k, spte, level = one.reading.kernel, one.reading.spte, one.reading.level
    found = fields(k, spte, level)
    console.print(Text.assemble((word(spte), "bold"), f"  {_title(one)}"), soft_wrap=True)
    if one.said:
        console.print(Text(_said(one), style="dim"), soft_wrap=True)
    console.print(bit_diagram(found, ascii_only=console.options.ascii_only), no_wrap=True)

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("bits", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("field", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("meaning", overflow="fold")
    for field in found:
        if field.name or field.value:
            place = str(field.low) if field.high == field.low else f"{field.high}:{field.low}"
            value = str(field.value) if field.high == field.low else f"{field.value:#x}"
            style = "" if field.value else "dim"
            table.add_row(place, field.label, field.name or "unknown", value, field.meaning, style=style)
    console.print(table)
    console.print()

    verdict = Table.grid(padding=(0, 2, 0, 0))
    verdict.add_column(no_wrap=True)
    verdict.add_column(overflow="fold")
    for label, sentence in _verdict(one):
        style = "bold red" if label == "illegal" else "bold"
        verdict.add_row(Text(f"{label}:", style), sentence)
    console.print(verdict)


def show_short(one: Decoded, console: Console) -> None:
    """Print the SPTE on one line, and what is illegal in it on further lines."""
    place = f"{_said(one)}: " if one.said else ""
    mode = f"{one.kernel} {one.reading.mode.name}"
    whole = f"{place}{word(one.reading.spte)}  {mode}: {describe(one.reading.kernel, one.reading.spte)}"
    console.print(Text(whole), soft_wrap=True)
    for label, sentence in _illegal(one.reading):
        console.print(Text(f"    {label}: {sentence}", style="red"), soft_wrap=True)


def as_json(one: Decoded) -> str:
    """The SPTE as JSON, on one line."""
    reading = one.reading
    k, spte, level = reading.kernel, reading.spte, reading.level
    state, why = writability(k, spte, level)
    written: dict[str, Any] = {
        "spte": word(spte),
        # "level" below is that of the reading.
        **{
            name: int(value) if name == "line" else value
            for name, value in one.said.items()
            if name != "level"
        },
        "kernel": one.kernel,
        "mode": reading.mode.name,
        "level": level,
        "describe": describe(k, spte),
        "state": state,
        "why": why,
        "legal_levels": [*reading.legal],
        "illegal": {str(at): sentences for at, sentences in reading.wrong.items() if sentences},
        "legal_modes": [other.mode.name for other in one.others or (reading,) if other.legal],
        "fields": [
            {"high": field.high, "low": field.low, "name": field.name, "value": field.value}
            | {"meaning": field.meaning}
            for field in fields(k, spte, level)
            if field.name or field.value
        ],
    }
    if reading.assumed:
        written["assumed_maxphyaddr"] = reading.assumed
    return json.dumps(written, ensure_ascii=True)


def _said(one: Decoded) -> str:
    """The line of the SPTE and what the text says of it: ``line 12, old_spte, level 1, gfn 0x1234``."""
    return line(", ".join(value if name == "name" else f"{name} {value}" for name, value in one.said.items()))


def _title(one: Decoded) -> str:
    mode = one.reading.mode
    return line(f"{one.kernel}, {mode.name}: {mode.description}")


def _verdict(one: Decoded) -> Iterator[tuple[str, str]]:
    """A label and a sentence for each fact about the whole SPTE."""
    reading = one.reading
    yield "SPTE", describe(reading.kernel, reading.spte)
    state, why = writability(reading.kernel, reading.spte, reading.level)
    yield "state", f"{state}: {why}"
    yield from _levels(reading)
    if reading.assumed:
        yield (
            "host",
            f"its address needs a host with {reading.assumed} physical address bits; "
            "pass the host's number with --maxphyaddr",
        )
    if one.others:
        yield "modes", _modes(one)


def _illegal(reading: Reading) -> Iterator[tuple[str, str]]:
    """What is illegal at every level; if nothing is and no level is legal, what is illegal at each."""
    always = reading.always()
    yield from (("illegal", sentence) for sentence in always)
    if not always and not reading.legal:
        for levels, _, only in reading.groups():
            yield from (("illegal", f"at {_named(levels)}: {sentence}") for sentence in only)


def _levels(reading: Reading) -> Iterator[tuple[str, str]]:
    """For each level the role of the SPTE there, and whether it is legal, or why not."""
    always = reading.always()
    yield from (("illegal", sentence) for sentence in always)
    for levels, role, only in reading.groups():
        if not role:
            continue  # A non-present SPTE has no role that depends on the level.
        if only:
            yield _named(levels), f"{role}: illegal: {' '.join(only)}"
        else:
            yield _named(levels), f"{role}: {'illegal, as above' if always else 'legal'}"


def _named(levels: Sequence[int]) -> str:
    return f"level {levels[0]}" if len(levels) == 1 else f"levels {levels[0]}-{levels[-1]}"


def _modes(one: Decoded) -> str:
    """The modes in which the SPTE is legal, with the levels where they differ from those shown."""
    legal = [other for other in one.others if other.legal]
    shown = one.reading.mode.name
    if not legal:
        return f"legal in no mode; {shown} is one with the fewest violations"
    names = ", ".join(_mode(other, one.reading) for other in legal)
    rest = len(one.others) - len(legal)
    if not rest:
        return f"legal in all: {names}"
    return f"legal in {names}; not in the other {rest}"


def _mode(other: Reading, shown: Reading) -> str:
    if other.legal == shown.legal or other.legal == LEVELS:
        return other.mode.name
    return f"{other.mode.name} ({_named(other.legal)})"
