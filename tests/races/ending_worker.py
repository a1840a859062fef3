# SPDX-License-Identifier: GPL-2.0-only
"""Stands in for races/worker.py: ends the process as described in a file, which is passed as the library.

The file is JSON, a list of two: the end of a worker that explores, and of one that traces. ``death``,
``what`` and ``number`` go into the exchange as from c/process/process.c, ``chosen`` and ``nr_choices`` into
what is shared; ``answers`` are given, ``raw`` is written; ``code`` is the exit code.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

from conformance.oracles.kvm.interface import Exchange
from conformance.oracles.kvm.race_interface import Shared
from conformance.oracles.supervising import Channel, supervise


def serve(channel: Channel, words: list[Any]) -> None:
    """Send what the file says, and end the process."""
    endings = json.loads(Path(sys.argv[6]).read_text())
    ending = endings[words[0]["task"]["kind"] == "trace"]
    exchange = Exchange.from_buffer(channel.memory)
    exchange.death, exchange.number, exchange.at = (
        ending.get("death", 0),
        ending.get("number", 0),
        0x110,
    )
    exchange.what = ending.get("what", "").encode()
    shared = Shared.from_buffer(channel.memory, ctypes.sizeof(Exchange))
    chosen = ending.get("chosen", [])
    shared.choices[: len(chosen)] = chosen
    shared.nr_choices = ending.get("nr_choices", len(chosen))
    for answer in ending.get("answers", []):
        channel.answer(answer)
    os.write(channel.answers, ending.get("raw", "").encode())
    os._exit(ending.get("code", 1))


if __name__ == "__main__":
    supervise(serve)
