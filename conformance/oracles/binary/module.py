# SPDX-License-Identifier: GPL-2.0-only
"""A kvm.ko: opened, checked, and its types read on those of the kernel that it belongs to."""

from __future__ import annotations

import platform
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import SERIES
from conformance.kernels.elf import MOST_BYTES, RELOCATABLE, X86_64, Elf
from conformance.kernels.reading import read_file
from conformance.kernels.unpacking import unpacked
from conformance.kernels.vmlinuz import ELF, btf_of
from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.objects import Object, read_object

__all__ = ["Module", "open_module"]

RUNNING = Path("/sys/kernel/btf/vmlinux")
"""The types of the running kernel."""

_MOST_FACTS = 1 << 20
"""Bytes that are read of .modinfo and .comment; kvm.ko has 4 KB."""

_KVM = ("kvm_mmu_set_ept_masks", "kvm_mmu_set_mask_ptes")
"""Functions of which every kvm.ko since v4.12 defines one."""


@dataclass(frozen=True)
class Module:
    """A module that has been found to be a whole, unstripped kvm.ko for x86-64."""

    path: Path
    data: bytes
    """The ELF file, not compressed."""
    symbols: frozenset[str]
    """The names in its symbol table, of what it defines and of what it imports."""
    facts: Mapping[str, str]
    """Its .modinfo: vermagic, srcversion and so on."""
    vmlinux: Path | None
    """Where the types of its kernel are: vmlinux, vmlinuz or their BTF; None if that is not known."""

    @property
    def release(self) -> str:
        """The release of the kernel that it belongs to, "6.1.0-56-amd64"."""
        return self.facts.get("vermagic", "").partition(" ")[0]

    @property
    def compiler(self) -> str:
        """What compiled it, by its .comment section: "GCC: (Debian 12.2.0-14) 12.2.0"; "" if it has none."""
        comment = self.elf.named(".comment") or b""
        words = comment[:_MOST_FACTS].decode("utf-8", "replace").split("\0")
        return next(filter(None, words), "")

    @property
    def series(self) -> str:
        """The series of its kernel, "6.1". Raises ConformanceError if the series is not known here."""
        match = re.match(r"[0-9]+\.[0-9]+", self.release)
        if match is None:
            raise ConformanceError(
                f"{self.path} does not say which kernel it belongs to (no vermagic). Get the file again."
            )
        if match[0] not in SERIES:
            raise ConformanceError(
                f"{self.path} is of Linux {match[0]}, which is none of the series {', '.join(SERIES)}. "
                "Name the source that it belongs to with --kernel, such as tree:PATH."
            )
        return match[0]

    @property
    def numbers(self) -> tuple[int, int] | None:
        """VERSION and PATCHLEVEL of its kernel; None if it does not say."""
        match = re.match(r"([0-9]{1,9})\.([0-9]{1,9})", self.release)
        return None if match is None else (int(match[1]), int(match[2]))

    @cached_property
    def elf(self) -> Elf:
        """A reader of the ELF file."""
        return Elf(self.data, str(self.path))

    @property
    def has_dwarf(self) -> bool:
        """Whether it has its types in DWARF, as that of a debug package has."""
        return self.elf.section(".debug_info") is not None

    @property
    def has_btf(self) -> bool:
        """Whether it has its types in BTF."""
        return self.elf.section(".BTF") is not None

    @cached_property
    def object(self) -> Object:
        """What linking it needs."""
        return read_object(self.data, str(self.path))

    @property
    def base(self) -> Path:
        """The file with the types of its kernel. Raises ConformanceError if it is not known."""
        if self.vmlinux is None:
            raise ConformanceError(
                f"{self.path}: the types of a module refer to its kernel's. "
                f"Pass the vmlinux or vmlinuz of {self.release or 'its kernel'} with --vmlinux."
            )
        return self.vmlinux

    def check_types(self) -> None:
        """Raise ConformanceError if it has no types, or if where those of its kernel are is not known."""
        if not self.has_btf:
            raise ConformanceError(
                f"{self.path} has no type information (no .BTF). Use a kvm.ko of a kernel from v5.11 on that "
                "was built with CONFIG_DEBUG_INFO_BTF_MODULES."
            )
        assert self.base

    @cached_property
    def btf(self) -> Btf:
        """Its types, together with its kernel's.

        Raises ConformanceError if it has none, or if those of its kernel are missing, damaged or another's.
        """
        self.check_types()
        base = Btf(btf_of(self.base), str(self.base))
        return Btf(self.elf.named(".BTF") or b"", str(self.path), base, self.elf.named(".BTF.base"))


def open_module(path: Path, vmlinux: Path | None = None) -> Module:
    """The kvm.ko at ``path``, also one packed with xz, zstd or gzip; its types are read when asked for.

    A module of the running kernel needs no ``vmlinux``.

    Raises ConformanceError, which names the file and what to do, if it is no module, not for x86-64,
    truncated or stripped.
    """
    data = unpacked(read_file(path, MOST_BYTES), str(path))
    if not data.startswith(ELF):
        raise ConformanceError(f"{path} is no kernel module: it is no ELF file. Pass a kvm.ko.")
    elf = _checked(path, data)
    table = elf.section(".symtab")
    if table is None or not table.size:
        raise ConformanceError(
            f"{path} is stripped: it has no symbol table, so that no function can be found in it. "
            "Use the kvm.ko that the distribution installs."
        )
    defined = {symbol.name: symbol.section != 0 for symbol in elf.symbols(table)}
    if not any(defined.get(name) for name in _KVM):
        raise ConformanceError(
            f"{path} is not KVM: it does not define {_KVM[0]}(). Pass kvm.ko, neither kvm-intel.ko nor "
            "kvm-amd.ko."
        )
    facts = _facts((elf.named(".modinfo") or b"")[:_MOST_FACTS])
    found = Module(path, data, frozenset(defined), facts, vmlinux)
    if vmlinux is None and found.release == platform.release() and RUNNING.exists():
        return replace(found, vmlinux=RUNNING)
    return found


def _checked(path: Path, data: bytes) -> Elf:
    """A relocatable ELF file for x86-64."""
    if len(data) < 64:
        raise ConformanceError(
            f"{path} is cut off: it ends before its last section does. Get the file again."
        )
    bits, order = data[4], data[5]
    (machine,) = struct.unpack_from("<H" if order == 1 else ">H", data, 18)
    if (bits, order, machine) != (2, 1, X86_64):
        raise ConformanceError(
            f"{path} is not for x86-64 (ELF machine {machine}, {32 * bits} bits). Pass the kvm.ko of an "
            "x86-64 kernel."
        )
    elf = Elf(data, str(path))
    if elf.type != RELOCATABLE:
        raise ConformanceError(f"{path} is no kernel module: it is linked already. Pass a kvm.ko.")
    return elf


def _facts(modinfo: bytes) -> dict[str, str]:
    """The last value of each key."""
    pairs = (line.partition(b"=") for line in modinfo.split(b"\0") if b"=" in line)
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, _, value in pairs}
