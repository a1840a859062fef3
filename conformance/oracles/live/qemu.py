# SPDX-License-Identifier: GPL-2.0-only
"""A machine in QEMU's software emulation: an AMD processor with nested paging, one CPU.

Its memory is a file that this process shares. TCG emulates no VMX; see bochs.py for EPT.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import socket
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.bootable import Bootable
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.emulator import BOOT_OPTIONS, PATIENCE, Conversation, Gone, Silent
from conformance.sandbox.launching import start
from conformance.sandbox.policy import GIB, Policy
from conformance.sandbox.watching import Bounds

__all__ = ["MEMORY", "Qemu"]

PROGRAM = "qemu-system-x86_64"

MEMORY = 2800 << 20
"""Bytes. From 2816 MiB on this board splits the memory, and addresses are no offsets into the file."""

BOOTING = Bounds(cpu=300, idle=60, wall=900)
"""How long booting may take; it takes 5 to 20 s."""

_CPU = "max,la57=off"


class Qemu:
    """A machine that has booted ``kernel`` with ``initrd``. See emulator.Emulator.

    options: of the kernel, after BOOT_OPTIONS.

    Raises ConformanceError if QEMU is not installed, Lacking if it cannot be started, Gone or Silent if the
    kernel does not boot; console() says more.
    """

    def __init__(self, kernel: Bootable, initrd: Path, options: str = "", memory: int = MEMORY) -> None:
        if shutil.which(PROGRAM) is None:
            raise ConformanceError(
                "QEMU is not installed, so no kernel can be booted. "
                "Install it with: apt-get install qemu-system-x86"
            )
        self._stack = contextlib.ExitStack()
        self._console = self._file("console")
        ram = self._file("memory")
        os.ftruncate(ram, memory)
        self._ram = self._stack.enter_context(contextlib.closing(mmap.mmap(ram, memory)))
        ours, theirs = socket.socketpair()
        self._stack.enter_context(ours)
        words = [
            PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-accel", "tcg", "-smp", "1", "-cpu", _CPU, "-seed", "1", "-rtc", "base=2026-01-01,clock=vm",
            "-machine", "q35,memory-backend=ram", "-m", f"{memory >> 20}",
            "-object", f"memory-backend-file,id=ram,size={memory},mem-path=/proc/self/fd/{ram},share=on",
            "-serial", f"file:/proc/self/fd/{self._console}",
            "-chardev", f"socket,id=agent,fd={theirs.fileno()}",
            "-device", "isa-serial,chardev=agent,index=1",
            "-kernel", str(kernel.vmlinux), "-initrd", str(initrd),
            "-append", f"{BOOT_OPTIONS} {options}".rstrip(),
        ]  # fmt: skip
        policy = Policy(read=(kernel.vmlinux, initrd), file_size=max(memory, 2 * GIB), memory=32 * GIB)
        try:
            self._process = start(words, policy, fds=(ram, self._console, theirs.fileno()))
        except OSError as problem:
            self.close()
            raise Lacking("the system gives no process to QEMU", f" ({problem.strerror})") from None
        finally:
            theirs.close()
        self._stack.callback(self._process.close)
        self._conversation = Conversation(ours, self._process)
        try:
            self._conversation.answer(BOOTING)
        except (Gone, Silent):
            if not self.console():
                said = self._process.said()
                self.close()
                raise Lacking("QEMU could not be started", f" ({said})" if said else "") from None
            raise

    def _file(self, name: str) -> int:
        """A file in memory, for QEMU and this process."""
        descriptor = os.memfd_create(f"conformance-{name}", 0)
        self._stack.callback(os.close, descriptor)
        return descriptor

    def ask(self, request: str, bounds: Bounds = PATIENCE) -> list[str]:
        """The lines of the agent's answer to a request."""
        return self._conversation.ask(request, bounds)

    def read(self, address: int, size: int) -> bytes:
        """Bytes of physical memory."""
        if not 0 <= address <= len(self._ram) - size:
            raise ValueError(f"{address:#x} is no memory of the machine")
        return self._ram[address : address + size]

    def console(self) -> str:
        """Everything that the kernel has written to its console."""
        size = os.fstat(self._console).st_size
        return os.pread(self._console, size, 0).decode(errors="replace")

    def close(self) -> None:
        """End the machine."""
        self._stack.close()
