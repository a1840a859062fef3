# SPDX-License-Identifier: GPL-2.0-only
"""The server process: loads one library, initialises KVM for one host, and forks a child for each machine.

Started as ``python worker.py LIBRARY SHARED REQUESTS ANSWERS PATIENCE HOST PLANT``: three file descriptors,
how many microseconds of processor time a step may take, the host's numbers separated by commas, and which
planted difference shows, 0 for none. First it
says what can be done, as one line of JSON on stdout: the steps' usages, the names in a state, an ``error``.
Each line on stdin, the options as numbers separated by commas, asks for a machine, which then converses over
the descriptors in C. When it has ended, ``X`` follows on ANSWERS, and the exchange tells why.

No kernel code runs in this process after the initialisation, so a machine's end is never its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import sys

from conformance.oracles.kvm.interface import Death, Exchange


def serve(
    library: str, shared: int, requests: int, answers: int, patience: int, host: list[int], plant: int
) -> None:
    """Initialise, then make machines until stdin ends."""
    lib = ctypes.CDLL(library)
    lib.kvm_step_usage.restype = lib.kvm_state_names.restype = ctypes.c_char_p
    memory = mmap.mmap(shared, ctypes.sizeof(Exchange))
    exchange = Exchange.from_buffer(memory)
    lib.conformance_plant(ctypes.c_ulong(plant))
    error = lib.kvm_boot(
        ctypes.byref(exchange), (ctypes.c_uint64 * len(host))(*host), ctypes.c_long(patience)
    )
    steps: list[str] = []
    while usage := lib.kvm_step_usage(len(steps)):
        steps.append(usage.decode())
    print(
        json.dumps({"error": error, "steps": steps, "state": lib.kvm_state_names().decode().split()}),
        flush=True,
    )
    for line in sys.stdin:
        options = [int(word) for word in line.split(",")]
        exchange.death = Death.ALIVE
        try:
            pid = os.fork()
        except OSError as problem:
            exchange.death, exchange.number = Death.SYSTEM, problem.errno
            exchange.what = b"the system gives kernel code no process"
            os.write(answers, b"X")
            continue
        if pid == 0:
            lib.kvm_serve(
                requests, answers, (ctypes.c_uint64 * len(options))(*options), ctypes.c_long(patience)
            )
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code < 0 and exchange.death == Death.ALIVE:
            exchange.death, exchange.number = Death.SIGNAL, -code
        # Whoever asked may be gone as well.
        with contextlib.suppress(BrokenPipeError):
            os.write(answers, b"X")


if __name__ == "__main__":
    memory_fd, in_fd, out_fd, microseconds = map(int, sys.argv[2:6])
    numbers = [int(word) for word in sys.argv[6].split(",")]
    serve(sys.argv[1], memory_fd, in_fd, out_fd, microseconds, numbers, int(sys.argv[7]))
