# SPDX-License-Identifier: GPL-2.0-only
"""Whether a mutant is equivalent: as plain text it compiles to the machine code of the kernel without it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from conformance.coverage.compared.pieces import Change
from conformance.coverage.compared.planting import substituted
from conformance.kernels import Cache, Kernel
from conformance.kernels.cache import temporary
from conformance.kernels.machine_code import AS_BUILT, Code, compile_code
from conformance.oracles.kvm.build import units_of

__all__ = ["Equivalence"]


@dataclass
class Equivalence:
    """Compares mutants with a kernel by machine code, compiled with the kernel's own flags."""

    kernel: Kernel
    cache: Cache
    _base: dict[str, Code] = field(default_factory=dict)

    def holds(self, file: str, change: Change) -> bool:
        """Whether all units that contain a file have the same code with a change. Raises BuildError."""
        with temporary("mutant") as root:
            for name in ("src", "gen"):
                shutil.copytree(self.kernel.root / name, root / name, copy_function=_link)
            path = root / "src" / file
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(substituted(content, change))
            mutated = replace(self.kernel, root=root)
            # Most mutants differ in the first unit.
            return all(
                self._code(unit).forms == compile_code(mutated, [unit], AS_BUILT, None, {}).forms
                for unit in self._units(file)
            )

    def _code(self, unit: str) -> Code:
        if unit not in self._base:
            self._base[unit] = compile_code(self.kernel, [unit], AS_BUILT, self.cache, {})
        return self._base[unit]

    def _units(self, file: str) -> list[str]:
        """The units of KVM that are or include a file, those of its own directory first."""
        if file.endswith(".c"):
            return [file]
        folder = str(Path(file).parent)
        found = [unit for unit in self._all_units if Path(file).name in self._included(unit)]
        return sorted(found, key=lambda unit: (not unit.startswith(folder), unit))

    @cached_property
    def _all_units(self) -> list[str]:
        return [unit for unit in units_of(self.kernel) if "kvm/" in unit]

    def _included(self, unit: str) -> set[str]:
        """The names of KVM's own headers that a unit includes, directly or not."""
        source = self.kernel.root / "src"
        seen: set[str] = set()
        waiting = [source / unit]
        while waiting:
            for name in _quoted(waiting.pop()):
                if Path(name).name not in seen:
                    seen.add(Path(name).name)
                    folders = ("arch/x86/kvm", "arch/x86/kvm/mmu", "virt/kvm")
                    waiting += (source / folder / Path(name).name for folder in folders)
        return seen


def _link(source: str, target: str) -> None:
    """Make a file appear under another name, which is not written to: that takes less time than a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _quoted(path: Path) -> Iterator[str]:
    """The files that a file includes by quoted names."""
    if path.is_file():
        yield from re.findall(r'^#\s*include "([^"]+)"', path.read_text(errors="replace"), re.M)
