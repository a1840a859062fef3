# SPDX-License-Identifier: GPL-2.0-only
"""Layouts of structures and SPTEs: as tables and diagrams, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import conformance
from conformance.layout import Constant, Found, Structure
from conformance.model.spte.decode.fields import Field
from conformance.reports.bit_diagram import bit_diagram
from conformance.reports.json import plain
from conformance.reports.terminal import say
from conformance.reports.text import line

__all__ = ["document", "render", "show"]

SCHEMA = 1

_VERDICTS = {0: ("EQUAL", "green"), 1: ("DIFFER", "bold red"), 2: ("ERROR", "magenta")}


def show(found: Iterable[Found], console: Console) -> None:
    """Print the layouts of each kernel."""
    for number, one in enumerate(found):
        if number:
            console.print()
        types = f"by its {one.source}" if one.source else "without types"
        say(console, line(f"{one.shipped}, {types}, and the shim of {one.title}"), "bold")
        for note in one.notes:
            say(console, line(f"note: {note}"), "yellow")
        for structure in one.structures:
            _structure(structure, one.unjudged is None, console)
        _constants(one.constants, console)
        for title, bits in one.bits:
            console.print()
            say(console, title, "underline")
            console.print(bit_diagram(_whole(bits), ascii_only=console.options.ascii_only), no_wrap=True)
        console.print()
        _end(one, console)


def _end(found: Found, console: Console) -> None:
    """Print what differs, and the configuration options that differ."""
    verdict, style = _VERDICTS[found.status]
    wrong = [
        f"{structure.name}: {', '.join(row.member for row in structure.rows if row.differs)}"
        for structure in found.structures
        if found.unjudged is None and any(row.differs for row in structure.rows)
    ]
    wrong += [constant.name for constant in found.constants if constant.differs]
    if found.options:
        set_ = ", ".join(f"{name} {there}/{here}" for name, there, here in found.options)
        say(console, line(f"options that differ, shipped/shim: {set_}"))
    if found.unjudged is not None:
        say(console, f"ERROR  {line(found.unjudged)}", _VERDICTS[2][1])
    rows = sum(len(structure.rows) for structure in found.structures)
    total = "; ".join(wrong) or f"{rows} places and {len(found.constants)} constants"
    if found.unjudged is None or wrong:
        say(console, f"{verdict}  {line(total)}", style)


def _structure(structure: Structure, judged: bool, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column(structure.name, overflow="fold")
    for title in ("shipped", "shim"):
        table.add_column(title, justify="right", no_wrap=True)
    places = [place for row in structure.rows for place in (row.shipped, row.shim) if place is not None]
    in_bits = any(bit % 8 or bits % 8 for bit, bits in places)
    for row in structure.rows:
        differs = judged and row.differs
        shim = _place(row.shim, in_bits) if differs or not judged else "equal"
        table.add_row(
            Text("differs" if differs else "", style="bold red"),
            Text(line("the whole" if row.member == "all" else row.member)),
            Text(_place(row.shipped, in_bits)),
            Text(shim, style="bold red" if differs else "dim"),
        )
    console.print()
    console.print(table)


def _place(place: tuple[int, int] | None, in_bits: bool) -> str:
    """Bits "7:4", or byte and size "0x028 + 8"."""
    if place is None:
        return "-"
    bit, bits = place
    if in_bits:
        return f"{bit + bits - 1}:{bit}" if bits > 1 else str(bit)
    return f"{bit // 8:#05x} +{bits // 8:4}"


def _constants(constants: Sequence[Constant], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, justify in (("", "left"), ("SPTE constants", "left"), ("model", "right"), ("shim", "right")):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for one in constants:
        table.add_row(
            Text("differs" if one.differs else "", style="bold red"),
            one.name,
            f"{one.model:#x}",
            Text(f"{one.shim:#x}", style="bold red") if one.differs else Text("equal", style="dim"),
        )
    console.print()
    console.print(table)


def _whole(bits: Sequence[Field]) -> list[Field]:
    """The fields, with unused bits between them as fields without a name, so that all 64 bits are there."""
    whole: list[Field] = []
    top = 63
    for field in [*bits, Field(-1, -1, "", 0, "")]:
        if field.high < top:
            whole.append(Field(top, field.high + 1, "", 0, ""))
        whole.append(field)
        top = field.low - 1
    return whole[:-1]


def document(found: Iterable[Found]) -> dict[str, Any]:
    """The layouts as plain dicts and lists; a place is the first bit and the number of bits."""
    return {
        "schema": SCHEMA,
        "version": conformance.__version__,
        "kernels": [_kernel(one) for one in found],
    }


def render(found: Iterable[Found]) -> str:
    """The layouts as JSON text, ASCII only."""
    return json.dumps(document(found), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _kernel(found: Found) -> dict[str, Any]:
    return {
        "kernel": plain(found.title),
        "shipped": plain(found.shipped),
        "source": found.source,
        "notes": [plain(note) for note in found.notes],
        "status": found.status,
        "reason": None if found.unjudged is None else plain(found.unjudged),
        "structures": {
            structure.name: [
                {"member": row.member, "shipped": row.shipped, "shim": row.shim} for row in structure.rows
            ]
            for structure in found.structures
        },
        "options": [{"option": name, "shipped": there, "shim": here} for name, there, here in found.options],
        "constants": [
            {"name": one.name, "model": f"{one.model:#x}", "shim": f"{one.shim:#x}"}
            for one in found.constants
        ],
        "bits": {
            title: [{"high": field.high, "low": field.low, "name": field.name} for field in bits]
            for title, bits in found.bits
        },
    }
