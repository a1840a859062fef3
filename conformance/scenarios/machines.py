# SPDX-License-Identifier: GPL-2.0-only
"""A machine: what takes steps and returns observations. The kvm oracle and the model are machines."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from conformance.interface.observation import Observation
from conformance.scenarios.steps import Step

__all__ = ["Machine", "OwnProcess", "take"]


class Machine(Protocol):
    """A VM that is driven by steps."""

    def step(self, name: str, /, **arguments: int) -> Observation:
        """Take a step and return what can be seen after it."""


@runtime_checkable
class OwnProcess(Protocol):
    """A machine that takes a step in a process of its own, while this process goes on."""

    def begin(self, name: str, /, **arguments: int) -> None:
        """Begin a step."""

    def finish(self) -> Observation:
        """Wait until the step is taken and return what can be seen after it."""


def take(machine: Machine, step: Step) -> Observation:
    """Take one step on one machine."""
    return machine.step(step.kind, **step.arguments)
