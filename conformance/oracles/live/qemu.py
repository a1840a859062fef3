# SPDX-License-Identifier: GPL-2.0-only
"""A machine in QEMU's software emulation: an AMD processor with nested paging, one CPU.

Its memory is a file that this process shares. TCG emulates no VMX; see bochs.py for EPT.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
from pathlib import Path

from conformance.kernels.bootable import Bootable
from conformance.oracles.live.emulated import Emulated, path_of
from conformance.oracles.live.emulator import BOOT_OPTIONS
from conformance.sandbox.policy import GIB, Policy
from conformance.sandbox.watching import Bounds

__all__ = ["MEMORY", "Qemu"]

PROGRAM = "qemu-system-x86_64"

MEMORY = 2800 << 20
"""Bytes. From 2816 MiB on this board splits the memory, and addresses are no offsets into the file."""

BOOTING = Bounds(cpu=300, idle=60, wall=900)
"""How long booting may take; it takes 5 to 20 s."""

_CPU = "max"


class Qemu(Emulated):
    """A machine that has booted ``kernel`` with ``initrd``. See emulator.Emulator.

    options: of the kernel, after BOOT_OPTIONS.

    Raises ConformanceError if QEMU is not installed, Lacking if it cannot be started, LiveDied if the kernel
    does not boot.
    """

    def __init__(self, kernel: Bootable, initrd: Path, options: str = "", memory: int = MEMORY) -> None:
        super().__init__(PROGRAM, "qemu-system-x86")
        ram = self._file("memory")
        os.ftruncate(ram, memory)
        self._ram = self._stack.enter_context(contextlib.closing(mmap.mmap(ram, memory)))
        ours, theirs = (end.detach() for end in socket.socketpair())
        self._stack.callback(os.close, ours)
        words = [
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-accel", "tcg", "-smp", "1", "-cpu", _CPU, "-seed", "1", "-rtc", "base=2026-01-01,clock=vm",
            "-machine", "q35,memory-backend=ram", "-m", f"{memory >> 20}",
            "-object", f"memory-backend-file,id=ram,size={memory},mem-path={path_of(ram)},share=on",
            "-serial", f"file:{path_of(self._console)}",
            "-chardev", f"socket,id=agent,fd={theirs}",
            "-device", "isa-serial,chardev=agent,index=1",
            "-kernel", str(kernel.vmlinux), "-initrd", str(initrd),
            "-append", f"{BOOT_OPTIONS} {options}".rstrip(),
        ]  # fmt: skip
        policy = Policy(read=(kernel.vmlinux, initrd), file_size=max(memory, 2 * GIB), memory=32 * GIB)
        self._begin(words, policy, [ram], [theirs], (ours, ours), BOOTING)

    def read(self, address: int, size: int) -> bytes:
        """Bytes of physical memory."""
        if not 0 <= address <= len(self._ram) - size:
            raise ValueError(f"{address:#x} is no memory of the machine")
        return self._ram[address : address + size]

    def write(self, address: int, data: bytes) -> None:
        """Change physical memory."""
        if not 0 <= address <= len(self._ram) - len(data):
            raise ValueError(f"{address:#x} is no memory of the machine")
        self._ram[address : address + len(data)] = data
