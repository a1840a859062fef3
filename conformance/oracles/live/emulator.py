# SPDX-License-Identifier: GPL-2.0-only
"""An emulated machine: the conversation with its agent, its memory, its console."""

from __future__ import annotations

import os
import select
from typing import Protocol

from conformance.oracles.lacking import Lacking
from conformance.sandbox.launching import Process
from conformance.sandbox.watching import Bounds, Watch

__all__ = ["BOOT_OPTIONS", "PATIENCE", "CannotTake", "Conversation", "Emulator", "Gone", "Silent"]

BOOT_OPTIONS = (
    "console=ttyS0,115200 loglevel=5 nokaslr no_hash_pointers norandmaps mitigations=off panic=-1 oops=panic "
    "no5lvl random.trust_cpu=on damon_stat.enabled=0 transparent_hugepage=madvise rdinit=/init"
)
"""Of the kernel. Addresses are not randomised, so that its memory can be read."""

PATIENCE = Bounds(cpu=60, idle=60, wall=300)
"""How long an answer may take; an answer takes milliseconds."""

_LOOKING = 0.5
"""Seconds between two looks at a machine that does not answer."""
_MOST_ANSWER = 64 << 20
"""Bytes of one answer."""


class Gone(Exception):
    """The machine has ended."""


class Silent(Exception):
    """The machine does not answer; the text says in which time."""


class CannotTake(Exception):
    """This machine cannot be made to take a step; the text says why."""


class Emulator(Protocol):
    """A machine that runs, until it is closed."""

    def ask(self, request: str, bounds: Bounds = PATIENCE) -> list[str]:
        """The lines of the agent's answer to a request. Raises Gone, Silent, Lacking."""

    def read(self, address: int, size: int) -> bytes:
        """Bytes of physical memory. Raises ValueError for an address that is no memory."""

    def write(self, address: int, data: bytes) -> None:
        """Change physical memory. Raises ValueError as read() does, and CannotTake."""

    def console(self) -> str:
        """Everything that the kernel has written to its console."""

    def close(self) -> None:
        """End the machine."""


class Conversation:
    """Requests and answers over descriptors, which may be the same; see c/answer.c."""

    def __init__(self, reading: int, writing: int, process: Process) -> None:
        self._reading = reading
        self._writing = writing
        self._process = process
        self._rest = b""

    def ask(self, request: str, bounds: Bounds = PATIENCE) -> list[str]:
        """Send a request and wait for the answer. Raises Gone, Silent or Lacking."""
        left = request.encode() + b"\n"
        try:
            while left:
                left = left[os.write(self._writing, left) :]
        except OSError:
            raise Gone from None
        return self.answer(bounds)

    def answer(self, bounds: Bounds) -> list[str]:
        """The lines of the next answer."""
        content = bytearray(self._rest)
        searched = 0
        watch = Watch(self._process.pid, bounds)
        while (end := _end_of_answer(content, searched)) < 0:
            searched = max(len(content) - 4, 0)
            content += self._receive(watch)
            if len(content) > _MOST_ANSWER:
                raise Silent(f"with less than {_MOST_ANSWER >> 20} MiB")
        self._rest = bytes(content[end:]).partition(b"\n")[2]
        lines = content[:end].replace(b"\r", b"").replace(b"\0", b"").decode(errors="replace").split("\n")
        return [line for line in lines if line]

    def _receive(self, watch: Watch) -> bytes:
        while not select.select([self._reading], [], [], _LOOKING)[0]:
            stuck = watch.stuck()
            if stuck is not None and stuck.starved:
                raise Lacking(
                    f"an emulated machine did not answer {stuck.how}, since it got too little processor time",
                    todo="Run less beside it, and try again.",
                )
            if stuck is not None:
                raise Silent(stuck.how)
        try:
            piece = os.read(self._reading, 1 << 16)
        except OSError:
            piece = b""
        if not piece:
            raise Gone
        return piece


def _end_of_answer(content: bytearray, start: int) -> int:
    """Where the line with a dot begins, that ends an answer; -1 if it is not there yet."""
    if content.startswith((b".\n", b".\r\n")):
        return 0
    found = [at + 1 for mark in (b"\n.\n", b"\n.\r\n") if (at := content.find(mark, start)) >= 0]
    return min(found, default=-1)
