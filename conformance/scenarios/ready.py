# SPDX-License-Identifier: GPL-2.0-only
"""A kernel made ready for scenarios: its whole KVM is built, for the modes that it has."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.differential.verdict import KernelReport
from conformance.kernels import BuildError, Cache, Kernel, open_kernel
from conformance.model.modes import VM_MODES
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import CannotBuild, build_kvm
from conformance.scenarios.comparing import Sides
from conformance.scenarios.judging_scenario import Facts
from conformance.scenarios.modes import STORY_MODES, TDP_MODES, absent
from conformance.scenarios.saved import Saved
from conformance.scenarios.sides import KvmSides
from conformance.scenarios.story import Story

__all__ = ["Playable", "Ready", "facts_of", "open_or_report", "prepare"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Playable(ABC):
    """A kernel on which scenarios can be played."""

    kernel: Kernel
    profile: Profile
    facts: Facts
    start: float
    """When its preparation began, on time.monotonic()'s clock."""

    def report(self) -> KernelReport:
        """The kernel's report, still empty."""
        return KernelReport.of(self.kernel)

    def why_not(self, scenario: Story | Saved) -> str:
        """Why a scenario cannot be played on it in any mode; "" if it can."""
        return scenario.absent(self.profile)

    @property
    @abstractmethod
    def oracle(self) -> str:
        """The name of the oracle."""

    @abstractmethod
    def absent(self, mode: str) -> str:
        """Why a mode is not played on it; "" if it is."""

    @abstractmethod
    def playing(self, mode: str) -> AbstractContextManager[Sides]:
        """Kernel and model in a mode, while scenarios are played. Raises Death if the kernel has ended."""


@dataclass(frozen=True)
class Ready(Playable):
    """A kernel whose whole KVM is built."""

    library: Path
    without_tdp_mmu: str = ""
    """Why the modes with the TDP MMU are not played on it; "" if they are."""

    @property
    def oracle(self) -> str:
        """The name of the oracle."""
        return "kvm"

    def absent(self, mode: str) -> str:
        """Why a mode is not played on it; "" if it is."""
        return self.without_tdp_mmu if mode in TDP_MODES else absent(mode, self.profile)

    def sides(self, mode: str) -> KvmSides:
        """Kernel and model in a mode."""
        return KvmSides(self.library, self.profile, VM_MODES[mode])

    def playing(self, mode: str) -> AbstractContextManager[Sides]:
        """Kernel and model in a mode."""
        return nullcontext(self.sides(mode))


def open_or_report(selector: str, patches: Sequence[Path], progress: Progress) -> Kernel | KernelReport:
    """A kernel that is opened, or the report on why it cannot be."""
    try:
        return open_kernel(selector, patches, progress=progress)
    except BuildError as error:
        return KernelReport.unopened(selector, patches, error=str(error))


def facts_of(kernel: Kernel, selector: str, patches: Sequence[Path], *more: str) -> Facts:
    """The facts of a kernel; ``more`` are arguments that name its oracle."""
    words = (word for patch in patches for word in ("--patch", str(patch)))
    arguments = ("--kernel", selector, *words, *kernel.compiler.arguments, *more)
    return Facts(kernel.series, kernel.version, arguments)


def prepare(
    selector: str,
    patches: Sequence[Path],
    progress: Progress,
    modes: Sequence[str] = (),
    *,
    coverage: bool = False,
) -> Ready | KernelReport:
    """A kernel made ready for those of some modes that it has, or of all; or why it cannot be.

    With ``coverage`` its library counts what it executes. Raises ConformanceError if the compiler cannot do
    that.
    """
    start = time.monotonic()
    kernel = open_or_report(selector, patches, progress)
    if isinstance(kernel, KernelReport):
        return kernel
    report = KernelReport.of(kernel)
    try:
        library, without_tdp_mmu = _library(kernel, progress, modes or STORY_MODES, coverage)
    except CannotBuild as why:
        return replace(report, unreached=str(why))
    except BuildError as error:
        return replace(report, error=str(error))
    facts = facts_of(kernel, selector, patches)
    return Ready(kernel, profile_of(kernel.release), facts, start, library, without_tdp_mmu)


def _library(kernel: Kernel, progress: Progress, modes: Sequence[str], coverage: bool) -> tuple[Path, str]:
    """The library for the modes, and why it is not for those with the TDP MMU; "" if it is."""
    try:
        tdp_mmu = any(mode in TDP_MODES for mode in modes)
        return build_kvm(kernel, Cache(), progress, coverage=coverage, tdp_mmu=tdp_mmu), ""
    except CannotBuild as why:
        if all(mode in TDP_MODES for mode in modes):
            raise
        return build_kvm(kernel, Cache(), progress, coverage=coverage, tdp_mmu=False), str(why)
