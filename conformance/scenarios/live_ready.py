# SPDX-License-Identifier: GPL-2.0-only
"""A kernel made ready to be booted: the packages that Debian ships, or what a user has built."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from conformance.differential.verdict import KernelReport
from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel
from conformance.kernels.bootable import Bootable, UserKernel, built_by_user, shipped_kernel, user_kernel
from conformance.model.profiles import profile_of
from conformance.oracles.binary.module import open_module
from conformance.oracles.live.booted import boot
from conformance.oracles.live.rebuilt import rebuilt_kernel
from conformance.oracles.live.settings import setting_of
from conformance.scenarios.comparing import Sides
from conformance.scenarios.live_machines import DEFAULT_MACHINE, MACHINES, LiveHost
from conformance.scenarios.live_sides import ORACLE, LiveSides, why_not_live
from conformance.scenarios.modes import absent
from conformance.scenarios.ready import Playable, facts_of, open_or_report, prepare
from conformance.scenarios.saved import Saved
from conformance.scenarios.story import Story

__all__ = ["LivePlan", "LiveReady", "prepare_any"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class LivePlan:
    """The kernel that is booted if it is not the shipped one, by its image and the folder of its modules.

    machine: in what it is booted, a name of MACHINES.
    """

    image: Path | None = None
    modules: Path | None = None
    machine: str = DEFAULT_MACHINE

    @property
    def arguments(self) -> tuple[str, ...]:
        """The options that select it in a command."""
        machine = None if self.machine == DEFAULT_MACHINE else self.machine
        given = (("--machine", machine), ("--image", self.image), ("--modules", self.modules))
        return ("--oracle", ORACLE, *(word for name, path in given if path for word in (name, str(path))))


@dataclass(frozen=True)
class LiveReady(Playable):
    """A kernel that can be booted."""

    bootable: Bootable
    host: LiveHost

    @property
    def oracle(self) -> str:
        """The name of the oracle."""
        return ORACLE

    def report(self) -> KernelReport:
        """The kernel's report: that of its source, with what is booted."""
        report = super().report()
        notes = (*report.notes, f"booted: {self.bootable.title}", *filter(None, [self.bootable.drift]))
        return replace(report, notes=notes)

    def absent(self, mode: str) -> str:
        """Why a mode is not played on it; "" if it is."""
        return self.host.absent(mode) or absent(mode, self.profile)

    def why_not(self, scenario: Story | Saved) -> str:
        """Why a scenario cannot be played on it in any mode; "" if it can."""
        return super().why_not(scenario) or why_not_live(scenario.script)

    @contextmanager
    def playing(self, mode: str) -> Iterator[Sides]:
        """Kernel and model in a mode; the machine runs meanwhile. Raises Death."""
        found = self.host.mode(mode)
        boots = partial(boot, self.bootable, setting_of(found.host()), Cache(), machine=self.host.start)
        with LiveSides(self.profile, found, boots) as sides:
            sides.booted()
            yield sides


def prepare_any(
    selector: str,
    patches: Sequence[Path],
    modes: Sequence[str],
    live: LivePlan | None,
    progress: Progress,
) -> Playable | KernelReport:
    """A kernel made ready for modes: to be booted if ``live`` is given, else its KVM in a process."""
    if live is None:
        return prepare(selector, patches, progress, modes)
    return _prepare_live(selector, patches, live, progress)


def _prepare_live(
    selector: str, patches: Sequence[Path], plan: LivePlan, progress: Progress
) -> LiveReady | KernelReport:
    """A kernel made ready to be booted, or why it cannot be. Raises ConformanceError for wrong options."""
    start = time.monotonic()
    if patches and plan.image is not None:
        raise ConformanceError(
            "--patch changes source, not the kernel of --image. Build that with the patch."
        )
    given = user_kernel(plan.image, plan.modules)
    kernel = open_or_report(selector, patches, progress)
    if isinstance(kernel, KernelReport):
        return kernel
    try:
        found = _bootable(kernel, bool(patches), given, progress)
    except BuildError as error:
        return replace(KernelReport.of(kernel), error=str(error))
    module = open_module(found.module("kvm").path, found.base)
    if plan.image is not None and module.numbers != kernel.release[:2]:
        raise ConformanceError(
            f"{plan.image} is of Linux {module.release}, and {kernel.title} is {kernel.version}: the model "
            "would be of another kernel. Name the image's own source with --kernel."
        )
    if not module.has_btf:
        why = f"The kvm.ko of {found.title} has no type information (BTF), so that its state cannot be read."
        return replace(KernelReport.of(kernel), unreached=why)
    facts = facts_of(kernel, selector, patches, *plan.arguments)
    return LiveReady(kernel, profile_of(kernel.release), facts, start, found, MACHINES[plan.machine])


def _bootable(kernel: Kernel, patched: bool, given: UserKernel | None, progress: Progress) -> Bootable:
    """What is booted. Raises BuildError if the modules of a patched kernel do not compile."""
    if given is not None:
        return built_by_user(*given, Cache(), progress)
    if patched:
        return rebuilt_kernel(kernel, Cache(), progress)
    return shipped_kernel(kernel.selector, Cache(), progress)
