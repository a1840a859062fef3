# SPDX-License-Identifier: GPL-2.0-only
"""The child process in which kernel code runs: loads one shim library and does as it is told.

Started as ``python worker.py LIBRARY FD PATIENCE``: FD is the shared memory,
PATIENCE how many seconds of processor time a batch may take (not of wall time, which on a busy machine
says nothing). One request a line on stdin, a JSON list of a word and its arguments; one JSON answer a
line on stdout.

The process that serves is a fork of one that only waits: should kernel code end it, the answer is
``{"died": "died of SIGSEGV", "hung": false}``, and a new fork serves in its place, its masks not yet set.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
from typing import Any

import cffi

from conformance.oracles.shim.interface import AT, CDEF, COVERED, INPUTS, OUTPUTS, SHARED_BYTES


def serve(ffi: cffi.FFI, lib: Any, fd: int, patience: float) -> None:
    """Answer requests until stdin ends."""
    shared = ffi.from_buffer("char[]", mmap.mmap(fd, SHARED_BYTES), require_writable=True)
    at = ffi.cast("uint64_t *", shared + AT)
    inputs = ffi.cast("uint64_t *", shared + INPUTS)
    outputs = ffi.cast("uint64_t *", shared + OUTPUTS)

    def entries() -> list[list[Any]]:
        found = (lib.shim_entry(i) for i in range(lib.shim_nr_entries()))
        return [[ffi.string(entry.name).decode(), entry.nr_in, entry.nr_out] for entry in found]

    for line in sys.stdin:
        request, *arguments = json.loads(line)
        answer: Any = None
        # Ends the process when it is over; that is told by the one that waits.
        signal.setitimer(signal.ITIMER_VIRTUAL, patience)
        if request == "entries":
            answer = entries()
        elif request == "configure":
            lib.shim_configure(ffi.new("uint64_t[]", arguments[0]))
        elif request == "expect":
            for slot, name in enumerate(arguments[0]):
                lib.shim_expect(slot, name.encode())
        elif request == "run":
            entry, n = arguments
            lib.shim_run(entry, inputs, outputs, n, at)
            answer = ffi.string(lib.shim_unexpected()).decode()
        elif request == "covered":
            offsets = ffi.new("uint64_t[]", COVERED)
            answer = list(offsets[0 : lib.shim_covered(offsets)])
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        print(json.dumps(answer), flush=True)


def keep_serving(library: str, fd: int, patience: float) -> None:
    """Serve until stdin ends, however often kernel code ends the serving process."""
    # Loaded before forking, so that a new fork costs little; no kernel code runs in this process.
    ffi = cffi.FFI()
    ffi.cdef(CDEF)
    lib = ffi.dlopen(library)
    while True:
        pid = os.fork()
        if pid == 0:
            serve(ffi, lib, fd, patience)
            sys.stdout.flush()
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == 0:
            return
        hung = code == -signal.SIGVTALRM
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        if hung:
            how = f"did not come back within {patience:g} s of processor time"
        print(json.dumps({"died": how, "hung": hung}), flush=True)


if __name__ == "__main__":
    keep_serving(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
