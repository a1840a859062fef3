# SPDX-License-Identifier: GPL-2.0-only
"""The C header that is generated from conformance/interface: steps, arguments, options, codes, counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from conformance.interface.access import FETCH, MMIO_EXIT, READ, WRITE, End, Exit, Privilege
from conformance.interface.observation import Counters, RoleView, State
from conformance.interface.options import OPTIONS
from conformance.interface.steps import FAULTS, KINDS

__all__ = ["ORDER", "header_text", "write_header"]

ORDER = {kind.name: (code, kind.parameters) for code, kind in enumerate((*KINDS.values(), FAULTS))}
"""The code of each step of the library and the names of its arguments, by name."""


def header_text() -> str:
    """The text of interface.h, with an X-macro and a struct of arguments for each step."""
    lines = [
        "/* Generated from conformance/interface. */",
        "#ifndef CONFORMANCE_KVM_INTERFACE_H",
        "#define CONFORMANCE_KVM_INTERFACE_H",
        "",
        *_enum("step", {f"STEP_{name}": code for name, (code, _) in ORDER.items()}),
        *_each("STEPS", ORDER),
        *(_arguments(name, names) for name, (_, names) in ORDER.items()),
        *_enum("option", {f"OPTION_{name.upper()}": index for index, name in enumerate(OPTIONS)}),
        *_enum("", {"ACCESS_READ": READ, "ACCESS_WRITE": WRITE, "ACCESS_FETCH": FETCH}),
        *_enum("", {**{f"EXIT_{code.name}": code for code in Exit}, "EXIT_MMIO": MMIO_EXIT}),
        *_enum("", {f"END_{end.name}": end for end in End}),
        *_enum("", {f"PRIVILEGE_{one.name}": one for one in Privilege}),
        *_each("STATE_FIELDS", State._fields),
        *_each("COUNTER_FIELDS", Counters._fields),
        *_each("ROLE_FIELDS", RoleView._fields),
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def write_header(text: str, folder: Path) -> None:
    """Write interface.h."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "interface.h").write_text(text)


def _enum(name: str, values: Mapping[str, int]) -> list[str]:
    members = [f"\t{one} = {int(value)}," for one, value in values.items()]
    return [f"enum {name} {{" if name else "enum {", *members, "};"]


def _each(macro: str, names: Iterable[str]) -> list[str]:
    """A macro that applies another one to each name."""
    return [f"#define {macro}(each) \\", *(f"\teach({name}) \\" for name in names), ""]


def _arguments(step: str, names: tuple[str, ...]) -> str:
    members = " ".join(f"unsigned long {name};" for name in names)
    return f"struct {step}_arguments {{ {members} }};"
