# SPDX-License-Identifier: GPL-2.0-only
"""The ``conformance`` command; this module is what runs first, before the imports that take long.

How commands name kernels, each by a selector (SEL): an argument that a command requires is positional, as in
``kernels fetch SEL``, ``diff SEL SEL`` and ``identify SEL``. Where a command has a default kernel, another
one is ``--kernel SEL``. A kernel in any other role is an option named after the role: ``--onto SEL`` is what
patches apply to, ``--between SEL SEL`` are two kernels in place of kernel and model.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

__all__ = ["main"]


def main() -> None:
    """The ``conformance`` command, the same as ``python -m conformance``."""
    _end_at_once()
    _settle_streams()
    from conformance.cli.group import commands
    from conformance.ends import Interrupted, leave, listen

    code: int | str | None = None
    try:
        listen()
        commands.main(prog_name="conformance")
    except SystemExit as leaving:
        code = leaving.code
    except Interrupted as ended:
        code = ended.status
    leave(code)


def _end_at_once() -> None:
    """Have signals end the process without a traceback, until the handlers of conformance.ends are set."""

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def _settle_streams() -> None:
    """Open descriptors 0 to 2 where they are closed, or the next file opened would become one of them.

    Standard input is empty then, and standard error is discarded. Writing to standard output fails, as it
    does with a closed descriptor: results must not be lost silently.
    """
    for number, access in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, access)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            stream = os.fdopen(number, "w" if number else "r", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
