# SPDX-License-Identifier: GPL-2.0-only
"""What all emulators share: files in memory, the process, the conversation, the console."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Sequence

from conformance.errors import ConformanceError
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.deaths import died
from conformance.oracles.live.emulator import PATIENCE, Conversation, Gone, Silent
from conformance.sandbox.launching import start
from conformance.sandbox.policy import Policy
from conformance.sandbox.watching import Bounds

__all__ = ["Emulated", "content_of", "path_of"]


def path_of(descriptor: int) -> str:
    """The path of an inherited file, in the process that inherits it."""
    return f"/proc/self/fd/{descriptor}"


class Emulated:
    """A process of an emulator; subclasses say how it is started and how memory is read."""

    def __init__(self, program: str, package: str) -> None:
        if shutil.which(program) is None:
            raise ConformanceError(
                f"{program} is not installed, so no kernel can be booted in it. "
                f"Install it with: apt-get install {package}"
            )
        self._program = program
        self._stack = contextlib.ExitStack()
        self._console = self._file("console")

    def _file(self, name: str, content: Iterable[bytes] = ()) -> int:
        """A file in memory, for the emulator and this process."""
        descriptor = os.memfd_create(f"conformance-{name}", 0)
        self._stack.callback(os.close, descriptor)
        for piece in content:
            left = memoryview(piece)
            while left:
                left = left[os.write(descriptor, left) :]
        return descriptor

    def _begin(
        self,
        words: Sequence[str],
        policy: Policy,
        files: Sequence[int],
        ends: Sequence[int],
        channel: tuple[int, int],
        booting: Bounds,
    ) -> None:
        """Start the emulator, and wait until the agent is ready.

        files: what it inherits, besides the console. ends: its ends of pipes, closed here. channel: where
        answers are read and requests are written. Raises Lacking, LiveDied.
        """
        try:
            process = start([self._program, *words], policy, fds=(self._console, *files, *ends))
        except OSError as problem:
            self.close()
            raise Lacking(
                f"the system gives no process to {self._program}", f" ({problem.strerror})"
            ) from None
        finally:
            for end in ends:
                os.close(end)
        self._stack.callback(process.close)
        self._conversation = Conversation(*channel, process)
        try:
            self._conversation.answer(booting)
        except (Gone, Silent) as end:
            console, said = self.console(), self._complaint() or process.said()
            self.close()
            if console:
                raise died(console, str(end)) from None
            if isinstance(end, Silent):
                raise Lacking(f"what {self._program} boots writes nothing and did not answer {end}") from None
            raise Lacking(f"{self._program} could not be started", f" ({said})" if said else "") from None
        except BaseException:
            self.close()
            raise

    def _complaint(self) -> str:
        """Why the emulator did not start, if it says so elsewhere than on standard error."""
        return ""

    def ask(self, request: str, bounds: Bounds = PATIENCE) -> list[str]:
        """The lines of the agent's answer to a request."""
        return self._conversation.ask(request, bounds)

    def console(self) -> str:
        """Everything that the kernel has written to its console."""
        return content_of(self._console).decode(errors="replace")

    def close(self) -> None:
        """End the machine."""
        self._stack.close()


def content_of(descriptor: int) -> bytes:
    """All of a file."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
