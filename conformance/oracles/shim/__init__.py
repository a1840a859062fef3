# SPDX-License-Identifier: GPL-2.0-only
"""The shim oracle: single functions of the kernel's MMU, compiled from its source, called through cffi."""

from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import Entry, KernelDied, ShimOracle

__all__ = ["Entry", "KernelDied", "ShimOracle", "build_shim"]
