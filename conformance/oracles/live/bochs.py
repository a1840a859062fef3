# SPDX-License-Identifier: GPL-2.0-only
"""A machine in Bochs: an Intel processor with EPT, accessed and dirty bits, and PML.

Bochs emulates VMX in software, a hundred times slower than a processor. Its memory is no file, but its disk
is one: the agent takes requests from it, and writes the pages that are wanted to it; see c/ports.c.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from conformance.kernels import Cache
from conformance.kernels.bootable import Bootable
from conformance.oracles.lacking import Lacking, written
from conformance.oracles.live.emulated import Emulated, content_of, path_of
from conformance.oracles.live.emulator import BOOT_OPTIONS, PATIENCE, CannotTake
from conformance.oracles.live.firmware import boot_medium, build_firmware
from conformance.sandbox.policy import Policy
from conformance.sandbox.watching import Bounds

__all__ = ["MEMORY", "PROCESSOR", "Bochs", "configuration"]

PROGRAM = "bochs"

MEMORY = 2560 << 20
"""Bytes: as many as a free page of 1 GiB takes, behind that with the kernel."""

_USED = 2048 << 20
"""How many of them the machine can use: the most that Bochs allocates."""

PROCESSOR = "corei7_skylake_x"

_IPS = 50_000_000
"""Instructions in a second of the machine's time: about as many as Bochs executes in one."""

_OPTIONS = (
    "agent_in_bochs=1 "
    # The processor says that its counter runs at 3.5 GHz. It counts instructions.
    f"tsc_early_khz={_IPS // 1000} lpj={_IPS // 250} tsc=reliable no_timer_check "
    # The layout of its XSAVE area is not what its CPUID says.
    "noxsave "
    # Tests of ciphers, the list of certificates, and tables of enumerations for text of the trace take
    # two thirds of a boot; checking that no page is writable and executable takes seconds.
    "cryptomgr.notests rodata=off "
    "initcall_blacklist=jent_mod_init,load_system_certificate_list,itmt_legacy_init,trace_eval_init"
)
"""Of the kernel."""

BOOTING = Bounds(cpu=300, idle=60, wall=1800)
"""How long booting may take; it takes 15 s of processor time."""

_PAGE = 4096
_MOST = 512
"""Pages of one request, which are the first of the disk; see c/ports.c."""
_REQUEST_AT, _REQUEST_SIZE = _MOST * _PAGE, 8192
"""Where requests are on the disk, and their size."""
_REMEMBERED = 8
"""Requests after which a page that was not read again is no longer fetched together with others."""

_CONFIGURATION = """\
config_interface: textconfig
display_library: rfb, options="timeout=0"
memory: guest={memory}, host={used}
cpu: model={processor}, count=1, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
romimage: file={rom}
vgaromimage: file={display}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path={disk}, mode=flat
ata1: enabled=0
boot: disk
com1: enabled=1, mode=file, dev={console}
com2: enabled=1, mode=term, dev={requests}
parport1: enabled=1, file={answers}
clock: sync=slowdown, time0=1767225600
sound: driver=dummy
plugin_ctrl: biosdev=0, speaker=0, extfpuirq=0, gameport=0
mouse: enabled=0
log: {log}
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""


def configuration(files: dict[str, int], memory: int = MEMORY) -> str:
    """The configuration of Bochs; ``files`` are descriptors that it inherits."""
    paths = {name: path_of(descriptor) for name, descriptor in files.items()}
    return _CONFIGURATION.format(
        memory=memory >> 20, used=_USED >> 20, processor=PROCESSOR, ips=_IPS, **paths
    )


class Bochs(Emulated):
    """A machine that has booted ``kernel`` with ``initrd``. See emulator.Emulator.

    options: of the kernel, after BOOT_OPTIONS.

    Raises ConformanceError if Bochs is not installed or the kernel cannot be booted, Lacking if Bochs cannot
    be started, LiveDied if the kernel does not boot.
    """

    def __init__(self, kernel: Bootable, initrd: Path, options: str = "", memory: int = MEMORY) -> None:
        super().__init__(PROGRAM, PROGRAM)
        words = f"{BOOT_OPTIONS} {_OPTIONS} {options}".rstrip()
        code = build_firmware(Cache())
        rom, disk = boot_medium(code, kernel.vmlinux, initrd.read_bytes(), words, memory)
        self._disk = self._file("disk", disk)
        self._log = self._file("log")
        requests, asking = os.pipe()
        answering, answers = os.pipe()
        for end in (asking, answering):
            self._stack.callback(os.close, end)
        files = {
            "console": self._console,
            "rom": self._file("rom", [rom]),
            # One without a code; Bochs does not start without.
            "display": self._file("display", [bytes(512)]),
            "disk": self._disk,
            "log": self._log,
            "requests": requests,
            "answers": answers,
        }
        setup = self._file("configuration", [configuration(files, memory).encode()])
        # Debian's Bochs stops in its debugger first: continue.
        commands = self._file("commands", [b"c\n"])
        inherited = [files[name] for name in ("rom", "display", "disk", "log")]
        self._pages = _Pages(self)
        self._begin(
            ["-q", "-f", path_of(setup), "-rc", path_of(commands)],
            Policy(),
            [*inherited, setup, commands],
            [requests, answers],
            (answering, asking),
            BOOTING,
        )

    def _complaint(self) -> str:
        lines = content_of(self._log).decode(errors="replace").splitlines()
        return next(
            (written(line.partition(">>PANIC<<")[2].strip()) for line in lines if "PANIC" in line), ""
        )

    def ask(self, request: str, bounds: Bounds = PATIENCE) -> list[str]:
        """The lines of the agent's answer to a request."""
        self._pages.forget()
        return self._ask(request, bounds)

    def _ask(self, request: str, bounds: Bounds = PATIENCE) -> list[str]:
        """Write the request to the disk, and announce it by an empty line."""
        whole = request.encode().ljust(_REQUEST_SIZE, b"\0")
        if len(whole) > _REQUEST_SIZE:
            raise ValueError(f"a request of {len(whole)} bytes")
        os.pwrite(self._disk, whole, _REQUEST_AT)
        return super().ask("", bounds)

    def read(self, address: int, size: int) -> bytes:
        """Bytes of physical memory."""
        first, last = address // _PAGE, (address + size - 1) // _PAGE
        whole = b"".join(self._pages.page(frame) for frame in range(first, last + 1))
        return whole[address - first * _PAGE :][:size]

    def write(self, address: int, data: bytes) -> None:
        """Not possible: memory is read by the agent, which cannot write all of it."""
        raise CannotTake("the memory of a machine in Bochs is not written")

    def fetch(self, frames: Iterable[int]) -> dict[int, bytes | None]:
        """The content of pages of memory, None of one that there is not."""
        wanted = [*frames]
        found: dict[int, bytes | None] = {}
        for at in range(0, len(wanted), _MOST):
            some = wanted[at : at + _MOST]
            answer = self._ask("memory " + " ".join(f"{frame:x}" for frame in some))
            if "code 0" not in answer:
                raise Lacking("the agent of the machine cannot read its memory", f" ({' '.join(answer)})")
            content = os.pread(self._disk, len(some) * _PAGE, 0)
            found |= {frame: content[n * _PAGE :][:_PAGE] for n, frame in enumerate(some)}
            found |= {int(line.split()[1], 16): None for line in answer if line.startswith("none ")}
        return found


class _Pages:
    """Pages of memory, as they are since the last request. Those read lately are fetched in one request."""

    def __init__(self, machine: Bochs) -> None:
        self._machine = machine
        self._content: dict[int, bytes | None] = {}
        self._read: dict[int, int] = {}
        """The request after which a page was last read."""
        self._requests = 0

    def forget(self) -> None:
        """The machine runs: the pages may change."""
        self._content.clear()
        self._requests += 1

    def page(self, frame: int) -> bytes:
        """The content of a page. Raises ValueError if there is no such memory."""
        self._read[frame] = self._requests
        if frame not in self._content:
            lately = self._requests - _REMEMBERED
            self._read = {one: request for one, request in self._read.items() if request >= lately}
            more = self._read if not self._content else ()
            self._content |= self._machine.fetch(dict.fromkeys((frame, *more)))
        content = self._content[frame]
        if content is None:
            raise ValueError(f"{frame * _PAGE:#x} is no memory of the machine")
        return content
