# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's side and the model's side of one kernel in one mode, for a VM with any options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

__all__ = ["KvmSides", "model_machine"]


@dataclass(frozen=True)
class KvmSides:
    """The whole KVM of a built library, and the model with the same profile."""

    library: Path
    profile: Profile
    mode: Mode
    oracle: str = "kvm"
    unobserved: frozenset[str] = frozenset()
    ended: Callable[[KvmOracle], None] | None = None
    """Called with each VM of the kernel after its last step."""

    @cached_property
    def k(self) -> Semantics:
        """The masks of this kernel in this mode, for reading SPTEs."""
        return kernel_in(self.mode, self.profile)

    @contextmanager
    def kernel(self, options: dict[str, int]) -> Iterator[Machine]:
        """A VM on the real kernel, in a child process that ends with it."""
        try:
            with KvmOracle(self.library, self.mode.host(), options) as oracle:
                yield _KernelSide(oracle)
                if self.ended is not None:
                    self.ended(oracle)
        except KernelDied as died:
            raise Death(died.how, hung=died.hung) from died

    def model(self, options: dict[str, int]) -> Machine:
        """A VM on the model."""
        return model_machine(self.profile, self.mode, options)


def model_machine(profile: Profile, mode: Mode, options: dict[str, int]) -> Machine:
    """A VM on the model; a kernel bug that it predicts is a Death."""
    return _ModelSide(ModelMachine(profile, mode, **options))


class _ModelSide:
    """The model's machine; a kernel bug that it predicts is a Death."""

    def __init__(self, machine: ModelMachine) -> None:
        self._machine = machine

    def step(self, name: str, /, **arguments: int) -> Observation:
        try:
            return self._machine.step(name, **arguments)
        except KernelBug as bug:
            raise Death(str(bug)) from bug


class _KernelSide:
    """The oracle's machine; the kernel's death is a Death."""

    def __init__(self, oracle: KvmOracle) -> None:
        self._oracle = oracle

    def step(self, name: str, /, **arguments: int) -> Observation:
        self.begin(name, **arguments)
        return self.finish()

    def begin(self, name: str, /, **arguments: int) -> None:
        self._oracle.begin(name, **arguments)

    def finish(self) -> Observation:
        try:
            return self._oracle.finish()
        except KernelDied as died:
            raise Death(died.how, hung=died.hung) from died
