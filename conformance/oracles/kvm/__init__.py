# SPDX-License-Identifier: GPL-2.0-only
"""The kvm oracle: the whole of KVM's core, unmodified, in a child process, with an environment of ours.

Names are imported when they are used: worker processes, of which many are started, need little of all this.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.oracles.kvm.build import CannotBuild, build_kvm
    from conformance.oracles.kvm.deaths import KernelDied
    from conformance.oracles.kvm.oracle import KvmOracle
    from conformance.oracles.kvm.racing import RacingKvm

__all__ = ["CannotBuild", "KernelDied", "KvmOracle", "RacingKvm", "build_kvm"]

_MODULES = {
    "CannotBuild": "build",
    "KernelDied": "deaths",
    "KvmOracle": "oracle",
    "RacingKvm": "racing",
    "build_kvm": "build",
}


def __getattr__(name: str) -> Any:
    """One of the names, from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
