# SPDX-License-Identifier: GPL-2.0-only
"""The worker process, in which the KVM of a kernel races: loads the library, performs one task, answers.

See supervising.py for the protocol and wire_format.py for requests and outcomes. Its argument is the library.
The explorer runs in the same process as kernel code, since a switch of processes for each access would take
too long. At most once a second, between schedules, the worker answers with the number of schedules started,
as a heartbeat; the last answer is the outcome.
"""

from __future__ import annotations

import mmap
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from conformance.oracles.lacking import Lacking
from conformance.oracles.supervising import Channel, supervise
from conformance.races.kernel_side import kernel_side
from conformance.races.tasks import Outcome, perform
from conformance.races.wire_format import Request, read_request, write_outcome

HEARTBEAT = 1.0
"""Seconds between two heartbeats."""


def serve(channel: Channel, words: list[Any]) -> None:
    """Perform a task and send its outcome."""
    channel.answer(write_outcome(_outcome(read_request(words[0]), channel.memory, channel.answer)))


def _outcome(request: Request, memory: mmap.mmap, send: Callable[[int], None]) -> Outcome:
    try:
        library = Path(sys.argv[6])
        subject = kernel_side(
            request.program,
            library,
            request.host,
            request.reports_dirty,
            memory,
            request.patience,
            request.plant,
        )
        subject.begin = _with_heartbeat(subject.begin, send)
        outcome = perform(request.task, subject)
        subject.write_coverage()
        return outcome
    except Lacking as lacking:
        return Outcome(lacking=lacking)
    except Exception as trouble:
        return Outcome(trouble=f"{type(trouble).__name__}: {trouble}")


def _with_heartbeat(begin: Callable[..., None], send: Callable[[int], None]) -> Callable[..., None]:
    """``begin``, which also sends the number of its calls when a heartbeat is due."""
    started, due = 0, time.monotonic() + HEARTBEAT

    def counting(choices: Sequence[int] = ()) -> None:
        nonlocal started, due
        started += 1
        if (now := time.monotonic()) >= due:
            due = now + HEARTBEAT
            send(started)
        begin(choices)

    return counting


if __name__ == "__main__":
    supervise(serve)
