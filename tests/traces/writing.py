# SPDX-License-Identifier: GPL-2.0-only
"""Traces for the tests: two records of running kernels, and how each tool would have written them.

The records are of 6.1 and 6.12 with NPT, of stories played on a stock kernel under QEMU's software emulation.
They hold the events in a short form in which frames are numbered: P1 is a page, T1 a table. From them come
traces of other kernels and modes: every SPTE is encoded anew as the model's masks of that mode say.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.model.layout import PT_PAGE_SIZE_MASK
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import profile_of
from conformance.model.semantics import Semantics
from conformance.model.spte.make_spte import make_nonleaf_spte
from conformance.model.spte.mmio import make_mmio_spte

RECORDS = Path(__file__).parent / "records"
PAGES, TABLES = 0x100000, 0x7000
ADDRESS = ((1 << 52) - 1) & ~0xFFF


@dataclass(frozen=True)
class Fact:
    """An event before it is written: its name, its fields, and who made it."""

    name: str
    fields: dict[str, Any]
    pid: int = 4321
    cpu: int = 2
    comm: str = "CPU 0/KVM-x-1"

    def of(self, **fields: Any) -> Fact:
        """The event with other fields."""
        return replace(self, fields={**self.fields, **fields})


_SPTE = r"(?:(?P<{0}_frame>[PT]\d+):)?(?P<{0}>[0-9a-f]+)"
_LINES = (
    (
        "kvm_tdp_mmu_spte_changed",
        rf"tdp_changed as(?P<as_id>\d) gfn=(?P<gfn>\w+) l(?P<level>\d) {_SPTE.format('old_spte')} -> "
        rf"{_SPTE.format('new_spte')}",
    ),
    (
        "kvm_mmu_set_spte",
        rf"set_spte gfn=(?P<gfn>\w+) l(?P<level>\d) \((?P<rights>.*)\) {_SPTE.format('spte')} "
        r"@(?P<sptep_frame>T\d+)\+(?P<sptep>\w+)",
    ),
    ("kvm_mmu_spte_requested", r"requested gfn=(?P<gfn>\w+) l(?P<level>\d) (?P<pfn>\w+)"),
    (
        "fast_page_fault",
        r"fast_page_fault: vcpu (?P<vcpu_id>\d+) gva (?P<cr2_or_gpa>\w+) error_code (?P<error_code>\S*) "
        rf"sptep (?P<sptep_frame>T\d+)\+(?P<sptep>\w+) old {_SPTE.format('old_spte')} "
        rf"new {_SPTE.format('new_spte')} "
        r"spurious (?P<spurious>\d) fixed (?P<fixed>\d)",
    ),
    (
        "mark_mmio_spte",
        r"mark_mmio_spte: sptep (?P<sptep_frame>T\d+)\+(?P<sptep>\w+) gfn (?P<gfn>\w+) "
        r"access (?P<access>\w+) gen (?P<gen>\w+)",
    ),
    (
        "kvm_mmu_split_huge_page",
        r"kvm_mmu_split_huge_page: gfn (?P<gfn>\w+) spte (?P<spte>\w+) level (?P<level>\d) "
        r"errno (?P<errno>\S+)",
    ),
    (
        "kvm_mmu_zap_all_fast",
        r"kvm_mmu_zap_all_fast: kvm-mmu-valid-gen (?P<mmu_valid_gen>\d) used_pages (?P<mmu_used_pages>\w+)",
    ),
    (
        "kvm_page_fault",
        r"kvm_page_fault: vcpu (?P<vcpu_id>\d+) rip 0x(?P<guest_rip>\w+) address 0x(?P<fault_address>\w+) "
        r"error_code 0x(?P<error_code>\w+)",
    ),
)  # fmt: skip
_PAGE = re.compile(
    r"(?P<name>kvm_mmu_\w+_page): sp gen (?P<mmu_valid_gen>\d) gfn (?P<gfn>\w+) l(?P<level>\d) "
    r"(?P<bytes>\d)-byte q(?P<quadrant>\d)(?P<direct> direct)? (?P<access>\S+)(?P<invalid> invalid)? "
    r"(?P<nx>!?)nxe (?P<ad>!?)ad "
    r"root (?P<root_count>\d+) (?P<unsync>\w+)(?: (?P<created>\w+))?"
)
_SPTES = ("old_spte", "new_spte", "spte")
_DECIMAL = {
    "as_id",
    "level",
    "vcpu_id",
    "spurious",
    "fixed",
    "errno",
    "mmu_valid_gen",
    "bytes",
    "quadrant",
    "root_count",
}
_TEXT = {"rights", "access", "unsync", "created", "direct", "invalid", "nx", "ad"}


def record(series: str) -> list[Fact]:
    """The events of the record of a series, with an entry after each exit that it has."""
    text = lzma.decompress((RECORDS / f"{series}-npt.xz").read_bytes()).decode()
    frames = _frames(text)
    facts: list[Fact] = []
    for line in text.splitlines():
        fact = _read(line, frames)
        if line.startswith("kvm_exit:"):
            facts.append(Fact("kvm_exit", {"rest": line.partition(": ")[2]}))
        if fact is None:
            continue
        facts.append(fact)
        if fact.name in ("kvm_mmu_set_spte", "fast_page_fault", "mark_mmio_spte"):
            facts.append(Fact("kvm_entry", {"vcpu_id": 0, "rip": 0x1000}))
    return facts


def _frames(text: str) -> dict[str, int]:
    """An address for each numbered frame; huge pages begin at one of theirs."""
    huge = set(re.findall(r" l2 (?:.*-> |\(.*\) )?(P\d+):\w*e[0-9a-f]7\b", text))
    names = dict.fromkeys(re.findall(r"\b[PT]\d+", text))
    frames = {}
    for name in names:
        number = int(name[1:])
        base = TABLES if name[0] == "T" else PAGES
        frames[name] = (0x200000 + 512 * number if name in huge else base + number) << 12
    return frames


def _read(line: str, frames: dict[str, int]) -> Fact | None:
    page = _PAGE.match(line)
    if page is not None:
        fields = page.groupdict()
        name = fields.pop("name")
        return Fact(name, {field: _value(field, text, frames) for field, text in fields.items()})
    for name, pattern in _LINES:
        match = re.match(pattern, line)
        if match is not None:
            found = match.groupdict()
            fields = {}
            for field, text in found.items():
                if not field.endswith("_frame"):
                    fields[field] = _value(field, text, frames) if field != "error_code" else _error(text)
                    frame = found.get(f"{field}_frame")
                    if frame is not None:
                        fields[field] |= frames[frame]
                        if field in _SPTES and not fields[field] & 1 << 11:
                            # The address of an MMIO SPTE is that of its gfn.
                            fields[field] = 1 << 51 | int(found["gfn"], 16) << 12 | fields[field] & 0xFFF
            if name == "mark_mmio_spte":
                fields["access"] = int(fields["access"], 16)
            if name in ("fast_page_fault", "mark_mmio_spte"):
                fields["sptep"] |= 0xFFFF888000000000
            return Fact(name, fields)
    return None


def _error(text: str) -> int:
    flags = {"P": 1, "W": 2, "U": 4, "RSVD": 8, "F": 16}
    return sum(flags[flag] if flag in flags else int(flag, 16) for flag in text.split("|"))


def _value(field: str, text: str | None, frames: dict[str, int]) -> Any:
    if text is None or field in _TEXT:
        return text
    if text in frames:
        return frames[text] >> 12
    return int(text, 10 if field in _DECIMAL else 16)


# Other kernels and modes.


def kernel(release: tuple[int, ...], mode: str) -> Semantics:
    """The masks of a kernel in a mode."""
    return kernel_in(MODES[mode], profile_of(release))


def recoded(facts: Iterable[Fact], was: Semantics, k: Semantics) -> list[Fact]:
    """The record as another kernel in another mode would have made it.

    Changes that this mode cannot show (of A/D bits that it does not have) are left out.
    """
    made = []
    for fact in facts:
        level = fact.fields.get("level", 1)
        sptes = {
            field: encoded(was, k, fact.fields[field], level, fact.fields.get("gfn", 0))
            for field in ("old_spte", "new_spte", "spte")
            if field in fact.fields
        }
        fields = {**fact.fields, **sptes}
        if fact.name == "kvm_tdp_mmu_spte_changed" and fields["old_spte"] == fields["new_spte"]:
            continue
        if fact.name == "fast_page_fault" and "ad" in fields:
            continue
        made.append(replace(fact, fields=fields))
    return made


def encoded(was: Semantics, k: Semantics, spte: int, level: int, gfn: int) -> int:
    """An SPTE of NPT (6.1 or 6.12) in another mode."""
    if spte in (0, was.layout.nonpresent_value):
        return int(k.layout.nonpresent_value)
    if spte == was.layout.frozen_spte:
        return int(k.layout.frozen_spte)
    address = spte & ADDRESS & ~(1 << 51)
    disabled = not (k.kvm_ad_enabled if k.kvm_ad_enabled or _always(k) else k.shadow_accessed_mask)
    if not spte & 1 << 11:
        generation = spte >> 3 & 0xFF
        return int(make_mmio_spte(k, gfn, 7, generation)) if spte >> 51 & 1 else spte
    if level > 1 and not spte & PT_PAGE_SIZE_MASK:
        return int(make_nonleaf_spte(k, address, disabled))
    made = k.layout.spte_mmu_present_mask | k.shadow_present_mask | address | spte & PT_PAGE_SIZE_MASK
    if k.shadow_x_mask:
        made |= 1 | k.shadow_x_mask | k.shadow_xu_mask | 0x30 | 0x40
    else:
        made |= 1 | k.shadow_user_mask
    made |= spte & 2
    for before, mask in (
        (was.shadow_host_writable_mask, k.shadow_host_writable_mask),
        (was.shadow_mmu_writable_mask, k.shadow_mmu_writable_mask),
    ):
        made |= mask if spte & before else 0
    if disabled:
        made |= k.layout.spte_tdp_ad_disabled | (k.shadow_accessed_mask if _always(k) else 0)
    else:
        made |= k.shadow_accessed_mask if spte & 0x20 else 0
        made |= k.shadow_dirty_mask if spte & 0x40 else 0
    return int(made)


def _always(k: Semantics) -> bool:
    from conformance.model.changes import SOFTWARE_ACCESSED

    return bool(k.has(SOFTWARE_ACCESSED))


# The forms.


def printed(fact: Fact, four: bool = False) -> str:
    """The event as its print format writes it; ``four``: with rights of four letters, since 7.2."""
    f = fact.fields
    if "rest" in f:
        return str(f["rest"])
    return _PRINTED.get(fact.name, _page)(f, four)


def _page(f: dict[str, Any], four: bool) -> str:
    rights = f["access"]
    if four and len(rights) == 3:
        rights = ("r" if rights != "---" else "-") + rights
    created = f" {f['created']}" if f.get("created") else ""
    return (
        f"sp gen {f['mmu_valid_gen']} gfn {f['gfn']:x} l{f['level']} {f['bytes']}-byte q{f['quadrant']}"
        f"{f['direct'] or ''} {rights}{f['invalid'] or ''} {f['nx']}nxe {f['ad']}ad root {f['root_count']} "
        f"{f['unsync']}{created}"
    )


def _flags(error: int) -> str:
    names = ("P", "W", "U", "RSVD", "F")
    rest = error & ~0x1F
    return "|".join(
        [*(name for bit, name in enumerate(names) if error >> bit & 1), *([f"{rest:#x}"] if rest else [])]
    )


_PRINTED: dict[str, Callable[[dict[str, Any], bool], str]] = {
    "kvm_tdp_mmu_spte_changed": lambda f, _: (
        f"as id {f['as_id']} gfn {f['gfn']:x} level {f['level']} old_spte {f['old_spte']:x} "
        f"new_spte {f['new_spte']:x}"
    ),
    "kvm_mmu_set_spte": lambda f, _: (
        f"gfn {f['gfn']:x} spte {f['spte']:x} ({f['rights']}) level {f['level']} at {f['sptep']:x}"
    ),
    "kvm_mmu_spte_requested": lambda f, four: (
        f"gfn {f['gfn']:x} pfn {f['pfn']:x} level {f['level']}{' access f' if four else ''}"
    ),
    "fast_page_fault": lambda f, _: (
        f"vcpu {f['vcpu_id']} gva {f['cr2_or_gpa']:x} error_code {_flags(f['error_code'])} "
        f"sptep {f['sptep']:016x} old {f['old_spte']:#x} new {f['new_spte']:x} spurious {f['spurious']} "
        f"fixed {f['fixed']}"
    ),
    "mark_mmio_spte": lambda f, _: (
        f"sptep:{f['sptep']:016x} gfn {f['gfn']:x} access {f['access']:x} gen {f['gen']:x}"
    ),
    "check_mmio_spte": lambda f, _: (
        f"spte {f['spte']:x} kvm_gen {f['kvm_gen']:x} spte-gen {f['spte_gen']:x} valid {f['valid']}"
    ),
    "handle_mmio_page_fault": lambda f, _: f"addr:{f['addr']:x} gfn {f['gfn']:x} access {f['access']:x}",
    "kvm_mmu_split_huge_page": lambda f, _: (
        f"gfn {f['gfn']:x} spte {f['spte']:x} level {f['level']} errno {f['errno']}"
    ),
    "kvm_mmu_zap_all_fast": lambda f, _: (
        f"kvm-mmu-valid-gen {f['mmu_valid_gen']} used_pages {f['mmu_used_pages']:x}"
    ),
    "kvm_page_fault": lambda f, _: (
        f"vcpu {f['vcpu_id']} rip 0x{f['guest_rip']:x} address 0x{f['fault_address']:016x} "
        f"error_code 0x{f['error_code']:x}"
    ),
    "kvm_entry": lambda f, _: f"vcpu {f['vcpu_id']}, rip 0x{f['rip']:x}",
}  # fmt: skip

_RAW = {
    "kvm_tdp_mmu_spte_changed": ("gfn", "old_spte", "new_spte", "level", "as_id"),
    "kvm_mmu_set_spte": ("gfn", "spte", "sptep", "level"),
    "kvm_mmu_spte_requested": ("gfn", "pfn", "level"),
    "fast_page_fault": ("vcpu_id", "cr2_or_gpa", "error_code", "sptep", "old_spte", "new_spte", "ret"),
    "mark_mmio_spte": ("sptep", "gfn", "access", "gen"),
    "check_mmio_spte": ("kvm_gen", "spte_gen", "spte"),
    "handle_mmio_page_fault": ("addr", "gfn", "access"),
    "kvm_mmu_split_huge_page": ("gfn", "spte", "level", "errno"),
    "kvm_mmu_zap_all_fast": ("mmu_valid_gen", "mmu_used_pages"),
    "kvm_page_fault": ("vcpu_id", "guest_rip", "fault_address", "error_code"),
    "kvm_entry": ("vcpu_id", "rip"),
}
_ACCESS = {"x": 1, "w": 2, "u": 4}


def raw(fact: Fact, four: bool = False) -> str:
    """The event as trace-cmd report -R writes it."""
    f = fact.fields
    if "rest" in f:
        return str(f["rest"])
    if fact.name not in _RAW:
        return failed(fact, four)
    f = {**f, "ret": (5 if f["fixed"] else 6 if f["spurious"] else 4) - (not four)} if "fixed" in f else f
    pairs = [f"{name}={f[name]}" if name in _DECIMAL else f"{name}={f[name]:x}" for name in _RAW[fact.name]]
    return " ".join([*pairs, "access=f"] if four and fact.name == "kvm_mmu_spte_requested" else pairs)


def failed(fact: Fact, four: bool = False) -> str:
    """An event about a page as tools write it that cannot parse its print format: in decimal."""
    f = fact.fields
    if "root_count" not in f:
        return printed(fact, four)
    access = sum(bit for letter, bit in _ACCESS.items() if letter in f["access"])
    role = f["level"] | (f["bytes"] == 4) << 4 | f["quadrant"] << 5 | bool(f["direct"]) << 7
    if four:
        role |= (access << 1 | 1) << 8 | bool(f["invalid"]) << 12
    else:
        role |= access << 8 | bool(f["invalid"]) << 11
    created = f" created={int(f['created'] == 'new')}" if f.get("created") else ""
    return (
        f"mmu_valid_gen={f['mmu_valid_gen']} gfn={f['gfn']} role={role} root_count={f['root_count']} "
        f"unsync={int(f['unsync'] == 'unsync')}{created}"
    )


def _system(fact: Fact) -> str:
    named = fact.name in ("kvm_page_fault", "kvm_entry", "kvm_exit")
    return "kvm" if named else "kvmmmu"


def _time(number: int) -> float:
    return 100 + number / 1e5


def _parsed(text: str, fact: Fact) -> str:
    return f"[FAILED TO PARSE] {text}" if "root_count" in fact.fields else text


Form = Callable[[int, Fact, bool], str]

FORMS: dict[str, Form] = {
    "tracefs": lambda n, e, four: (
        f" {e.comm}-{e.pid}    [{e.cpu:03}] d..1. {_time(n):.6f}: {e.name}: {printed(e, four)}"
    ),
    "tracefs-tgid": lambda n, e, four: (
        f" {e.comm}-{e.pid}    (   4300) [{e.cpu:03}] ..... {_time(n):.6f}: {e.name}: {printed(e, four)}"
    ),
    "report": lambda n, e, four: (
        f"  {e.comm}-{e.pid}  [{e.cpu:03}] {_time(n):.6f}: {e.name:<20} {_parsed(failed(e, four), e)}"
    ).replace(f"{e.name} ", f"{e.name}: ", 1),
    "report-t": lambda n, e, four: (
        f"  {e.comm}-{e.pid}  [{e.cpu:03}] {_time(n):.9f}: {e.name}:  {_parsed(failed(e, four), e)}"
    ),
    "report-l": lambda n, e, four: (
        f"  {e.comm}-{e.pid}     {e.cpu}d..1. {_time(n):.6f}: {e.name}:  {_parsed(failed(e, four), e)}"
    ),
    "report-R": lambda n, e, four: (
        f"  {e.comm}-{e.pid}  [{e.cpu:03}] {_time(n):.6f}: {e.name}:  {raw(e, four)}"
    ),
    "perf": lambda n, e, four: (
        f"{e.comm:>16} {e.pid:5} [{e.cpu:03}] {_time(n):.6f}: {_system(e)}:{e.name}: "
        f"{_parsed(failed(e, four), e)}"
    ),
    "perf-F": lambda n, e, four: (
        f"{e.comm:>16} {e.pid}/{e.pid} [{e.cpu:03}] {_time(n):.6f}: {_system(e):>10}:{e.name}: "
        f"{_parsed(failed(e, four), e)}"
    ),
    "perf-tid": lambda n, e, four: (
        f" {e.pid} [{e.cpu:03}] {_time(n):.9f}: {_system(e)}:{e.name}: {printed(e, four)}"
    ),
    "bpftrace": lambda n, e, four: (
        f"{e.comm}-{e.pid} [{e.cpu:03}] {_time(n):.6f}: {e.name}: {printed(e, four)}"
    ),
}  # fmt: skip
"""Every text form: how it writes an event that is the n-th of its trace."""

HEADERS = {
    "tracefs": "# tracer: nop\n#\n# entries-in-buffer/entries-written: 5/5   #P:4\n#\n",
    "report": "cpus=4\n",
    "report-R": "cpus=4\n",
}


def text(facts: Iterable[Fact], form: str, four: bool = False) -> str:
    """A trace in one of the forms."""
    write = FORMS[form]
    return HEADERS.get(form, "") + "".join(
        f"{write(number, fact, four)}\n" for number, fact in enumerate(facts)
    )
