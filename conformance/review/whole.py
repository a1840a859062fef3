# SPDX-License-Identifier: GPL-2.0-only
"""A whole KVM that tells which of its functions run: the kvm oracle, compiled so that each does."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.kernels import Cache, Kernel, Progress, Unit, key_of
from conformance.oracles.kvm import KvmOracle, build_kvm
from conformance.oracles.kvm import build as kvm_build
from conformance.oracles.kvm.build import symbols_of
from conformance.oracles.kvm.interface import NR_WORDS

__all__ = ["TracedKvm", "build_traced_kvm"]

_C = Path(__file__).parent / "c"
_HEADERS = Path(kvm_build.__file__).parent / "c"
_COVERED = 8192
"""NR_COVERED in c/traced.c: how many of the exchange's last words tell where functions are."""

_FLAGS = (
    "-finstrument-functions",
    # The kernel's generic headers, and what stands in front of them, need not tell.
    "-finstrument-functions-exclude-file-list=include/,/oracles/kvm/c/",
    # A function that only ever was inlined may assert at compile time what it is called with.
    "-U__OPTIMIZE__",
    "-include",
    str(_C / "traced.h"),
)


@dataclass(frozen=True)
class _Traced(Kernel):
    """A kernel whose KVM is compiled to tell; anything else is as it was."""

    def compile(
        self,
        sources: Sequence[Path | str | Unit],
        out_dir: Path,
        *,
        flags: Sequence[str] = (),
        include_before: Sequence[Path] = (),
        force_include: Sequence[Path] = (),
        reuse: Cache | None = None,
    ) -> list[Path]:
        """As Kernel.compile(); with our own units, which are named by absolute paths, goes one more."""
        units = [source if isinstance(source, Unit) else Unit(source) for source in sources]
        told = [
            replace(unit, flags=(*unit.flags, *_FLAGS)) if "kvm/" in str(unit.source) else unit
            for unit in units
            if not Path(unit.source).is_absolute()
        ]
        own = [unit for unit in units if Path(unit.source).is_absolute()]
        if own:
            own.append(Unit(_C / "traced.c", (f"-I{_HEADERS}",)))
        return super().compile(
            [*told, *own],
            out_dir,
            flags=flags,
            include_before=include_before,
            force_include=force_include,
            reuse=reuse,
        )


def build_traced_kvm(kernel: Kernel, cache: Cache, progress: Progress) -> Path:
    """The library of a whole KVM that tells, from the cache or built now. Raises as build_kvm() does."""
    ours = "".join(path.read_text() for path in sorted(_C.iterdir()))
    words = {**vars(kernel), "fingerprint": key_of(kernel.fingerprint, ours, *_FLAGS)}
    return build_kvm(_Traced(**words), cache, progress)


class TracedKvm(KvmOracle):
    """One VM, as KvmOracle has it, that knows which functions ran."""

    def covered(self) -> set[str]:
        """The names of the functions of KVM that ran since this was last asked, or a VM was first created."""
        exchange = self._need().exchange
        names = dict(symbols_of(self._library))
        (anchor,) = (offset for offset, name in names.items() if name == "__cyg_profile_func_enter")
        distances = filter(None, exchange.words[NR_WORDS - _COVERED : NR_WORDS])
        found = {names.get((anchor + distance) % (1 << 64), "") for distance in distances} - {""}
        tail = type(exchange).words.offset + 8 * (NR_WORDS - _COVERED)
        ctypes.memset(ctypes.addressof(exchange) + tail, 0, 8 * _COVERED)
        return found
