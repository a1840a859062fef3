# SPDX-License-Identifier: GPL-2.0-only
"""Writes events as a trace.dat (version 6, one CPU), with the formats of the events that are in it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from writing import Fact

PAGE = 4096
HEADER_PAGE = (
    "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
    "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
    "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
    "\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n"
)
HEADER_EVENT = (
    "# compressed entry header\n\ttype_len    :    5 bits\n"
    "\ttime_delta  :   27 bits\n\tarray       :   32 bits\n\n"
    "\tpadding     : type == 29\n\ttime_extend : type == 30\n\ttime_stamp : type == 31\n"
    "\tdata max type_len  == 28\n"
)
COMMON = (("unsigned short common_type", 2), ("unsigned char common_flags", 1),
          ("unsigned char common_preempt_count", 1), ("int common_pid", 4))  # fmt: skip
PAGE_FIELDS = (("mmu_valid_gen", 1), ("gfn", 8), ("role", 4), ("root_count", 4), ("unsync", 1))
FIELDS = {
    "kvm_tdp_mmu_spte_changed": (("gfn", 8), ("old_spte", 8), ("new_spte", 8), ("level", 1), ("as_id", 1)),
    "kvm_mmu_set_spte": (("gfn", 8), ("spte", 8), ("sptep", 8), ("level", 1)),
    "fast_page_fault": (("vcpu_id", 4), ("cr2_or_gpa", 8), ("error_code", 8), ("sptep", 8), ("old_spte", 8),
                        ("new_spte", 8), ("ret", 4)),
    "mark_mmio_spte": (("sptep", 8), ("gfn", 8), ("access", 4), ("gen", 4)),
    "kvm_mmu_get_page": (*PAGE_FIELDS, ("created", 1)),
    "kvm_mmu_prepare_zap_page": PAGE_FIELDS,
    "kvm_page_fault": (("vcpu_id", 4), ("guest_rip", 8), ("fault_address", 8), ("error_code", 8)),
    "kvm_entry": (("vcpu_id", 4), ("rip", 8)),
}  # fmt: skip
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_MISSED = 1 << 31
_UNAME = 5
_ACCESS = {"x": 1, "w": 2, "u": 4}


def trace_dat(facts: Sequence[Fact], *, lost_before_page: int | None = None) -> bytes:
    """The events that have a format here; before one page of the ring buffer some may be lost."""
    ids = {name: 500 + number for number, name in enumerate(FIELDS)}
    records = [_record(ids[fact.name], fact) for fact in facts if fact.name in FIELDS]
    pages = _pages(records, lost_before_page)
    head = b"\x17\x08Dtracing6\0" + struct.pack("<BBI", 0, 8, PAGE)
    head += b"header_page\0" + _sized(HEADER_PAGE) + b"header_event\0" + _sized(HEADER_EVENT)
    head += struct.pack("<I", 0)
    systems = {"kvmmmu": [], "kvm": []}
    for name in FIELDS:
        systems["kvm" if name in ("kvm_page_fault", "kvm_entry") else "kvmmmu"].append(name)
    head += struct.pack("<I", len(systems))
    for system, names in systems.items():
        head += system.encode() + b"\0" + struct.pack("<I", len(names))
        head += b"".join(_sized(_format(name, ids[name])) for name in names)
    head += struct.pack("<II", 0, 0)  # No symbols, no formats of printk().
    head += _sized("4321 CPU 0/KVM-x-1\n") + struct.pack("<I", 1)
    uname = b"Linux host 6.1.0-25-amd64 #1 SMP Debian 6.1.106-3 x86_64\0"
    head += (
        b"options  \0"
        + struct.pack("<HI", _UNAME, len(uname))
        + uname
        + struct.pack("<H", 0)
        + b"flyrecord\0"
    )
    start = (len(head) + 16 + PAGE - 1) // PAGE * PAGE
    return (head + struct.pack("<QQ", start, len(pages))).ljust(start, b"\0") + pages


def _sized(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _places(name: str) -> list[tuple[str, int, int]]:
    """Name, offset and size of the fields, aligned as a compiler does."""
    places, at = [], 8
    for field, size in FIELDS[name]:
        at = (at + size - 1) // size * size
        places.append((field, at, size))
        at += size
    return places


def _format(name: str, number: int) -> str:
    at, lines = 0, []
    for field, size in COMMON:
        lines.append(f"\tfield:{field};\toffset:{at};\tsize:{size};\tsigned:{int(field.startswith('int'))};")
        at += size
    lines.append("")
    for field, offset, size in _places(name):
        lines.append(f"\tfield:__u{8 * size} {field};\toffset:{offset};\tsize:{size};\tsigned:0;")
    return f"name: {name}\nID: {number}\nformat:\n" + "\n".join(lines) + '\n\nprint fmt: "x"\n'


def _record(number: int, fact: Fact) -> bytes:
    fields: dict[str, Any] = {**fact.fields}
    if "root_count" in fields:
        access = sum(bit for letter, bit in _ACCESS.items() if letter in fields["access"])
        fields["role"] = (
            fields["level"] | bool(fields["direct"]) << 7 | access << 8 | bool(fields["invalid"]) << 11
        )
        fields["unsync"], fields["created"] = fields["unsync"] == "unsync", fields["created"] == "new"
    if "fixed" in fields:
        fields["ret"] = 4 if fields["fixed"] else 5 if fields["spurious"] else 3
    data = bytearray(struct.pack("<HBBi", number, 0, 0, fact.pid))
    for field, offset, size in _places(fact.name):
        data = data.ljust(offset, b"\0") + struct.pack(f"<{_CODES[size]}", int(fields[field]))
    data = data.ljust((len(data) + 3) // 4 * 4, b"\0")
    return struct.pack("<I", len(data) // 4 | 1000 << 5) + bytes(data)


def _pages(records: Sequence[bytes], lost_before_page: int | None) -> bytes:
    pages, page = [], b""
    for record in records:
        if len(page) + len(record) > PAGE - 16:
            pages.append(page)
            page = b""
        page += record
    pages.append(page)
    written = b""
    for number, page in enumerate(pages):
        commit = len(page) | (_MISSED if number == lost_before_page else 0)
        written += (struct.pack("<QQ", 10**11 + number * 10**8, commit) + page).ljust(PAGE, b"\0")
    return written
