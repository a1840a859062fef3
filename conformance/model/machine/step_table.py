# SPDX-License-Identifier: GPL-2.0-only
"""The model's steps by name: a function registers itself with ``@step`` under its name.

Registration fails unless the interface's table has the step, with the function's arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

from conformance.interface.steps import KINDS
from conformance.model.machine.stepped_vm import SteppedVm
from conformance.model.vm.memslots import KVM_ADDRESS_SPACE_NUM
from conformance.model.vm.vm import KvmVcpu

__all__ = ["address_space", "check_steps", "step", "take_step", "vcpu_of"]

_STEPS: dict[str, tuple[Callable[..., list[int]], frozenset[str]]] = {}
"""The function of each step by name, with the names of its arguments."""


def take_step(vm: SteppedVm, name: str, arguments: dict[str, int]) -> list[int]:
    """Take the step ``name`` and return its outcome. ValueError for an unknown step or other arguments."""
    if name not in _STEPS:
        raise ValueError(f"no such step: {name}")
    function, parameters = _STEPS[name]
    if arguments.keys() != parameters:
        raise ValueError(f"{name} takes {', '.join(sorted(parameters)) or 'no arguments'}")
    return function(vm, **arguments)


def step(function: Callable[..., list[int]]) -> Callable[..., list[int]]:
    """Register the step of the function's name. Raises ImportError unless it is in the table."""
    name = function.__name__
    kind = KINDS.get(name)
    if kind is None or tuple(signature(function).parameters)[1:] != kind.parameters:
        raise ImportError(f"{name}() is not in the table of steps, or takes other arguments")
    _STEPS[name] = function, frozenset(kind.parameters)
    return function


def check_steps() -> None:
    """Raise ImportError unless there is a function for each step."""
    if missing := KINDS.keys() - _STEPS.keys():
        raise ImportError(f"the model has no function for {', '.join(sorted(missing))}")


def vcpu_of(vm: SteppedVm, number: int) -> KvmVcpu:
    """The vCPU of this number. Raises ValueError for a number that no vCPU has."""
    if not 0 <= number < len(vm.vcpus):
        raise ValueError(f"no vCPU {number}")
    return vm.vcpus[number]


def address_space(as_id: int) -> int:
    """The address space itself. Raises ValueError for one that does not exist."""
    if not 0 <= as_id < KVM_ADDRESS_SPACE_NUM:
        raise ValueError(f"no address space {as_id}")
    return as_id
