# SPDX-License-Identifier: GPL-2.0-only
"""The C batch loop alone, in a separate process: ``python batch_loop.py REQUEST.json``.

Each line on stdin is a number of runs of shim_run() over the chunk; the answer is their nanoseconds
of processor time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import cffi
import numpy as np

from conformance.oracles.shim.interface import CDEF


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    ffi = cffi.FFI()
    ffi.cdef(CDEF)
    lib = ffi.dlopen(request["library"])
    lib.shim_configure(ffi.new("uint64_t[]", request["host"]))
    batches = np.load(request["batches"])
    chunks, _, n = batches.shape
    out = np.zeros((request["nr_out"] + 1, n), np.uint64)
    inputs = [ffi.from_buffer("uint64_t[]", batches[i]) for i in range(chunks)]
    outputs = ffi.from_buffer("uint64_t[]", out, require_writable=True)
    at = ffi.new("uint64_t *")
    for line in sys.stdin:
        start = time.process_time_ns()
        for i in range(int(line)):
            lib.shim_run(request["entry"], inputs[i % chunks], outputs, n, at)
        print(time.process_time_ns() - start, flush=True)


if __name__ == "__main__":
    main()
