# SPDX-License-Identifier: GPL-2.0-only
"""The shim oracle: single functions of the kernel's MMU, compiled from its source, called through cffi."""

from conformance.oracles.child import Entry, KernelDied
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle

__all__ = ["Entry", "KernelDied", "ShimOracle", "build_shim"]
