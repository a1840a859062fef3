# SPDX-License-Identifier: GPL-2.0-only
"""The events that are checked: their names, their fields, and how print formats and raw formats write them.

Fields have the names of the events' own formats (``events/kvmmmu/*/format``). A text is one of two forms:
what the print format writes ("gfn 1 level 1 old_spte 0 new_spte 5a0"), or ``field=value`` pairs, which
trace-cmd and perf write with -R, and for events whose print format they cannot parse.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["CONTEXT", "COUNTED", "EVENTS", "PAGES", "Event", "Form", "key_values"]

Values = dict[str, Any]


class Event:
    """One event of a trace. ``values`` are its fields by name; fields that the text lacks are absent.

    ``pid`` is that of the thread, and "" if the text does not have it, as are ``cpu`` and ``time``. ``tail``
    is the field that ends the text, if the rest of a cut line could be taken for it; ``cut`` is whether the
    line is known to have been cut there, and ``folded`` whether it was put together from several lines.
    """

    __slots__ = ("cpu", "cut", "folded", "line", "name", "pid", "tail", "text", "time", "values")

    def __init__(
        self,
        line: int,
        name: str,
        values: Values,
        text: str,
        *,
        pid: str = "",
        cpu: str = "",
        time: str = "",
        tail: str = "",
    ) -> None:
        self.line = line
        self.name = name
        self.values = values
        self.text = text
        self.pid = pid
        self.cpu = cpu
        self.time = time
        self.tail = tail
        self.cut = False
        self.folded = False

    def __repr__(self) -> str:
        return f"Event({self.line}, {self.name}, {self.values})"


def _hex(text: str) -> int | None:
    return None if text == "(null)" else int(text, 16)


def _flags(text: str) -> int | None:
    """An error code: a number, or the names of its bits."""
    if not text or text[0] in "0123456789":
        return int(text or "0", 16)
    # __print_flags() appends bits without a name as a number.
    return sum(_PFERR[name] if name in _PFERR else _number(name) for name in text.split("|"))


def _number(text: str) -> int:
    return int(text, 16) if re.fullmatch("(0x)?[0-9a-f]{1,16}", text) else 0


_PFERR = {"P": 1, "W": 2, "U": 4, "RSVD": 8, "F": 16, "PK": 32, "SS": 64, "SGX": 1 << 15}


@dataclass(frozen=True)
class Form:
    """How an event is written.

    ``printed`` matches the text of its print format. ``fields`` converts the text of each field; it also has
    those that only the raw format has.
    """

    printed: re.Pattern[str]
    fields: dict[str, Callable[[str], Any]]
    last: str = ""
    """The field that ends the text, if the end of a cut line could be taken for it."""


def _x(name: str) -> str:
    """A hex number of at most 64 bits, with 0x or without."""
    return rf"(?:0x)?(?P<{name}>[0-9a-fA-F]{{1,16}})(?![0-9a-zA-Z])"


def _pointer(name: str) -> str:
    """A hex number, or a null pointer."""
    return rf"(?:0x)?(?P<{name}>[0-9a-fA-F]{{1,16}}|\(null\))"


def _d(name: str) -> str:
    """A decimal number that is no address."""
    return rf"(?P<{name}>-?\d{{1,9}})(?!\d)"


_PAGE = re.compile(
    rf"sp (?:gen {_d('mmu_valid_gen')} )?(?:gfn )?{_x('gfn')} l(?P<level>\d) (?P<bytes>[48])-byte "
    r"q(?P<quadrant>\d)(?P<direct> direct)? (?P<access>[rwux-]{3,4})(?P<invalid> invalid)? (?P<nx>!?)nxe "
    r"(?P<ad>!?)ad root (?P<root_count>-?\d{1,9}) (?P<unsync>unsync|sync)\b\s*(?P<created>new|existing)?\s*$"
)

_PAGE_FIELDS: dict[str, Callable[[str], Any]] = {
    "mmu_valid_gen": int,
    "gfn": _hex,
    "level": int,
    "bytes": int,
    "quadrant": int,
    "direct": bool,
    "access": str,
    "invalid": bool,
    "nx": str,
    "ad": str,
    "root_count": int,
    "unsync": lambda text: text == "unsync",
    "created": lambda text: text == "new",
    "role": int,
}

PAGES = (
    "kvm_mmu_get_page",
    "kvm_mmu_prepare_zap_page",
    "kvm_mmu_sync_page",
    "kvm_mmu_unsync_page",
)
"""The events about shadow pages, which share their fields."""

EVENTS: dict[str, Form] = {
    "kvm_tdp_mmu_spte_changed": Form(
        re.compile(
            rf"as id {_d('as_id')} gfn {_x('gfn')} level {_d('level')} old_spte {_x('old_spte')} "
            rf"new_spte {_x('new_spte')}"
        ),
        {"as_id": int, "gfn": _hex, "level": int, "old_spte": _hex, "new_spte": _hex},
        last="new_spte",
    ),
    "kvm_mmu_set_spte": Form(
        re.compile(
            rf"gfn {_x('gfn')} spte {_x('spte')} \((?P<rights>[rwux-]*)\) level {_d('level')} "
            rf"at {_pointer('sptep')}"
        ),
        {"gfn": _hex, "spte": _hex, "rights": str, "level": int, "sptep": _hex},
    ),
    "fast_page_fault": Form(
        re.compile(
            rf"vcpu {_d('vcpu_id')} gva {_x('cr2_or_gpa')} error_code (?P<error_code>\S*) "
            rf"sptep {_pointer('sptep')} old {_x('old_spte')} "
            rf"new {_x('new_spte')} spurious (?P<spurious>[01]) fixed (?P<fixed>[01])"
        ),
        {
            "vcpu_id": int,
            "cr2_or_gpa": _hex,
            "error_code": _flags,
            "sptep": _hex,
            "old_spte": _hex,
            "new_spte": _hex,
            "spurious": int,
            "fixed": int,
            "ret": int,
        },
    ),
    "mark_mmio_spte": Form(
        re.compile(
            rf"sptep:{_pointer('sptep')} gfn {_x('gfn')} access {_x('access')} "
            rf"gen {_x('gen')}"
        ),
        {"sptep": _hex, "gfn": _hex, "access": _hex, "gen": _hex},
        last="gen",
    ),
    "check_mmio_spte": Form(
        re.compile(
            rf"spte {_x('spte')} kvm_gen {_x('kvm_gen')} spte-gen {_x('spte_gen')} "
            r"valid (?P<valid>[01])"
        ),
        {"spte": _hex, "kvm_gen": _hex, "spte_gen": _hex, "valid": int},
    ),
    "handle_mmio_page_fault": Form(
        re.compile(rf"addr:{_x('addr')} gfn {_x('gfn')} access {_x('access')}"),
        {"addr": _hex, "gfn": _hex, "access": _hex},
    ),
    "kvm_mmu_split_huge_page": Form(
        re.compile(rf"gfn {_x('gfn')} spte {_x('spte')} level {_d('level')} errno {_d('errno')}"),
        {"gfn": _hex, "spte": _hex, "level": int, "errno": int},
    ),
    "kvm_mmu_spte_requested": Form(
        re.compile(rf"gfn {_x('gfn')} pfn {_x('pfn')} level {_d('level')}(?: access {_x('access')})?"),
        {"gfn": _hex, "pfn": _hex, "level": int, "access": _hex},
    ),
    "kvm_mmu_zap_all_fast": Form(
        re.compile(rf"kvm-mmu-valid-gen {_d('mmu_valid_gen')} used_pages {_x('mmu_used_pages')}"),
        {"mmu_valid_gen": int, "mmu_used_pages": _hex},
    ),
    "kvm_page_fault": Form(
        re.compile(
            rf"(?:vcpu {_d('vcpu_id')} rip {_x('guest_rip')} )?"
            rf"address {_x('fault_address')} error_code {_x('error_code')}"
        ),
        {"vcpu_id": int, "guest_rip": _hex, "fault_address": _hex, "error_code": _hex},
    ),
    "kvm_entry": Form(
        re.compile(rf"vcpu {_d('vcpu_id')}"),
        {"vcpu_id": int},
    ),
    **dict.fromkeys(PAGES, Form(_PAGE, _PAGE_FIELDS)),
}
"""Every event whose fields are read."""

COUNTED = ("kvm_exit", "kvm_unmap_hva_range", "kvm_async_pf_completed", "kvm_try_async_get_page")
"""Events that are only counted: the report says that the trace has them."""

CONTEXT = ("kvm_mmio", "vcpu_match_mmio", "kvm_emulate_insn", "kvm_inj_exception", *COUNTED)
"""Events whose fields are not read; those that are not only counted answer a fault."""

_PAIR = re.compile(r"\b(\w+)=(-?(?:0x)?[0-9a-fA-F]{1,20}|\(null\))(?![0-9a-zA-Z])")
_NAMES = {"kvm_entry": {"vcpu": "vcpu_id"}, "kvm_page_fault": {"vcpu": "vcpu_id"}}


def key_values(name: str, text: str, *, decimal: bool) -> tuple[Values, str] | None:
    """The fields of an event that is written as ``field=value`` pairs, and the field that ends the text.

    None if it is not written so, or is incomplete. The field is "" unless it is a hex number. ``decimal``:
    numbers without 0x are decimal, where the print format writes hex.
    """
    form = EVENTS[name]
    renamed = _NAMES.get(name, {})
    found: Values = {}
    last = ""
    for match in _PAIR.finditer(text):
        field, value = renamed.get(match[1], match[1]), match[2]
        if field not in form.fields:
            continue
        if field in found:
            # Two events on one line.
            return None
        if value == "(null)":
            found[field] = None
        else:
            found[field] = number = int(value, _base(form, field, value, decimal))
            if number >> 64 and number >= 0:
                return None
        last = field if match.end() == len(text) and form.fields[field] is _hex else ""
    missing = _RAW_NEEDED[name] - {field for field, value in found.items() if value is not None}
    return None if missing else (found, last)


def _base(form: Form, field: str, value: str, decimal: bool) -> int:
    if value.lstrip("-").startswith("0x") or (not decimal and form.fields[field] in (_hex, _flags)):
        return 16
    return 16 if re.search("[a-fA-F]", value) else 10


_RAW_NEEDED: dict[str, set[str]] = {
    "kvm_tdp_mmu_spte_changed": {"as_id", "gfn", "level", "old_spte", "new_spte"},
    "kvm_mmu_set_spte": {"gfn", "spte", "level"},
    "fast_page_fault": {"vcpu_id", "cr2_or_gpa", "error_code", "old_spte", "new_spte", "ret"},
    "mark_mmio_spte": {"gfn", "access", "gen"},
    "check_mmio_spte": {"spte", "kvm_gen", "spte_gen"},
    "handle_mmio_page_fault": {"addr", "gfn"},
    "kvm_mmu_split_huge_page": {"gfn", "spte", "level", "errno"},
    "kvm_mmu_spte_requested": {"gfn", "pfn", "level"},
    "kvm_mmu_zap_all_fast": {"mmu_valid_gen"},
    "kvm_page_fault": {"fault_address", "error_code"},
    "kvm_entry": {"vcpu_id"},
    "kvm_mmu_get_page": {"mmu_valid_gen", "gfn", "role", "unsync", "created"},
    **{name: {"mmu_valid_gen", "gfn", "role", "unsync"} for name in PAGES[1:]},
}
"""The fields without which an event in raw form is incomplete, as after a cut."""
