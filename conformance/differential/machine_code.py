# SPDX-License-Identifier: GPL-2.0-only
"""The machine code of the binary oracle: the kvm.ko that a distribution ships, or one that a user gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from conformance.differential.property_plan import PropertyPlan
from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, Progress
from conformance.kernels.images import shipped
from conformance.oracles.binary.build import build_binary
from conformance.oracles.binary.module import open_module

__all__ = ["MachineCode", "Unreached", "build", "of_module"]


class Unreached(ConformanceError):
    """The oracle cannot call this kernel's machine code; it may be able to call another kernel's."""


@dataclass(frozen=True)
class MachineCode:
    """The built image of a module, and what reports say about it."""

    image: Path
    version: str
    drift: str | None
    arguments: tuple[str, ...]
    """The options that select it in a command."""
    compiler: str
    """The compiler that the module names."""


def of_module(plan: PropertyPlan) -> PropertyPlan:
    """The plan; one with a module gets the binary oracle and the module's series.

    Raises ConformanceError where the options do not go together.
    """
    if plan.module is None:
        if plan.vmlinux is not None:
            raise ConformanceError("--vmlinux has the types of a module's kernel: name it with --module.")
        return plan
    if plan.patches:
        raise ConformanceError("--patch changes source, not the module that is given with --module.")
    if len(plan.kernels) > 1 or "all" in plan.kernels:
        raise ConformanceError("--module is of one kernel: name at most one with --kernel.")
    module = open_module(plan.module, plan.vmlinux)
    module.check_types()  # Before a kernel is fetched and compiled, which takes long.
    kernels = plan.kernels or (module.series,)
    return replace(plan, oracle="binary", kernels=kernels)


def build(plan: PropertyPlan, kernel: Kernel, progress: Progress) -> MachineCode:
    """Build the image of a kernel that a plan selects. Raises Unreached if it has no type information."""
    if plan.patches:
        raise ConformanceError("--patch changes source, not the kvm.ko that is shipped: use --oracle shim.")
    again = ["--oracle", "binary"]
    if plan.module is None:
        found = shipped(kernel.selector, progress=progress)
        module = open_module(found.module, found.base)
        if not module.has_btf:
            raise Unreached(
                f"The kvm.ko of {found.package} {found.version} was shipped without type information (BTF), "
                "so that nothing says how its functions are called."
            )
        version, drift = found.version, found.drift
    else:
        module = open_module(plan.module, plan.vmlinux)
        if module.release and module.numbers != kernel.release[:2]:
            raise ConformanceError(
                f"{plan.module} is of Linux {module.release}, and {kernel.title} is {kernel.version}: the "
                "model would be of another kernel. Name the module's own source with --kernel, or none."
            )
        version = f"{plan.module.name} of {module.release}"
        drift = _source_drift(module.release, kernel)
        again = ["--module", str(plan.module), *(("--vmlinux", str(plan.vmlinux)) if plan.vmlinux else ())]
    image = build_binary(module, kernel, Cache(), progress)
    return MachineCode(image, version, drift, tuple(again), module.compiler)


def _source_drift(release: str, kernel: Kernel) -> str:
    return (
        f"The module is of {release}, its complaints are named by the source of {kernel.version}: "
        "where the two differ, a WARN may have another function's name."
    )
