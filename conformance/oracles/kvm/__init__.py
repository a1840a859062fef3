# SPDX-License-Identifier: GPL-2.0-only
"""The kvm oracle: the whole of KVM's core, unmodified, in a child process, with an environment of ours."""

from conformance.oracles.kvm.build import CannotBuild, build_kvm
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.kvm.racing import RacingKvm

__all__ = ["CannotBuild", "KernelDied", "KvmOracle", "RacingKvm", "build_kvm"]
