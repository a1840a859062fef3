# SPDX-License-Identifier: GPL-2.0-only
"""Where kernel and model meet: both machines of one kernel in one mode, for whatever VM a story needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from conformance.interface.observation import Observation
from conformance.model.machine import KernelBug
from conformance.model.machine import Machine as ModelMachine
from conformance.model.modes import Mode, kernel_in
from conformance.model.profiles import Profile
from conformance.model.semantics import Semantics
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.scenarios.comparing import Death
from conformance.scenarios.machines import Machine

__all__ = ["KvmArena"]


@dataclass(frozen=True)
class KvmArena:
    """The whole KVM of a built library beside the model with the same profile."""

    library: Path
    profile: Profile
    mode: Mode

    @cached_property
    def k(self) -> Semantics:
        """The masks of this kernel in this mode, to read SPTEs by."""
        return kernel_in(self.mode, self.profile)

    @contextmanager
    def kernel(self, options: dict[str, int]) -> Iterator[Machine]:
        """A VM on the real kernel, in a child process that ends with it."""
        try:
            with KvmOracle(self.library, self.mode.host(), options) as oracle:
                yield _Mortal(oracle)
        except KernelDied as died:
            raise Death(died.how, hung=died.hung) from died

    def model(self, options: dict[str, int]) -> Machine:
        """A VM of the model's."""
        return _Foreseeing(ModelMachine(self.profile, self.mode, **options))


class _Foreseeing:
    """The model's side, whose word that the kernel would crash is told likewise."""

    def __init__(self, machine: ModelMachine) -> None:
        self._machine = machine

    def step(self, name: str, **arguments: int) -> Observation:
        try:
            return self._machine.step(name, **arguments)
        except KernelBug as bug:
            raise Death(str(bug)) from bug


class _Mortal:
    """The kernel's side, whose death is told in this room's words."""

    def __init__(self, oracle: KvmOracle) -> None:
        self._oracle = oracle

    def step(self, name: str, **arguments: int) -> Observation:
        try:
            return self._oracle.step(name, **arguments)
        except KernelDied as died:
            raise Death(died.how, hung=died.hung) from died
