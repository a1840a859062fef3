# SPDX-License-Identifier: GPL-2.0-only
"""The process in which the KVM of a kernel races: loads the library, does a task, and answers.

See supervising.py. Its one argument is the library. A process is begun with a request, see wire.py. The
explorer is in the same process as kernel code: a switch of processes for each access would take too long.
Between schedules, at most once in a second, it answers with the number of schedules that were begun, which
shows that it gets on; the last answer is the outcome.
"""

from __future__ import annotations

import mmap
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.oracles.lacking import Lacking
from conformance.oracles.supervising import Channel, supervise
from conformance.races.kernel_side import kernel_side
from conformance.races.tasks import Outcome, perform
from conformance.races.wire import Request, read_request, write_outcome

EVERY = 1.0
"""Seconds between two signs of life."""


def serve(channel: Channel, words: list[Any]) -> None:
    """Do a task."""
    channel.answer(write_outcome(_outcome(read_request(words[0]), channel.memory, channel.answer)))


def _outcome(request: Request, memory: mmap.mmap, tell: Callable[[int], None]) -> Outcome:
    try:
        library = Path(sys.argv[6])
        subject = kernel_side(
            request.form, library, request.host, request.tells_dirty, memory, request.patience
        )
        subject.begin = _telling(subject.begin, tell)  # type: ignore[method-assign]
        return perform(request.task, subject)
    except Lacking as lacking:
        return Outcome(lacking=lacking)
    except Exception as trouble:
        return Outcome(trouble=f"{type(trouble).__name__}: {trouble}")


def _telling(begin: Callable[[], None], tell: Callable[[int], None]) -> Callable[[], None]:
    """begin(), which now and then tells how often it was called."""
    begun, due = 0, time.monotonic() + EVERY

    def telling() -> None:
        nonlocal begun, due
        begun += 1
        if (now := time.monotonic()) >= due:
            due = now + EVERY
            tell(begun)
        begin()

    return telling


if __name__ == "__main__":
    supervise(serve)
