# SPDX-License-Identifier: GPL-2.0-only
"""Builds the agent, the one program of the emulated machine, and the initrd that holds it."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from conformance.kernels import BuildError, Cache, key_of
from conformance.kernels.building import build
from conformance.kernels.compilers import chosen
from conformance.kernels.tools import Progress, first_error, quiet
from conformance.oracles.common import digest_of_parts

__all__ = ["build_agent", "initrd", "without_signature"]

_C = Path(__file__).parent / "c"
_FLAGS = ("-std=gnu11", "-O2", "-static", "-Wall")

KIND = "agent"
KEEP = 4

_SIGNED = b"~Module signature appended~\n"
_SIGNATURE_INFO = 12
"""Bytes of struct module_signature, which follows the signature and ends with its size."""

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"


def build_agent(cache: Cache, progress: Progress = quiet) -> Path:
    """The agent, a static program, from the cache or built now.

    Raises BuildError if it does not compile: a C library for static programs may be missing.
    """
    compiler = chosen()

    def make(entry: Path) -> None:
        progress("Compiling the agent of emulated machines")
        done = build(
            [*compiler.command, *_FLAGS, *sorted(_C.glob("*.c")), "-o", entry / "agent"],
            read=[_C, *compiler.places],
            write=[entry],
            purpose="Compiling the agent of emulated machines",
        )
        if done.returncode:
            raise BuildError(
                f"The agent of emulated machines does not compile: {first_error(done.stderr)}. "
                "It needs the static C library and the kernel's headers: apt-get install libc6-dev"
            )

    key = key_of("agent", digest_of_parts("oracles/live/c"), compiler.identity)
    return cache.get_or_build(KIND, key, make, what="the agent", keep=KEEP, progress=progress) / "agent"


def without_signature(module: bytes) -> bytes:
    """A module without the signature at its end, if it has one. Checking it would take seconds."""
    if not module.endswith(_SIGNED):
        return module
    end = len(module) - len(_SIGNED)
    size = int.from_bytes(module[end - 4 : end], "big")
    return module[: max(end - _SIGNATURE_INFO - size, 0)]


def initrd(agent: Path, files: Mapping[str, bytes], programs: Iterable[tuple[str, bytes]] = ()) -> bytes:
    """An initrd (cpio, format newc) with the agent as /init, files and programs by their paths."""
    entries = [("init", agent.read_bytes(), stat.S_IFREG | 0o755)]
    entries += [(name, data, stat.S_IFREG | 0o644) for name, data in files.items()]
    entries += [(name, data, stat.S_IFREG | 0o755) for name, data in programs]
    folders = {str(above) for name, *_ in entries for above in PurePosixPath(name).parents} - {"."}
    whole = bytearray()
    for number, folder in enumerate(sorted(folders, key=len), start=1):
        whole += _member(folder, b"", stat.S_IFDIR | 0o755, number)
    for number, (name, data, mode) in enumerate(entries, start=1 + len(folders)):
        whole += _member(name, data, mode, number)
    return bytes(whole + _member(_TRAILER, b"", 0, 0))


def _member(name: str, data: bytes, mode: int, inode: int) -> bytes:
    """One file of a cpio archive; see Documentation/driver-api/early-userspace/buffer-format.rst."""
    path = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = _MAGIC + b"".join(b"%08x" % field for field in fields) + path
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
