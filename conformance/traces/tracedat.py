# SPDX-License-Identifier: GPL-2.0-only
"""Reading trace.dat through libtracecmd and libtraceevent, which know each event's own format."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cffi import FFI

from conformance.errors import ConformanceError
from conformance.traces.events import CONTEXT, EVENTS, PAGES, Event
from conformance.traces.trace import Trace

__all__ = ["read_trace_dat"]

_LIBRARIES = {"libtraceevent.so.1": "libtraceevent1", "libtracecmd.so.1": "libtracecmd1"}
"""The libraries, and the Debian packages that have them."""

_DECLARATIONS = """
typedef ... tracecmd_input; typedef ... tep_handle; typedef ... tep_event; typedef ... tep_format_field;
typedef struct {
    unsigned long long ts, offset; long long missed_events; int record_size; int size; void *data; int cpu;
    int ref_count; int locked; void *priv;
} tep_record;
tracecmd_input *tracecmd_open(const char *, int);
void tracecmd_close(tracecmd_input *);
tep_handle *tracecmd_get_tep(tracecmd_input *);
tep_record *tracecmd_read_next_data(tracecmd_input *, int *);
void tracecmd_free_record(tep_record *);
int tracecmd_cpus(tracecmd_input *);
const char *tracecmd_get_uname(tracecmd_input *);
tep_event *tep_find_event_by_record(tep_handle *, tep_record *);
tep_event *tep_find_event_by_name(tep_handle *, const char *, const char *);
tep_format_field *tep_find_field(tep_event *, const char *);
int tep_read_number_field(tep_format_field *, const void *, unsigned long long *);
int tep_data_pid(tep_handle *, tep_record *);
const char *tep_data_comm_from_pid(tep_handle *, int);
"""

_SYSTEMS = (b"kvmmmu", b"kvm")
_SIGNED = ("errno", "ret")
_PAGE_NUMBERS = ("mmu_valid_gen", "gfn", "role", "root_count", "unsync", "created")


def read_trace_dat(path: Path, trace: Trace) -> None:
    """Add the events of a trace.dat to ``trace``.

    Raises ConformanceError if the libraries are absent, or cannot read the file.
    """
    ffi = FFI()
    ffi.cdef(_DECLARATIONS)
    events, commands = (_loaded(ffi, name) for name in _LIBRARIES)
    handle = commands.tracecmd_open(str(path).encode(), 0)
    if handle == ffi.NULL:
        raise ConformanceError(
            f"{path}: libtracecmd cannot read this trace.dat; pass what 'trace-cmd report -i {path}' prints."
        )
    try:
        _Reader(ffi, events, commands, handle, trace).read()
    finally:
        commands.tracecmd_close(handle)


def _loaded(ffi: FFI, name: str) -> Any:
    try:
        return ffi.dlopen(name)
    except OSError as problem:
        packages = " and ".join(sorted(_LIBRARIES.values()))
        raise ConformanceError(
            f"A trace.dat is read through {' and '.join(_LIBRARIES)}, and {name} cannot be loaded. "
            f"Install the Debian packages {packages}, or pass what 'trace-cmd report' prints."
        ) from problem


class _Reader:
    """Reads the records of an open trace.dat."""

    def __init__(self, ffi: FFI, events: Any, commands: Any, handle: Any, trace: Trace) -> None:
        self.ffi = ffi
        self.events = events
        self.commands = commands
        self.handle = handle
        self.trace = trace
        self.tep = commands.tracecmd_get_tep(handle)
        self.known: dict[Any, tuple[str, list[tuple[str, Any]]]] = {}
        for name in (*EVENTS, *CONTEXT):
            found = (events.tep_find_event_by_name(self.tep, system, name.encode()) for system in _SYSTEMS)
            event = next((one for one in found if one != ffi.NULL), None)
            if event is not None:
                self.known[event] = name, self._fields(name, event)

    def _fields(self, name: str, event: Any) -> list[tuple[str, Any]]:
        """The fields of an event that its own format has, out of those that are read."""
        wanted = _PAGE_NUMBERS if name in PAGES else tuple(EVENTS[name].fields) if name in EVENTS else ()
        found = [(field, self.events.tep_find_field(event, field.encode())) for field in wanted]
        return [(field, place) for field, place in found if place != self.ffi.NULL]

    def read(self) -> None:
        """Add every record."""
        cpu = self.ffi.new("int *")
        value = self.ffi.new("unsigned long long *")
        self._read_release()
        self.trace.of_cpus = int(self.commands.tracecmd_cpus(self.handle))
        number = 0
        while (record := self.commands.tracecmd_read_next_data(self.handle, cpu)) != self.ffi.NULL:
            number += 1
            if record.missed_events:
                self.trace.lost.append(number - 1)
            known = self.known.get(self.events.tep_find_event_by_record(self.tep, record))
            if known is not None:
                self._add(number, known, record, value)
            self.commands.tracecmd_free_record(record)
        self.trace.lines = number

    def _read_release(self) -> None:
        """Read the kernel's release from what uname said when the trace was recorded."""
        try:
            said = self.commands.tracecmd_get_uname(self.handle)
        except AttributeError:
            return  # An older library.
        text = "" if said == self.ffi.NULL else self.ffi.string(said).decode("utf-8", "replace")
        if found := re.search(r" (\d{1,4})\.(\d{1,4})[\w.+~-]*", text):
            self.trace.release = int(found[1]), int(found[2])

    def _add(self, number: int, known: tuple[str, list[tuple[str, Any]]], record: Any, value: Any) -> None:
        name, places = known
        values: dict[str, Any] = {}
        for field, place in places:
            if self.events.tep_read_number_field(place, record.data, value) == 0:
                word = int(value[0])
                values[field] = word - (1 << 64) if field in _SIGNED and word >> 63 else word
        for field in ("unsync", "created"):
            if field in values:
                values[field] = bool(values[field])
        pid = self.events.tep_data_pid(self.tep, record)
        comm = self.events.tep_data_comm_from_pid(self.tep, pid)
        who = "" if comm == self.ffi.NULL else self.ffi.string(comm).decode("utf-8", "replace")
        time = f"{record.ts // 10**9}.{record.ts % 10**9:09}"
        pairs = " ".join(f"{field}={_written(field, one)}" for field, one in values.items())
        text = f"{re.sub(r'[^ -~]', '?', who)}-{pid} [{record.cpu:03}] {time}: {name}: {pairs}"
        self.trace.add(Event(number, name, values, text, pid=str(pid), cpu=str(record.cpu), time=time))


def _written(field: str, value: int) -> str:
    return str(value) if field in ("level", "as_id", "vcpu_id", "errno", "ret") else f"{value:#x}"
