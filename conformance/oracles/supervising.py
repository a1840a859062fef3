# SPDX-License-Identifier: GPL-2.0-only
"""The child side of a conversation: a supervisor, and the process that it forks for kernel code.

A worker is started as ``python worker.py CONTROL REQUESTS ANSWERS STATUS MEMORY ARGUMENTS...``, five
descriptors first. The supervisor loads no foreign code. On CONTROL each line, a JSON list that begins with a
nonce, asks for a process for kernel code, of which there is one at a time; on STATUS it reports how that
ended, in a fixed format, and the forked process does not have that descriptor. It ends with CONTROL, and
takes everything with it.

The forked process has no more system calls than kernel code needs before it loads any. It reads REQUESTS and
writes ANSWERS, each a header of two words: the nonce that the answer is to repeat, and the length of the JSON
that follows. See conversing.py for the other end.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import select
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from conformance.sandbox import seccomp
from conformance.sandbox.syscalls import KERNEL_CODE, OPENS, PARTLY

__all__ = ["ENDED", "HEADER", "REFUSED", "STATUS", "Channel", "supervise"]

HEADER = struct.Struct("<QQ")
STATUS = struct.Struct("<qq")
"""ENDED and the exit code, negative for a signal; or REFUSED and the errno of fork()."""
ENDED, REFUSED = 0, 1

_PR_SET_PDEATHSIG = 1


class Channel:
    """The channel of the process for kernel code.

    ``memory`` is shared with the other end, of a size that cannot change. ``nonce`` is that of the request
    that is being answered, at first that of the line on CONTROL.
    """

    def __init__(self, requests: int, answers: int, memory: mmap.mmap, nonce: int) -> None:
        self.requests = requests
        self.answers = answers
        self.memory = memory
        self.nonce = nonce

    def asked(self) -> Iterator[list[Any]]:
        """The requests, until the last."""
        while len(header := self._read(HEADER.size)) == HEADER.size:
            self.nonce, length = HEADER.unpack(header)
            yield json.loads(self._read(length))

    def answer(self, value: Any) -> None:
        """Answer the request."""
        content = json.dumps(value).encode()
        message = memoryview(HEADER.pack(self.nonce, len(content)) + content)
        while message:
            message = message[os.write(self.answers, message) :]

    def _read(self, size: int) -> bytes:
        content = b""
        while len(content) < size and (more := os.read(self.requests, size - len(content))):
            content += more
        return content


def supervise(serve: Callable[[Channel, list[Any]], None]) -> NoReturn:
    """Supervise until CONTROL ends; a forked process does ``serve``, with the words after the nonce."""
    control, requests, answers, status, memory = map(int, sys.argv[1:6])
    shared = mmap.mmap(memory, os.fstat(memory).st_size)
    rules = seccomp.for_kernel_code(KERNEL_CODE, OPENS, PARTLY) if seccomp.available() else b""
    # The parent may be gone, or stop listening: that shows on CONTROL.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    # A collection in a forked process would write to, and so copy, every page that has an object.
    gc.freeze()
    with os.fdopen(control, "rb", buffering=0, closefd=False) as lines:
        for line in iter(lines.readline, b""):
            nonce, *words = json.loads(line)
            try:
                child = os.fork()
            except OSError as problem:
                os.write(status, STATUS.pack(REFUSED, problem.errno or 0))
                continue
            if not child:
                for descriptor in (control, status):
                    os.close(descriptor)
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                if rules:
                    seccomp.install(rules)
                _be_kernel_code(serve, Channel(requests, answers, shared, nonce), words)
            _wait(child, control)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(status, STATUS.pack(ENDED, code))
    os._exit(0)


def _be_kernel_code(
    serve: Callable[[Channel, list[Any]], None], channel: Channel, words: list[Any]
) -> NoReturn:
    try:
        serve(channel, words)
        os._exit(0)
    except BaseException as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
        os._exit(255)


def _wait(child: int, control: int) -> None:
    """Until the child has ended; if CONTROL does before, so does this process, and the child with it."""
    try:
        ended = os.pidfd_open(child)
    except OSError:
        return
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(control, select.POLLHUP)
    if any(descriptor == control for descriptor, _ in poll.poll()):
        os.kill(child, signal.SIGKILL)
        os._exit(0)
    os.close(ended)
