# SPDX-License-Identifier: GPL-2.0-only
"""Substitutions in a kernel's source, and the patch that makes them.

Mutants of functions and of stories, reverts of known fixes and the historic forms of races are all of them
substitutions: a text that must occur exactly once becomes another one. Each is written down with the series
whose source it was written for; the patch is made from the source on this machine, so that no kernel code
lies in the repository.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.kernel import Kernel
from conformance.kernels.parsing import name_of, outer, parse
from conformance.kernels.selector import DEFAULT

__all__ = [
    "INTERNAL_H",
    "ITER_C",
    "ITER_H",
    "KVM_MAIN_C",
    "MMU_C",
    "MMU_H",
    "PAGING_TMPL_H",
    "REGS_C",
    "SPTE_C",
    "SPTE_H",
    "TDP_C",
    "X86_C",
    "X86_H",
    "Substitution",
    "unified_diff",
    "write_patch",
]

_KVM = "arch/x86/kvm"
SPTE_C, SPTE_H = f"{_KVM}/mmu/spte.c", f"{_KVM}/mmu/spte.h"
TDP_C, ITER_C, ITER_H = f"{_KVM}/mmu/tdp_mmu.c", f"{_KVM}/mmu/tdp_iter.c", f"{_KVM}/mmu/tdp_iter.h"
MMU_C, MMU_H, INTERNAL_H = f"{_KVM}/mmu/mmu.c", f"{_KVM}/mmu.h", f"{_KVM}/mmu/mmu_internal.h"
PAGING_TMPL_H, REGS_C = f"{_KVM}/mmu/paging_tmpl.h", f"{_KVM}/regs.c"
X86_C, X86_H, KVM_MAIN_C = f"{_KVM}/x86.c", f"{_KVM}/x86.h", "virt/kvm/kvm_main.c"
"""The files of KVM that substitutions are made in."""


@dataclass(frozen=True)
class Substitution:
    """In ``file`` the text ``old`` becomes ``new``.

    ``old`` must occur exactly once in the file, or in the definition of ``function`` if that is given.
    ``kernel`` is the series whose source has it.
    """

    file: str
    old: str
    new: str
    kernel: str = DEFAULT
    function: str = ""

    def split(self, text: str) -> tuple[str, str]:
        """The text of the file before and after ``old``.

        Raises ConformanceError unless ``old`` occurs exactly once where it must.
        """
        start, end = _extent(text, self.function) if self.function else (0, len(text))
        place = f"{self.function}() of {self.file}" if self.function else self.file
        if start < 0:
            raise ConformanceError(f"{self.file} does not define {self.function}() exactly once.")
        count = text.count(self.old, start, end)
        if count != 1:
            raise ConformanceError(f"{self.old!r} occurs {count} times in {place}, expected once.")
        at = text.index(self.old, start, end)
        return text[:at], text[at + len(self.old) :]

    def apply(self, text: str) -> str:
        """The text of the file with the substitution made. Raises ConformanceError as split() does."""
        before, after = self.split(text)
        return f"{before}{self.new}{after}"


def _extent(text: str, function: str) -> tuple[int, int]:
    """Where the definition of a function begins and ends in a text; (-1, -1) unless there is exactly one."""
    content = text.encode(errors="surrogateescape")
    found = [
        node
        for node in outer(parse(content))
        if node.type == "function_definition" and name_of(node) == function
    ]
    if len(found) != 1:
        return -1, -1
    ends = found[0].start_byte, found[0].end_byte
    # The parser counts bytes.
    start, end = (len(content[:at].decode(errors="surrogateescape")) for at in ends)
    return start, end


def unified_diff(texts: Mapping[str, tuple[str, str]]) -> str:
    """The unified diff of files, each with its text before and after, by its path in the kernel's tree."""
    lines: list[str] = []
    for file, (before, after) in texts.items():
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
        lines += difflib.unified_diff(old, new, f"a/{file}", f"b/{file}")
    return "".join(lines)


def write_patch(kernel: Kernel, substitutions: Iterable[Substitution], path: Path) -> Path:
    """Write the patch that makes the substitutions, in order, in the source of ``kernel``; returns ``path``.

    Raises ConformanceError, and writes nothing, if the text of one does not occur exactly once.
    """
    texts: dict[str, tuple[str, str]] = {}
    for one in substitutions:
        try:
            if one.file not in texts:
                texts[one.file] = (_read(kernel, one.file),) * 2
            before, now = texts[one.file]
            texts[one.file] = before, one.apply(now)
        except ConformanceError as error:
            raise ConformanceError(f"{kernel.title}: cannot make {path.name}: {error}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(unified_diff(texts), errors="surrogateescape")
    return path


def _read(kernel: Kernel, file: str) -> str:
    """The text of a file of a kernel. Raises ConformanceError if the kernel has no such file."""
    path = kernel.root / "src" / file
    if not path.is_file():
        raise ConformanceError(f"this kernel has no {file}.")
    return path.read_text(errors="surrogateescape")
