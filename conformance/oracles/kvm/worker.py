# SPDX-License-Identifier: GPL-2.0-only
"""The process of a machine: it loads the library, initialises KVM for one host, and takes steps in C.

See supervising.py. Its one argument is the library. A process is begun with how many microseconds of
processor time a step may take, the host's numbers, which planted difference shows (0: none), and the
machine's options. It answers the ``error`` of initialising KVM, or 0; then, in C, that the machine is there.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import Any

from conformance.oracles.kvm.interface import Exchange
from conformance.oracles.supervising import Channel, supervise


def serve(channel: Channel, words: Sequence[Any]) -> None:
    """Run a machine."""
    patience, host, plant, options = words
    lib = ctypes.CDLL(sys.argv[6])
    exchange = Exchange.from_buffer(channel.memory)
    lib.conformance_plant(ctypes.c_ulong(plant))
    error = lib.kvm_boot(ctypes.byref(exchange), _words(host), ctypes.c_long(patience))
    channel.answer({"error": error})
    if not error:
        ends = (channel.requests, channel.answers, ctypes.c_ulong(channel.nonce))
        lib.kvm_serve(*ends, _words(options), ctypes.c_long(patience))


def _words(numbers: Sequence[int]) -> ctypes.Array[ctypes.c_uint64]:
    return (ctypes.c_uint64 * len(numbers))(*numbers)


if __name__ == "__main__":
    supervise(serve)
